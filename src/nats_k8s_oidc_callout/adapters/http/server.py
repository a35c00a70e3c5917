"""The answers on HTTP: /health, /readyz, /livez, /metrics. What is healthy is decided elsewhere.

Probes are never cached. The metrics are, for a second: to render them is the dearest thing that a caller can ask for.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web

from nats_k8s_oidc_callout.adapters.http.connections import HEADERS, Connections, text
from nats_k8s_oidc_callout.adapters.http.door import Door
from nats_k8s_oidc_callout.core.spelling import escape

log = structlog.get_logger("http")

PATHS = ("/health", "/readyz", "/livez", "/metrics")
CLOSE_SECONDS = 1.0
RENDER_SECONDS = 1.0
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


class HttpServer:
    """Serves on `host` (empty: all addresses, both families) and `port` (0: a free one; see `port`)."""

    def __init__(self, host: str, port: int, checks: Checks, render_metrics: RenderMetrics) -> None:
        self._checks = checks
        self._metrics = _Page(render_metrics)
        self._door = Door(host, port)
        self._connections: Connections | None = None

    async def start(self) -> None:
        """Bind and serve; OSError says that the address cannot be bound."""
        self._connections = Connections(self._answer, asyncio.get_running_loop())
        await self._door.open(self._connections)

    @property
    def port(self) -> int:
        """The bound port."""
        return self._door.port

    async def close(self) -> None:
        """Stop listening, let running answers end for a second, cut the rest."""
        await self._door.close()
        if self._connections is not None:
            self._connections.pre_shutdown()
            await self._connections.shutdown(CLOSE_SECONDS)

    def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.path not in PATHS:
            return text(404, "not found\n")
        if request.method not in ("GET", "HEAD"):
            response = text(405, "method not allowed\n")
            response.headers["Allow"] = "GET, HEAD"
            return response
        try:
            match request.path:
                case "/health":
                    return self._health()
                case "/readyz":
                    return self._readyz(verbose="verbose" in request.query)
                case "/metrics":
                    page = self._metrics.get(asyncio.get_running_loop().time())
                    if page is None:
                        return text(500, "internal error\n")
                    return web.Response(body=page, headers=HEADERS | {"Content-Type": METRICS_TYPE})
        except Exception:  # a check's fault: the caller learns nothing of it, and the server goes on
            log.exception("http answer failed", path=request.path)
            return text(500, "internal error\n")
        # /livez. Answering is the whole check: a stuck loop cannot, and the probe's time-out says so. One that
        # got loose again is alive, so its past is not held against it.
        return text(200, "ok\n")

    def _health(self) -> web.Response:
        # Always 200: charts of the guide use it as liveness, and a NATS outage must not restart pods.
        try:
            failing = [check.name for check in self._checks() if not check.ok]
        except Exception:  # as above; "always 200" holds for our own faults too
            log.exception("http answer failed", path="/health")
            failing = ["internal"]
        state = {"status": "degraded", "failing": failing} if failing else {"status": "ok"}
        body = json.dumps(state, separators=(",", ":"))
        return web.Response(text=body, content_type="application/json", headers=HEADERS)

    def _readyz(self, *, verbose: bool) -> web.Response:
        checks = self._checks()
        ready = all(check.ok for check in checks)
        status = 200 if ready else 503
        if verbose:
            lines = [_verbose(check) for check in checks]
            lines.append(f"readyz check {'passed' if ready else 'failed'}")
            return text(status, "\n".join(lines) + "\n")
        if ready:
            return text(status, "ok\n")
        return text(status, "not ready: " + ", ".join(check.name for check in checks if not check.ok) + "\n")


class _Page:
    """What `render` returned, for RENDER_SECONDS; None if it failed, which counts as long."""

    def __init__(self, render: RenderMetrics) -> None:
        self._render = render
        self._page: bytes | None = None
        self._rendered = float("-inf")

    def get(self, now: float) -> bytes | None:
        if now - self._rendered >= RENDER_SECONDS:
            self._rendered = now
            try:
                self._page = self._render()
            except Exception:  # as above
                log.exception("http answer failed", path="/metrics")
                self._page = None
        return self._page


def _verbose(check: Check) -> str:
    # As the API server's own /readyz?verbose, with the detail that one withholds.
    mark = f"[+]{check.name} ok" if check.ok else f"[-]{check.name} failed"
    return f"{mark}: {escape(check.detail)}" if check.detail else mark
