"""The HTTP endpoints on aiohttp: /health, /readyz, /livez, /metrics. What is healthy is decided elsewhere.

Any pod may connect here, so whatever a caller can make us hold is bounded: header sizes, the time to send a
head, idle time, connections (the oldest goes first, so that a kubelet's probe is always served). No answer
carries the text of an exception or a version.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from nats_k8s_oidc_callout.core.spelling import escape

log = structlog.get_logger("http")

MAX_CONNECTIONS = 64
# aiohttp closes a connection without a whole request head this long after it opened or last answered.
IDLE_SECONDS = 10.0
LINE_BYTES_MAX = 2048
HEADERS_MAX = 64
# A mesh's proxy adds the caller's certificate chain in one header.
HEADER_BYTES_MAX = 8190
CLOSE_SECONDS = 1.0
# Prometheus asks for OpenMetrics first; there our names would end in _total.
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of being ready; `detail` is a sentence for `/readyz?verbose`, free of secrets."""

    name: str
    ok: bool
    detail: str = ""


Checks = Callable[[], Sequence[Check]]
RenderMetrics = Callable[[], bytes]
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class HttpServer:
    """Serves on `host` (empty: all addresses, both families) and `port` (0: a free one; see `port`)."""

    def __init__(self, host: str, port: int, checks: Checks, render_metrics: RenderMetrics) -> None:
        self._host = host
        self._port = port
        self._checks = checks
        self._render_metrics = render_metrics
        self._connections: _Connections | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Bind and serve; OSError says that the address is not to be had."""
        loop = asyncio.get_running_loop()
        self._connections = _Connections(self._answer, loop)
        if self._host:
            self._server = await loop.create_server(self._connections, self._host, self._port)
        else:
            self._server = await loop.create_server(self._connections, sock=_all_addresses(self._port))

    @property
    def port(self) -> int:
        """The bound port."""
        if self._server is None:
            raise RuntimeError("not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, let running answers end for a second, cut the rest."""
        if self._server is not None:
            self._server.close()
        if self._connections is not None:
            self._connections.pre_shutdown()
            await self._connections.shutdown(CLOSE_SECONDS)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path not in ("/health", "/readyz", "/livez", "/metrics"):
            return _text(404, "not found\n")
        if request.method not in ("GET", "HEAD"):
            response = _text(405, "method not allowed\n")
            response.headers["Allow"] = "GET, HEAD"
            return response
        try:
            match request.path:
                case "/health":
                    return self._health()
                case "/readyz":
                    return self._readyz(verbose="verbose" in request.query)
                case "/metrics":
                    return web.Response(body=self._render_metrics(), headers=_HEADERS | {"Content-Type": METRICS_TYPE})
        except Exception:  # a check's fault: the caller learns nothing of it, and the server goes on
            log.exception("http answer failed", path=request.path)
            return _text(500, "internal error\n")
        # /livez. Answering is the whole check: a stuck loop cannot, and the probe's time-out says so. One that
        # got loose again is alive, so its past is not held against it.
        return _text(200, "ok\n")

    def _health(self) -> web.Response:
        # Always 200: charts of the guide use it as liveness, and a NATS outage must not restart pods.
        try:
            failing = [check.name for check in self._checks() if not check.ok]
        except Exception:  # as above; "always 200" holds for our own faults too
            log.exception("http answer failed", path="/health")
            failing = ["internal"]
        state = {"status": "degraded", "failing": failing} if failing else {"status": "ok"}
        body = json.dumps(state, separators=(",", ":"))
        return web.Response(text=body, content_type="application/json", headers=_HEADERS)

    def _readyz(self, *, verbose: bool) -> web.Response:
        checks = self._checks()
        ready = all(check.ok for check in checks)
        status = 200 if ready else 503
        if verbose:
            lines = [_verbose(check) for check in checks]
            lines.append(f"readyz check {'passed' if ready else 'failed'}")
            return _text(status, "\n".join(lines) + "\n")
        if ready:
            return _text(status, "ok\n")
        return _text(status, "not ready: " + ", ".join(check.name for check in checks if not check.ok) + "\n")


class _Connection(RequestHandler):
    """aiohttp's connection, except that a bad request is answered without telling what was bad in whose words."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  # aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # quotes the bytes that came in
    ) -> web.StreamResponse:
        # aiohttp logs a traceback for each and quotes the bytes: a stranger's way to fill the log.
        log.debug("http bad request", status=status, error=type(exc).__name__)
        response = _text(status, "bad request\n" if status < 500 else "internal error\n")
        response.force_close()
        return response


class _Connections(web.Server):
    """The connections, at most MAX_CONNECTIONS: for one more, the oldest is closed."""

    def __init__(self, answer: Answer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(answer, loop=loop)
        self._event_loop = loop
        self._open: dict[RequestHandler, asyncio.Transport] = {}

    def __call__(self) -> RequestHandler:
        # Written out, not passed through web.Server: that one drops every bound when it does not know one.
        return _Connection(
            self,
            loop=self._event_loop,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's documented way to turn it off
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            max_field_size=HEADER_BYTES_MAX,
            lingering_time=0.0,  # nothing here reads a body
            auto_decompress=False,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._open[handler] = transport
        if len(self._open) > MAX_CONNECTIONS:
            # Aborted, not closed: a caller that does not read would hold a closing one as long as it likes.
            self._open.pop(next(iter(self._open))).abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self._open.pop(handler, None)
        super().connection_lost(handler, exc)


# aiohttp puts its own and Python's version where we say nothing.
_HEADERS = {"Server": "nats-k8s-oidc-callout", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers=_HEADERS)


def _verbose(check: Check) -> str:
    # As the API server's own /readyz?verbose, with the detail that one withholds.
    mark = f"[+]{check.name} ok" if check.ok else f"[-]{check.name} failed"
    return f"{mark}: {escape(check.detail)}" if check.detail else mark


def _all_addresses(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        # Not to be had where IPv6 is compiled in but switched off.
        with contextlib.suppress(OSError):
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))
