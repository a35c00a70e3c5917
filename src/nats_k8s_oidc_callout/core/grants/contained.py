"""Whether one grant gives nothing that another does not give: who has the first loses nothing by keeping it."""

from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.grants import Made
from nats_k8s_oidc_callout.core.grants.reach import heard, of_side
from nats_k8s_oidc_callout.core.model import Permissions
from nats_k8s_oidc_callout.core.nats.subjects import Cover, meet
from nats_k8s_oidc_callout.core.nats.user import decode

# Tenants write patterns, and can write some that are slow to compare: so many pairs take 10 ms at the worst.
_PAIRS_MAX = 20_000


def contained(one: Made, other: Made) -> bool:
    """Say whether `other` is in the same account and gives every right that `one` gives.

    Exact, but for two grants that differ in too much to be compared in a turn: then it says no.
    """
    if one.account != other.account:
        return False
    if one.encoded == other.encoded:
        return True
    mine, theirs = decode(one.encoded), decode(other.encoded)
    return _replies(mine, theirs) and all(_side(mine, theirs, side) for side in Side)


def _replies(mine: Permissions, theirs: Permissions) -> bool:
    if not mine.replies_max:
        return True
    return mine.replies_max <= theirs.replies_max and mine.replies_ttl_seconds <= theirs.replies_ttl_seconds


def _side(mine: Permissions, theirs: Permissions, side: Side) -> bool:
    """Say whether all that is allowed and not denied by mine is so by theirs.

    To subscribe, the server matches a text as if it were a message's subject, so the same patterns compare what may be
    subscribed. What is heard then may be more than the pattern (NATS_FACTS 3.3), and denials take away of that.
    """
    (allowed, denied), (others, denials) = of_side(mine, side), of_side(theirs, side)
    known, more = set(others), set(denials).difference(denied)
    rest = [allow for allow in allowed if allow not in known]
    if len(rest) * (len(others) + len(denied)) + len(allowed) * len(more) > _PAIRS_MAX:
        return False
    if rest:
        cover = Cover((*others, *denied))
        if not all(map(cover.covers, rest)):
            return False
    if not more:
        return True
    gone = Cover(denied)
    reached = allowed if side is Side.PUBLISH else tuple(heard(allow, denied) for allow in allowed)
    taken = (meet(reach, denial) for reach in reached for denial in more)
    return all(part is None or gone.covers(part) for part in taken)
