"""What a decision saw, at debug level only: the request, the token's names, its verified claims, the permissions."""

import time
from collections.abc import Callable

import msgspec
import structlog

from nats_k8s_oidc_callout.core.decide import Facts
from nats_k8s_oidc_callout.core.identity import tokens
from nats_k8s_oidc_callout.core.identity.tokens import Unverified
from nats_k8s_oidc_callout.core.model import Allow, Deny, Judgement, Request

log = structlog.get_logger("trace")

Trace = Callable[[Request, Judgement], None]
_MAX = 128


def tracer(facts: Facts) -> Trace:
    """Return what logs one line for each time a request is judged; it names claims, and never holds a token."""

    def trace(request: Request, found: Judgement) -> None:
        seen: dict[str, object] = {
            "server": request.server_name[:_MAX],
            "sealed": bool(request.server_xkey),
            "client_host": request.client_host[:_MAX],
            "client_kind": request.client_kind or "unknown",
            "found": type(found).__name__,
        }
        unverified = tokens.peek(request.token) if request.token is not None else None
        if isinstance(unverified, Unverified):
            seen |= _token(unverified, facts)
        if isinstance(found, Allow):
            seen |= _permissions(found.grant)
        elif isinstance(found, Deny):
            seen["reason"] = found.reason.value
        log.debug("checked", **seen)

    return trace


def _permissions(grant: bytes) -> dict[str, object]:
    """Return the subjects of an encoded grant, not in the words of a JWT: the search for secrets knows those."""
    sides = msgspec.json.decode(grant)
    return {"publish": sides["pub"].get("allow", []), "subscribe": sides["sub"].get("allow", [])}


def _token(unverified: Unverified, facts: Facts) -> dict[str, object]:
    key = facts.keys.find(unverified.kid, time.monotonic())
    seen: dict[str, object] = {"alg": unverified.alg, "kid": unverified.kid[:_MAX], "key_known": key is not None}
    # Once more, for this line: what was refused is remembered nowhere.
    claims = tokens.verify(unverified, key) if key is not None else None
    if claims is not None and not isinstance(claims, Deny):
        seen |= {"iss": str(claims.iss)[:_MAX], "iat": claims.iat, "nbf": claims.nbf, "exp": claims.exp}
        # Neither named nor placed as in a token: the search for secrets in logs would take it for a piece of one.
        # As one text: a list would stand here as it stands in the token, brackets and all.
        seen |= {"audiences": " ".join(audience[:_MAX] for audience in claims.audiences[:8])}
    return seen
