"""The checks of the cluster: the issuer's keys, our own tokens, what we may ask the API server, its clock."""

from pathlib import Path

import msgspec

from nats_k8s_oidc_callout.adapters.kubernetes import ApiServer, ask
from nats_k8s_oidc_callout.app.inquiry import Inquiry
from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.model import Allow, Reason, Token
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, failed, ok, skipped
from nats_k8s_oidc_callout.errors import Unreachable, Unreadable
from nats_k8s_oidc_callout.settings import Settings

_VERBS = {
    "list": Cause.RBAC_LIST_MISSING,
    "watch": Cause.RBAC_WATCH_MISSING,
    "get": Cause.RBAC_GET_MISSING,
}
# However long the leeway that is configured: `exp` has none, and a minute is more than any synchronised clock is off.
_MOST_SECONDS_OFF = 60.0


async def jwks(inquiry: Inquiry) -> Finding:
    """Fetch the issuer's keys as the responder does."""
    check = "jwks"
    trouble = await inquiry.fetch_keys()
    where = inquiry.keys_source
    if not trouble:
        return ok(check, where)
    detail = f"{where}: {trouble}"
    if trouble.startswith("TLS:"):
        return failed(
            check,
            detail,
            Cause.JWKS_CA_UNKNOWN,
            fix="JWKS_CA_FILE must hold the authority that signed its certificate; for the API server that is ca.crt "
            "of K8S_CREDENTIALS_DIR",
        )
    if trouble.startswith(("status 401", "status 403")):
        return failed(
            check,
            detail,
            Cause.JWKS_FORBIDDEN,
            fix="bind the ClusterRole system:service-account-issuer-discovery to our ServiceAccount",
        )
    if trouble.startswith(("cannot connect", "no whole answer", "the answer ended")):
        return failed(
            check, detail, Cause.JWKS_UNREACHABLE, fix="is JWKS_URL right, and does a NetworkPolicy allow it?"
        )
    return failed(
        check, detail, Cause.JWKS_UNUSABLE, fix="JWKS_URL must give the issuer's key set: what answers there?"
    )


class _Claims(msgspec.Struct):
    iss: str = ""
    aud: str | list[str] = ""


_read_claims = reader(_Claims)


def _claims(token: str) -> _Claims | None:
    try:
        return _read_claims(base64url.decode(token.split(".")[1].encode()))
    except (IndexError, ValueError, Unreadable):
        return None


def _read(path: Path) -> str:
    try:
        return read_file(path).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def own_token(settings: Settings) -> Finding:
    """Compare the issuer in the token that every pod gets with the one that we expect."""
    check = "own token"
    path = settings.k8s_credentials_dir / "token"
    claims = _claims(_read(path))
    if claims is None:
        return skipped(check, f"there is none in {settings.k8s_credentials_dir}")
    if claims.iss not in settings.jwt_issuer:
        return _wrong_issuer(check, claims.iss, settings)
    return ok(check, f"issuer {claims.iss[:200]}")


def _wrong_issuer(check: str, issuer: str, settings: Settings) -> Finding:
    shown = ascii(issuer[:200])
    return failed(
        check,
        f"its issuer is {shown}, JWT_ISSUER is {', '.join(settings.jwt_issuer)}",
        Cause.ISSUER_WRONG,
        fix=f"JWT_ISSUER={issuer[:200]}" if issuer.isprintable() else "compare both, byte for byte",
    )


async def self_test_token(settings: Settings, inquiry: Inquiry, *, keys_failed: bool) -> Finding:
    """Judge the self-test's token as a client's is judged; what it claims first, since that needs nobody else."""
    check = "self-test token"
    path = settings.self_test_token_file
    if path is None:
        return skipped(check, "SELF_TEST_TOKEN_FILE is not set")
    token = _read(path)
    claims = _claims(token)
    if claims is None:
        return failed(
            check,
            f"{path} holds no ServiceAccount token",
            Cause.TOKEN_UNREADABLE,
            fix="mount a projected token there, with our audience",
        )
    if claims.iss not in settings.jwt_issuer:
        return _wrong_issuer(check, claims.iss, settings)
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if settings.jwt_audience not in audiences:
        return failed(
            check,
            f"its audience is {', '.join(audiences)[:200]!a}, JWT_AUDIENCE is {settings.jwt_audience}",
            Cause.AUDIENCE_WRONG,
            fix=f"project it with audience: {settings.jwt_audience}, as clients must do with theirs",
        )
    if keys_failed:
        return skipped(check, "issuer and audience are right; its signature needs the issuer's keys")
    return await _judge(check, inquiry, token)


async def _judge(check: str, inquiry: Inquiry, token: str) -> Finding:
    try:
        verdict = await inquiry.judge(Token(token))
    except Unreachable as error:
        return skipped(check, f"issuer and audience are right; its ServiceAccount cannot be looked up: {error}")
    if isinstance(verdict, Allow):
        return ok(check, f"{verdict.workload}")
    workload = getattr(verdict, "workload", None)
    detail = f": {verdict.detail}" if verdict.detail and verdict.reason is not Reason.MALFORMED_TOKEN else ""
    return failed(
        check,
        f"{f'{workload} ' if workload else ''}would be refused: {verdict.reason}{detail}",
        Cause.TOKEN_REFUSED,
        fix=f"docs/REFERENCE.md says what to do about {verdict.reason}",
    )


async def rbac(api: ApiServer | None, settings: Settings) -> tuple[list[Finding], float | None]:
    """Try list, watch and get wherever we need them; also say by how much the API server's clock is ahead."""
    check = "rbac"
    if api is None or settings.service_accounts_dir is not None:
        return [skipped(check, "ServiceAccounts come from SERVICE_ACCOUNTS_DIR")], None
    findings: list[Finding] = []
    ahead: float | None = None
    refused: dict[str, list[str]] = {}
    for namespace in settings.k8s_namespaces or ("",):
        for verb in _VERBS:
            try:
                answer = await ask(api, verb, namespace)
            except Unreachable as error:
                return [_unreachable(check, api, str(error))], ahead
            ahead = answer.ahead if answer.ahead is not None else ahead
            if answer.status in (401, 403):
                refused.setdefault(verb, []).append(namespace or "all namespaces")
            elif answer.status >= 400 and answer.status != 404:
                return [_unreachable(check, api, f"status {answer.status} to a {verb}")], ahead
    for verb, places in refused.items():
        findings.append(
            failed(
                check,
                f"we may not {verb} serviceaccounts in {', '.join(places)}",
                _VERBS[verb],
                fix=f"grant {verb} on serviceaccounts: check the (Cluster)Role and its binding to our ServiceAccount",
            )
        )
    return findings or [ok(check, "list, watch and get on serviceaccounts")], ahead


def _unreachable(check: str, api: ApiServer, why: str) -> Finding:
    return failed(
        check,
        f"{api.base_url}: {why}",
        Cause.API_UNREACHABLE,
        fix="KUBERNETES_SERVICE_HOST, or the kubeconfig, must lead to the API server, and ca.crt must be its own",
    )


def clock(settings: Settings, api_ahead: float | None, nats_ahead: float | None) -> Finding:
    """Compare our clock with the API server's, who dates the tokens, and with the NATS server's, who ends sessions."""
    check = "clock"
    known = [
        (name, off) for name, off in (("the API server", api_ahead), ("nats-server", nats_ahead)) if off is not None
    ]
    if not known:
        return skipped(check, "unknown: neither the API server nor a NATS request told us the time")
    most = max(5.0, min(settings.clock_skew_seconds, _MOST_SECONDS_OFF))
    detail = ", ".join(f"{name} is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}" for name, off in known)
    if all(abs(off) <= most for _, off in known):
        return ok(check, detail)
    return failed(
        check, detail, Cause.CLOCK_OFF, fix="synchronise the clocks (NTP) of this node, the API server and NATS"
    )
