"""Questions to the API server that change nothing: may we list, watch and get, and what time is it there."""

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from nats_k8s_oidc_callout.adapters.kubernetes.api import ApiServer
from nats_k8s_oidc_callout.adapters.kubernetes.paths import collection, single
from nats_k8s_oidc_callout.core.kubernetes.wire import Kind
from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.errors import Unreachable

_SECONDS = 5.0
# Nothing can be called so by chance, and 404 is as good an answer as any.
_NOBODY = f"{PROGRAM}-doctor"


@dataclass(frozen=True, slots=True)
class Asked:
    """How the API server answered a request."""

    status: int
    ahead: float | None
    """By how many seconds its clock is ahead of ours, within a second or so; None when it does not say."""


async def ask(api: ApiServer, kind: Kind[Any], verb: str, namespace: str) -> Asked:
    """Try a verb on a kind, of a namespace (empty: all); raise Unreachable when nobody answers."""
    path, params = collection(kind, namespace or None)
    if verb == "watch":
        params |= {"watch": "true", "timeoutSeconds": "1", "resourceVersion": "0"}
    elif verb == "get":
        path, params = single(kind, namespace or "default", _NOBODY), {}
    else:
        params |= {"limit": "1"}
    began = time.time()
    try:
        async with api.get(path, params, total_seconds=_SECONDS, silence_seconds=_SECONDS) as response:
            return Asked(response.status, _ahead(response.headers.get("Date", ""), (began + time.time()) / 2))
    except aiohttp.ClientConnectorCertificateError as error:
        why = getattr(error.certificate_error, "verify_message", "") or "certificate"
        raise Unreachable(f"TLS: {why}") from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Unreachable(f"no answer ({type(error).__name__})") from None


def _ahead(date: str, now: float) -> float | None:
    try:
        # The header is in whole seconds, cut off.
        return parsedate_to_datetime(date).timestamp() + 0.5 - now
    except (TypeError, ValueError):
        return None
