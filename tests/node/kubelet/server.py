"""The kubelet's own HTTPS server: what the API server asks for `kubectl logs`, and two calls for the tests."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from aiohttp import web

from tests.node.kubelet.container import Container

PORT = 10250
_CHUNK = 1 << 16


class LogServer:
    """Serves logs of the containers that `find(namespace, pod, container)` knows."""

    def __init__(self, find: Callable[[str, str, str], Container | None], rotate: Callable[[], None]) -> None:
        self._find = find
        self._rotate = rotate

    async def start(self, certificate: Path, key: Path) -> None:
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        app.router.add_post("/rotate-tokens", self._rotate_tokens)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", PORT, ssl_context=tls).start()

    async def _rotate_tokens(self, request: web.Request) -> web.Response:
        self._rotate()
        return web.Response(text="ok")

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        wanted: Mapping[str, str] = request.query
        container = self._find(*(request.match_info[part] for part in ("namespace", "pod", "container")))
        if container is None:
            return web.Response(status=404, text="no such container on this node")
        previous = wanted.get("previous") == "true"
        file = container.previous_log if previous else container.log
        if not file.exists() or (previous and not container.last_state):
            state = container.state.get("waiting", {}).get("reason", "no run yet")
            return web.Response(status=400, text=f"container {container.name} is waiting to start: {state}")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        follow = wanted.get("follow") == "true" and not previous
        async for part in _read(file, wanted, lambda: follow and container.process is not None):
            await response.write(part)
        await response.write_eof()
        return response


async def _read(file: Path, wanted: Mapping[str, str], more: Callable[[], bool]) -> AsyncIterator[bytes]:
    with file.open("rb") as stream:
        if "tailLines" in wanted:
            stream.seek(_tail(stream.read(), int(wanted["tailLines"])))
        left = int(wanted.get("limitBytes", 1 << 62))
        while left > 0:
            last = not more()
            part = stream.read(min(_CHUNK, left))
            left -= len(part)
            if part:
                yield part
            elif last:
                return
            else:
                await asyncio.sleep(0.05)


def _tail(text: bytes, lines: int) -> int:
    """Return where the last `lines` lines begin."""
    if lines <= 0:
        return len(text)
    at = len(text.rstrip(b"\n"))
    for _ in range(lines):
        at = text.rfind(b"\n", 0, at)
        if at < 0:
            return 0
    return at + 1
