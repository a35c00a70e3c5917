"""The checks of the cluster: the issuer's keys, our own tokens, what we may ask the API server, its clock.

Each check judges what was observed, and is pure; the functions before them observe.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nats_k8s_oidc_callout.adapters.kubernetes import ApiServer, ask
from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.core.identity.own_token import OwnClaims, claims_of
from nats_k8s_oidc_callout.core.kubernetes.wire import NAMESPACES, SERVICE_ACCOUNTS, Kind
from nats_k8s_oidc_callout.core.model import Allow, Reason, Verdict
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, failed, ok, skipped
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import Settings

VERBS: Mapping[str, Cause] = {
    "list": Cause.RBAC_LIST_MISSING,
    "watch": Cause.RBAC_WATCH_MISSING,
    "get": Cause.RBAC_GET_MISSING,
}
# However long the leeway that is configured: `exp` has none, and a minute is more than any synchronised clock is off.
_MOST_SECONDS_OFF = 60.0


def read_token(path: Path) -> tuple[str, OwnClaims | None]:
    """Return the token in a file, and what it claims; None when it is none."""
    try:
        token = read_file(path).decode("ascii").strip()
    except (OSError, ValueError):
        return "", None
    return token, claims_of(token.encode())


class Right(NamedTuple):
    """How the API server answered when we tried one."""

    resource: str
    verb: str
    namespace: str
    """Empty for all."""
    status: int


async def ask_rights(
    api: ApiServer, namespaces: Sequence[str], label_keys: Collection[str] = ()
) -> tuple[list[Right], str, float | None]:
    """Try list, watch and get wherever we need them: on ServiceAccounts, and on Namespaces where labels decide.

    Return each, why the API server could not be asked, and by how much its clock is ahead.
    """
    rights: list[Right] = []
    ahead: float | None = None
    kinds: list[Kind[Any]] = [SERVICE_ACCOUNTS, NAMESPACES] if label_keys else [SERVICE_ACCOUNTS]
    for kind, namespace, verb in itertools.product(kinds, namespaces or ("",), VERBS):
        try:
            answer = await ask(api, kind, verb, namespace)
        except Unreachable as error:
            return rights, str(error), ahead
        ahead = answer.ahead if answer.ahead is not None else ahead
        rights.append(Right(kind.resource, verb, namespace, answer.status))
        if answer.status >= 400 and answer.status not in (401, 403, 404):
            return rights, f"status {answer.status} to a {verb} of {kind.resource}", ahead
    return rights, "", ahead


def jwks(where: str, trouble: str) -> Finding:
    """Say whether the issuer's keys could be fetched as the responder does it."""
    check, detail = "jwks", f"{where}: {trouble}"
    if not trouble:
        return ok(check, where)
    if trouble.startswith("TLS:"):
        return failed(check, detail, Cause.JWKS_CA_UNKNOWN)
    if trouble.startswith(("status 401", "status 403")):
        return failed(check, detail, Cause.JWKS_FORBIDDEN)
    if trouble.startswith(("cannot connect", "no whole answer", "the answer ended")):
        return failed(check, detail, Cause.JWKS_UNREACHABLE)
    return failed(check, detail, Cause.JWKS_UNUSABLE)


def own_token(claims: OwnClaims | None, settings: Settings) -> Finding:
    """Compare the issuer in the token that every pod gets with the one that we expect."""
    check = "own token"
    if claims is None:
        return skipped(check, f"there is none in {settings.k8s_credentials_dir}")
    return _wrong_issuer(check, claims.iss, settings) or ok(check, f"issuer {claims.iss[:200]}")


def _wrong_issuer(check: str, issuer: str, settings: Settings) -> Finding | None:
    if issuer in settings.jwt_issuer:
        return None
    return failed(
        check,
        f"its issuer is {issuer[:200]!a}, JWT_ISSUER is {', '.join(settings.jwt_issuer)}",
        Cause.ISSUER_WRONG,
        fix="" if issuer.isprintable() else "compare both, byte for byte",
        issuer=issuer[:200],
    )


def self_test_token(claims: OwnClaims | None, settings: Settings, verdict: Verdict | Unreachable | None) -> Finding:
    """Judge the self-test's token as a client's is judged; what it claims first, since that needs nobody else.

    `verdict` is the responder's, None when it was not asked for want of keys.
    """
    check, path = "self-test token", settings.self_test_token_file
    if path is None:
        return skipped(check, "SELF_TEST_TOKEN_FILE is not set")
    if claims is None:
        return failed(check, f"{path} holds no ServiceAccount token", Cause.TOKEN_UNREADABLE)
    if wrong := _wrong_issuer(check, claims.iss, settings):
        return wrong
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if settings.jwt_audience not in audiences:
        words = f"its audience is {', '.join(audiences)[:200]!a}, JWT_AUDIENCE is {settings.jwt_audience}"
        return failed(check, words, Cause.AUDIENCE_WRONG, audience=settings.jwt_audience)
    if verdict is None:
        return skipped(check, "issuer and audience are right; its signature needs the issuer's keys")
    if isinstance(verdict, Unreachable):
        return skipped(check, f"issuer and audience are right; its ServiceAccount cannot be looked up: {verdict}")
    if isinstance(verdict, Allow):
        return ok(check, f"{verdict.workload}")
    workload = getattr(verdict, "workload", None)
    detail = f": {verdict.detail}" if verdict.detail and verdict.reason is not Reason.MALFORMED_TOKEN else ""
    words = f"{f'{workload} ' if workload else ''}would be refused: {verdict.reason}{detail}"
    return failed(check, words, Cause.TOKEN_REFUSED, reason=verdict.reason)


def rbac(where: str, rights: Sequence[Right], trouble: str) -> list[Finding]:
    """Say which of the rights is missing, or that the API server at `where` is none."""
    check = "rbac"
    if not where:
        return [skipped(check, "ServiceAccounts come from SERVICE_ACCOUNTS_DIR")]
    if trouble:
        return [failed(check, f"{where}: {trouble}", Cause.API_UNREACHABLE)]
    findings, resources = [], list(dict.fromkeys(right.resource for right in rights))
    for resource, (verb, cause) in itertools.product(resources, VERBS.items()):
        places = [
            right.namespace or "all namespaces"
            for right in rights
            if right[:2] == (resource, verb) and right.status in (401, 403)
        ]
        if places:
            words = f"we may not {verb} {resource} in {', '.join(places)}"
            findings.append(failed(check, words, cause, resource=resource))
    return findings or [ok(check, f"list, watch and get on {' and '.join(resources)}")]


def clock(skew_seconds: float, api_ahead: float | None, nats_ahead: float | None) -> Finding:
    """Compare our clock with the API server's, who dates the tokens, and with the NATS server's, who ends sessions."""
    check = "clock"
    known = [
        (name, off) for name, off in (("the API server", api_ahead), ("nats-server", nats_ahead)) if off is not None
    ]
    if not known:
        return skipped(check, "unknown: neither the API server nor a NATS request told us the time")
    most = max(5.0, min(skew_seconds, _MOST_SECONDS_OFF))
    detail = ", ".join(f"{name} is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}" for name, off in known)
    return ok(check, detail) if all(abs(off) <= most for _, off in known) else failed(check, detail, Cause.CLOCK_OFF)
