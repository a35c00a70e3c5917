"""What a grant reaches, exactly: which subjects of a pattern may be published, subscribed, received.

Exact, since what two patterns have in common is a pattern again, and `subjects.covered` knows what a union covers.
"""

from collections.abc import Sequence

from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.model import Permissions
from nats_k8s_oidc_callout.core.nats.subjects import covered, meet, overlaps, subscribed


def may_all(permissions: Permissions, side: Side, pattern: str) -> bool:
    """Say whether every subject of `pattern` may be published; or whether the server takes `SUB pattern` whole."""
    allowed, denied = of_side(permissions, side)
    inside = covered(pattern, allowed) if side is Side.PUBLISH else server_takes(pattern, allowed)
    return inside and not any(overlaps(denial, pattern) for denial in denied)


def may_hear_all(permissions: Permissions, pattern: str) -> bool:
    """Say whether every message on `pattern` can be received, be it by several subscriptions or wider ones."""
    allowed, denied = of_side(permissions, Side.SUBSCRIBE)
    inside = covered(pattern, [heard(allow, denied) for allow in allowed])
    return inside and not any(overlaps(denial, pattern) for denial in denied)


def may_some(permissions: Permissions, side: Side, pattern: str) -> list[int]:
    """Return the positions of the allows by which a subject of `pattern` may be published, or received somehow."""
    allowed, denied = of_side(permissions, side)
    found = []
    # Most entries differ in their first letter, where a wildcard is a token by itself: 50,000 workloads are asked about.
    starts = "" if pattern[0] in "*>" else f"*>{pattern[0]}"
    for position, allow in enumerate(allowed):
        if starts and allow[0] not in starts:
            continue
        common = meet(allow if side is Side.PUBLISH else heard(allow, denied), pattern)
        if common is not None and not covered(common, denied):
            found.append(position)
    return found


def denied_of(permissions: Permissions, side: Side, pattern: str) -> list[str]:
    """Return what the denials take away of `pattern`."""
    parts = (meet(denial, pattern) for denial in of_side(permissions, side)[1])
    return [part for part in parts if part is not None]


def of_side(permissions: Permissions, side: Side) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the allows and the denials of one side."""
    if side is Side.PUBLISH:
        return permissions.publish, permissions.deny_publish
    return permissions.subscribe, permissions.deny_subscribe


def server_takes(subscription: str, patterns: Sequence[str]) -> bool:
    """Say whether nats-server finds `SUB subscription` among patterns.

    It matches the text as if it were a message's subject (NATS_FACTS 3.3): a `*` of a pattern takes the token `>`, too.
    """
    tokens = subscription.split(".")
    return any(_takes(pattern.split("."), tokens) for pattern in patterns)


def _takes(pattern: list[str], text: list[str]) -> bool:
    for place, token in enumerate(pattern):
        if token == ">":
            return len(text) > place
        if place == len(text) or token not in ("*", text[place]):
            return False
    return len(pattern) == len(text)


def heard(allow: str, denied: Sequence[str]) -> str:
    """Return all that can be heard by one allow. What goes beyond the allow itself needs that very subscription."""
    wider = subscribed(allow)
    return allow if wider != allow and server_takes(wider, denied) else wider
