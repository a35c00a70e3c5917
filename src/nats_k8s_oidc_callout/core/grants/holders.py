"""Whether one workload may publish or receive something, by what, and what it could do beside its permissions."""

from typing import NamedTuple

from nats_k8s_oidc_callout.core.grants.annotations import Grant
from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.reach import denied_of, may_all, may_hear_all, may_some
from nats_k8s_oidc_callout.core.grants.terms import ReplyMode

# What JetStream answers goes wherever the request says, and so does what a push consumer delivers (NATS_FACTS 3.6).
AIMED = tuple(
    f"$JS.API.{verb}.>" for verb in ("CONSUMER.MSG.NEXT", "DIRECT.GET", "CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE")
)


class Hold(NamedTuple):
    """What one workload has of a subject: may publish of it, or can receive of it whatever it subscribes."""

    whole: bool
    """All of it, else some."""
    subject: str
    """The entry that gives it, the first of them."""
    origin: str
    denied: tuple[str, ...]
    """What denials take away of it."""


def hold(grant: Grant, side: Side, pattern: str) -> Hold | None:
    """Return what this grant has of `pattern`, None for nothing."""
    permissions = grant.permissions
    found = may_some(permissions, side, pattern)
    if not found:
        return None
    allowed, origins = permissions.publish, grant.publish_origins
    if side is Side.SUBSCRIBE:
        allowed, origins = permissions.subscribe, grant.subscribe_origins
    first = found[0]
    whole = may_all(permissions, side, pattern) if side is Side.PUBLISH else may_hear_all(permissions, pattern)
    return Hold(whole, allowed[first], origins[first], tuple(denied_of(permissions, side, pattern)))


def may_answer_itself(grant: Grant) -> bool:
    """Say whether it could publish anything in its account by answering itself (NATS_FACTS 3.5)."""
    return grant.terms.reply_mode is ReplyMode.RESPONSES


def may_aim(grant: Grant) -> bool:
    """Say whether it could have JetStream's answers, messages among them, delivered to any subject of its account."""
    # Nearly nobody has an entry below $JS: look at that before the rest.
    if not any(subject.startswith(("$JS.", "*", ">")) for subject in grant.permissions.publish):
        return False
    return any(may_some(grant.permissions, Side.PUBLISH, aimed) for aimed in AIMED)
