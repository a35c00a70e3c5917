"""Whose claims are ours: issuer, audience, times, and the one workload that a token names."""

from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec
from msgspec import UNSET

from nats_k8s_oidc_callout.core.identity.tokens import Ref, VerifiedClaims
from nats_k8s_oidc_callout.core.model import Deny, Reason, Workload
from nats_k8s_oidc_callout.core.names import LONGEST, is_label, is_subdomain

_MAX_UID = 128
# Both are told in the log, which cuts them at 128. Kubernetes writes a uuid, and names of pods are no longer than others.
_MAX_JTI = 256
_MAX_AUDIENCE = 256
MAX_AUDIENCES = 16


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What a token must claim. Several issuers are several names of one cluster's key set, never several clusters."""

    issuers: tuple[str, ...]
    audience: str
    clock_skew_seconds: float
    """Leeway on `nbf` and `iat`; there is none on `exp`."""
    token_max_lifetime_seconds: int


class Proved(msgspec.Struct, frozen=True, gc=False):
    """What an accepted token proves for as long as it lasts: all that a later login needs of it. Only `accept` makes one.

    Without the token's text, and its texts are cut: thousands of these are remembered.
    """

    workload: Workload
    exp: int
    not_before: int
    """The later one of `nbf` and `iat`."""
    warnafter: int | None = None
    other_audiences: tuple[str, ...] = ()
    """Whoever receives the token for one of those can replay it here."""
    kid: str = ""
    """The issuer's name of the key that has signed it."""
    issued: int = 0
    """Its `iat`."""


def accept(claims: VerifiedClaims, rules: ClaimRules, now: float, kid: str = "") -> Proved | Deny:
    """Return what a token proves at `now`, or why it does not; a Deny names the workload once it is known.

    `kid` is that of the key by which it was verified.
    """
    # Byte for byte: AKS issuers end in a slash that matters.
    if claims.iss is UNSET or claims.iss not in rules.issuers:
        return Deny(Reason.WRONG_ISSUER, _shown(claims.iss))
    audiences = claims.audiences
    if len(audiences) > MAX_AUDIENCES:
        return Deny(Reason.BAD_CLAIMS, f"it has {len(audiences)} audiences, and may have {MAX_AUDIENCES}")
    if rules.audience not in audiences:
        # The commonest mistake: a pod's own token for the API server. The signature holds, so it may be said whose.
        named = ", ".join(_shown(audience) for audience in audiences[:4]) or "none"
        return Deny(Reason.WRONG_AUDIENCE, f"{_shown(claims.sub)} has a token for {named}")
    workload = workload_of(claims)
    if isinstance(workload, Deny):
        return workload
    exp, nbf, iat = claims.exp, claims.nbf, claims.iat
    if exp is UNSET or nbf is UNSET or iat is UNSET:
        return Deny(Reason.BAD_CLAIMS, "exp, nbf or iat is missing", workload)
    kubernetes = claims.kubernetes
    warnafter = None if kubernetes is UNSET or kubernetes.warnafter is UNSET else kubernetes.warnafter
    others = () if len(audiences) == 1 else tuple(one[:_MAX_AUDIENCE] for one in audiences if one != rules.audience)
    proved = Proved(workload, exp, max(nbf, iat), warnafter, others, kid, iat)
    refusal = _refuse_time(proved, rules, now) or _refuse_span(exp, iat, rules) or _refuse_warned(proved, now)
    return proved if refusal is None else replace(refusal, workload=workload)


def refuse_now(proved: Proved, rules: ClaimRules, now: float) -> Deny | None:
    """Return why what was proved before is no longer good at `now`, or not yet: all of it that time can change."""
    refusal = _refuse_time(proved, rules, now) or _refuse_warned(proved, now)
    return None if refusal is None else replace(refusal, workload=proved.workload)


def workload_of(claims: VerifiedClaims) -> Workload | Deny:
    """Return the workload that `sub` and `kubernetes.io` agree on."""
    kubernetes = claims.kubernetes
    if kubernetes is UNSET or kubernetes.serviceaccount is UNSET:
        return Deny(Reason.BAD_CLAIMS, "kubernetes.io names no ServiceAccount")
    namespace, account = kubernetes.namespace, kubernetes.serviceaccount
    if not isinstance(namespace, str) or not is_label(namespace):
        return Deny(Reason.BAD_CLAIMS, "namespace is not a Kubernetes name")
    name, uid = account.name, account.uid
    if not isinstance(name, str) or not is_subdomain(name):
        return Deny(Reason.BAD_CLAIMS, "ServiceAccount is not a Kubernetes name")
    if not isinstance(uid, str) or not 0 < len(uid) <= _MAX_UID or not uid.isprintable():
        return Deny(Reason.BAD_CLAIMS, "ServiceAccount has no usable uid")
    workload = Workload(
        _shared(namespace),
        _shared(name),
        _shared(uid),
        pod="" if kubernetes.pod is UNSET else _shared(_pod_name(kubernetes.pod)),
        jti="" if claims.jti is UNSET else claims.jti[:_MAX_JTI],
    )
    # Names hold no colon, so equality with the one spelling leaves nothing to split.
    if claims.sub != workload.username:
        return Deny(Reason.BAD_CLAIMS, "sub disagrees with kubernetes.io")
    return workload


@lru_cache(8192)
def _shared(text: str) -> str:
    """Return the same object for the same words: thousands of tokens that are remembered name the same workloads."""
    return text


def _pod_name(pod: Ref) -> str:
    return "" if pod.name is UNSET else pod.name[:LONGEST]


def _refuse_time(proved: Proved, rules: ClaimRules, now: float) -> Deny | None:
    # No leeway: a session ends at exp, so one that begins after it would never end.
    if now >= proved.exp:
        return Deny(Reason.EXPIRED, f"{now - proved.exp:.0f} s ago")
    if proved.not_before > now + rules.clock_skew_seconds:
        return Deny(Reason.NOT_YET_VALID, f"for {proved.not_before - now:.0f} s")
    return None


def _refuse_span(exp: int, iat: int, rules: ClaimRules) -> Deny | None:
    if exp <= iat:
        return Deny(Reason.BAD_CLAIMS, "exp is not after iat")
    lifetime = exp - iat
    if lifetime > rules.token_max_lifetime_seconds:
        return Deny(Reason.LIFETIME_TOO_LONG, f"{lifetime} s")
    return None


def _refuse_warned(proved: Proved, now: float) -> Deny | None:
    # An API server extends its own tokens to a year and writes here when they were meant to end.
    if proved.warnafter is not None and now >= proved.warnafter:
        return Deny(Reason.EXPIRED, "warnafter has passed")
    return None


def _shown(text: object) -> str:
    """Return client-chosen text for a log: escaped, at most 128 characters of it."""
    return "missing" if text is UNSET else ascii(str(text)[:128])
