"""A running responder's own word, by its HTTP endpoints."""

from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp

from nats_k8s_oidc_callout.bounded.bodies import read_body
from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, failed, ok, skipped
from nats_k8s_oidc_callout.errors import Unreachable

_SECONDS = 3.0
_BYTES_MAX = 4 << 20


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What a responder says of itself."""

    ready: bool
    failing: dict[str, str] = field(default_factory=dict)
    """The checks that fail, and why."""


def responder(beside: Neighbour | None, place: str) -> Finding:
    """Say whether the responder at this place is ready, if there is one."""
    check = "responder"
    if beside is None:
        return skipped(check, f"none is running here ({place})")
    if beside.ready:
        return ok(check, f"the one on {place} is ready")
    failing = "; ".join(f"{name}: {why}" if why else name for name, why in beside.failing.items())
    return failed(check, f"the one on {place} is not ready: {failing}", Cause.RESPONDER_NOT_READY)


def loopback(host: str) -> str:
    """Return where a responder that listens on `host` is found from here."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # read, not bound


async def readiness(host: str, port: int) -> Neighbour | None:
    """Return what /readyz says, or None when no responder of ours listens there."""
    status, server, text = await _get(host, port, "/readyz?verbose")
    if status not in (200, 503) or server != PROGRAM:
        return None
    failing = {}
    for line in text.splitlines():
        if line.startswith("[-]"):
            name, _, why = line[3:].partition(" failed")
            failing[name] = why.removeprefix(": ")
    return Neighbour(status == 200, failing)


async def counters(host: str, port: int) -> dict[str, float]:
    """Return every sample of /metrics, by name and labels as they are written; none when it cannot be had."""
    status, _, text = await _get(host, port, "/metrics")
    if status != 200:
        return {}
    samples: dict[str, float] = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name and not line.startswith("#"):
            with suppress(ValueError):
                samples[name] = float(value)
    return samples


async def _get(host: str, port: int, path: str) -> tuple[int, str, str]:
    place = f"[{host}]" if ":" in host else host
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS), trust_env=False) as session,
            session.get(f"http://{place}:{port}{path}", allow_redirects=False) as answer,
        ):
            body = await read_body(answer, _BYTES_MAX)
            return answer.status, answer.headers.get("Server", ""), body.decode("utf-8", "replace")
    except (aiohttp.ClientError, OSError, TimeoutError, Unreachable):
        return 0, "", ""
