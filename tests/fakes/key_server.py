"""A key endpoint on loopback that answers as it is told, well or badly, and remembers what it was asked."""

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

CHUNK = 64 * 1024


@dataclass
class KeyServer:
    """`answers` are used up one a request; the last one stays."""

    answers: list[Answer]
    url: str = ""
    asked: list[web.Request] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


def body(content: bytes, status: int = 200, **headers: str) -> Answer:
    """Answer with these bytes; `Cache_Control="…"` sets a header."""

    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=content, status=status, headers={"Content-Type": "application/json", **named})

    return answer


def half(content: bytes) -> Answer:
    """Promise all of these bytes and hang up after half."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


@dataclass
class Endless:
    """Send this many bytes, or as many as the client takes; `sent` says how many."""

    size: int
    announced: bool
    sent: int = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(self.size)} if self.announced else {})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while self.sent < self.size:
                await response.write(b" " * CHUNK)
                self.sent += CHUNK
        return response


def drip(content: bytes, pause_seconds: float) -> Answer:
    """Send one byte at a time."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for byte in content:
                await response.write(bytes([byte]))
                await asyncio.sleep(pause_seconds)
        return response

    return answer


async def hang(request: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def disconnect(request: web.Request) -> web.StreamResponse:
    """Hang up without a word."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def bomb(size: int) -> Answer:
    """Answer with this many zeros, packed into almost nothing, though nobody asked for packing."""
    return body(gzip.compress(bytes(size)), Content_Encoding="gzip")


@contextlib.asynccontextmanager
async def running(
    *answers: Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[KeyServer]:
    """Serve on a free port of a loopback address until the block ends."""
    server = KeyServer(list(answers))

    @web.middleware
    async def everything(request: web.Request, handler: object) -> web.StreamResponse:
        # No route has a place for a proxy's CONNECT host:port.
        return await server.handle(request)

    runner = web.AppRunner(web.Application(middlewares=[everything]), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0, ssl_context=tls).start()
    server.url = f"{'https' if tls else 'http'}://{host}:{runner.addresses[0][1]}/openid/v1/jwks"
    try:
        yield server
    finally:
        await runner.cleanup()
