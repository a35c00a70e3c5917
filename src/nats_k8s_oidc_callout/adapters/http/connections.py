"""One caller's connection, on aiohttp: one request, bounded in bytes, pieces and time, answered and closed.

No answer carries the text of an exception, a version, or what came in.
"""

import asyncio
from collections.abc import Callable

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from nats_k8s_oidc_callout.core.names import PROGRAM

log = structlog.get_logger("http")

MAX_CONNECTIONS = 64
# A connection ends this long after it opened, whatever it does: slow heads, slow readers, silence.
IDLE_SECONDS = 10.0
LINE_BYTES_MAX = 2048
HEADERS_MAX = 64
# A mesh's proxy adds the caller's certificate chain in one header.
HEADER_BYTES_MAX = 8190
HEAD_BYTES_MAX = 32 * 1024
# Each piece of a head costs a turn of the loop; one of a few kilobytes comes in less than ten.
HEAD_PIECES_MAX = 32
# aiohttp puts its own and Python's version where we say nothing.
HEADERS = {"Server": PROGRAM, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Answer = Callable[[web.BaseRequest], web.StreamResponse]


def text(status: int, words: str) -> web.Response:
    """Return a plain answer."""
    return web.Response(status=status, text=words, headers=HEADERS)


class _Connection(RequestHandler):
    """aiohttp's connection, but for one request, and without quoting a bad one."""

    __slots__ = ("_pieces", "_read", "_tail")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pieces, self._read, self._tail = 0, 0, b""
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._messages or self.transport is None:
            return
        self._pieces += 1
        data = data[: HEAD_BYTES_MAX - self._read]
        self._read += len(data)
        end = (self._tail + data).find(b"\r\n\r\n")
        if end >= 0:
            data = data[: end + 4 - len(self._tail)]  # so that nothing else is even parsed
        self._tail = (self._tail + data)[-3:]
        super().data_received(data)
        transport = self.transport
        if self._messages:
            transport.pause_reading()
        elif self._pieces >= HEAD_PIECES_MAX or self._read >= HEAD_BYTES_MAX:
            transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  # aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # quotes the bytes that came in
    ) -> web.StreamResponse:
        # aiohttp logs a traceback for each and quotes the bytes: a stranger's way to fill the log.
        log.debug("http bad request", status=status, error=type(exc).__name__)
        response = text(status, "bad request\n" if status < 500 else "internal error\n")
        response.force_close()
        return response


class Connections(web.Server):
    """The connections, at most MAX_CONNECTIONS (for one more, the oldest is closed), each for IDLE_SECONDS at most."""

    def __init__(self, answer: Answer, loop: asyncio.AbstractEventLoop) -> None:
        async def answer_once(request: web.BaseRequest) -> web.StreamResponse:
            response = answer(request)
            # aiohttp answers what is pipelined without giving the loop a turn where tasks start eagerly (Python 3.12).
            response.force_close()
            return response

        super().__init__(answer_once, loop=loop)
        self._event_loop = loop
        self._open: dict[RequestHandler, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    def __call__(self) -> RequestHandler:
        # Written out, not passed through web.Server: that one drops every bound when it does not know one.
        return _Connection(
            self,
            loop=self._event_loop,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's documented way to turn it off
            keepalive_timeout=0,  # none is kept
            max_line_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            max_field_size=HEADER_BYTES_MAX,
            lingering_time=0.0,  # nothing here reads a body
            auto_decompress=False,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        # Aborted, not closed: a caller that does not read would hold a closing one as long as it likes.
        self._open[handler] = (transport, self._event_loop.call_later(IDLE_SECONDS, transport.abort))
        if len(self._open) > MAX_CONNECTIONS:
            oldest, end = self._open.pop(next(iter(self._open)))
            end.cancel()
            oldest.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        if handler in self._open:
            self._open.pop(handler)[1].cancel()
        super().connection_lost(handler, exc)
