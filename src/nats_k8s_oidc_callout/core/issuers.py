"""Whose claims are ours: issuer, audience, times, and the one workload that a token names."""

import re
from dataclasses import dataclass, replace

from msgspec import UNSET

from nats_k8s_oidc_callout.core.model import Deny, Reason, Workload
from nats_k8s_oidc_callout.core.tokens import Ref, VerifiedClaims

# RFC 1123 label and subdomain, as Kubernetes' apimachinery validates them. \Z and no IGNORECASE: neither a newline
# nor a look-alike letter gets in, since these names become subjects.
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.ASCII)
_MAX_NAME = 253
_MAX_UID = 128


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What a token must claim. Several issuers are several names of one cluster's key set, never several clusters."""

    issuers: tuple[str, ...]
    audience: str
    clock_skew_seconds: float = 30
    """Leeway on `nbf` and `iat`; there is none on `exp`."""
    token_max_lifetime_seconds: int = 86_400
    require_pod_bound: bool = False


def identify(claims: VerifiedClaims, rules: ClaimRules, now: float) -> Workload | Deny:
    """Return the workload that a token speaks for at `now`, or why it does not; a Deny names it once it is known."""
    # Byte for byte: AKS issuers end in a slash that matters.
    if claims.iss is UNSET or claims.iss not in rules.issuers:
        return Deny(Reason.WRONG_ISSUER, _shown(claims.iss))
    if rules.audience not in claims.audiences:
        # The commonest mistake: a pod's own token for the API server. The signature holds, so it may be said whose.
        audiences = ", ".join(_shown(audience) for audience in claims.audiences[:4]) or "none"
        return Deny(Reason.WRONG_AUDIENCE, f"{_shown(claims.sub)} has a token for {audiences}")
    workload = _named(claims)
    if isinstance(workload, Deny):
        return workload
    refusal = _refuse_times(claims, rules, now)
    if refusal is None and rules.require_pod_bound and not workload.pod:
        refusal = Deny(Reason.NOT_POD_BOUND)
    return workload if refusal is None else replace(refusal, workload=workload)


def extra_audiences(claims: VerifiedClaims, rules: ClaimRules) -> tuple[str, ...]:
    """Return the other audiences of a token: whoever receives it for one of those can replay it here."""
    audiences = claims.audiences
    # Nearly every token has one audience, and this is asked at each login.
    return () if len(audiences) == 1 else tuple(audience for audience in audiences if audience != rules.audience)


def _named(claims: VerifiedClaims) -> Workload | Deny:
    """Return the workload that `sub` and `kubernetes.io` agree on."""
    kubernetes = claims.kubernetes
    if kubernetes is UNSET or kubernetes.serviceaccount is UNSET:
        return Deny(Reason.BAD_CLAIMS, "kubernetes.io names no ServiceAccount")
    namespace, account = kubernetes.namespace, kubernetes.serviceaccount
    if not isinstance(namespace, str) or not _LABEL.fullmatch(namespace):
        return Deny(Reason.BAD_CLAIMS, "namespace is not a Kubernetes name")
    name, uid = account.name, account.uid
    if not isinstance(name, str) or len(name) > _MAX_NAME or not _SUBDOMAIN.fullmatch(name):
        return Deny(Reason.BAD_CLAIMS, "ServiceAccount is not a Kubernetes name")
    if not isinstance(uid, str) or not 0 < len(uid) <= _MAX_UID or not uid.isprintable():
        return Deny(Reason.BAD_CLAIMS, "ServiceAccount has no usable uid")
    workload = Workload(
        namespace,
        name,
        uid,
        pod="" if kubernetes.pod is UNSET else _pod_name(kubernetes.pod),
        jti="" if claims.jti is UNSET else claims.jti,
    )
    # Names hold no colon, so equality with the one spelling leaves nothing to split.
    if claims.sub != workload.username:
        return Deny(Reason.BAD_CLAIMS, "sub disagrees with kubernetes.io")
    return workload


def _pod_name(pod: Ref) -> str:
    return "" if pod.name is UNSET else pod.name


def _refuse_times(claims: VerifiedClaims, rules: ClaimRules, now: float) -> Deny | None:
    if claims.exp is UNSET or claims.nbf is UNSET or claims.iat is UNSET:
        return Deny(Reason.BAD_CLAIMS, "exp, nbf or iat is missing")
    # No leeway: a session ends at exp, so one that begins after it would never end.
    if now >= claims.exp:
        return Deny(Reason.EXPIRED, f"{now - claims.exp:.0f} s ago")
    latest = now + rules.clock_skew_seconds
    if claims.nbf > latest or claims.iat > latest:
        return Deny(Reason.NOT_YET_VALID, f"for {max(claims.nbf, claims.iat) - now:.0f} s")
    if claims.exp <= claims.iat:
        return Deny(Reason.BAD_CLAIMS, "exp is not after iat")
    lifetime = claims.exp - claims.iat
    if lifetime > rules.token_max_lifetime_seconds:
        return Deny(Reason.LIFETIME_TOO_LONG, f"{lifetime} s")
    # An API server extends its own tokens to a year and writes here when they were meant to end.
    kubernetes = claims.kubernetes
    if kubernetes is not UNSET and kubernetes.warnafter is not UNSET and now >= kubernetes.warnafter:
        return Deny(Reason.EXPIRED, "warnafter has passed")
    return None


def _shown(text: object) -> str:
    """Return client-chosen text for a log: escaped, at most 128 characters of it."""
    return "missing" if text is UNSET else ascii(str(text)[:128])
