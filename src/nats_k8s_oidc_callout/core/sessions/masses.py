"""When one cause condemns so many sessions that it may be a mistake."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from nats_k8s_oidc_callout.core.sessions.judging import Reason

MASS_SECONDS = 60.0
"""How long a cause waits that condemns more than so many sessions, and more than this share of all."""
MASS_SESSIONS = 100
MASS_SHARE = 0.2

CAUSE_OF = {
    Reason.DELETED: "deleted",
    Reason.RECREATED: "deleted",
    Reason.REFUSED: "policy",
    Reason.ACCOUNT: "policy",
    Reason.NARROWED: "policy",
    Reason.KEY: "key",
}
"""What one mistake may condemn all at once. Entries of `revoked` and kicks by hand are meant."""
CAUSES = ("deleted", "policy", "key")


class _Mass(NamedTuple):
    began: float
    released: bool


class Masses:
    """The causes that are watched."""

    def __init__(self) -> None:
        self._found: dict[str, _Mass] = {}

    @property
    def waiting(self) -> frozenset[str]:
        """Those whose sessions are not ended yet."""
        return frozenset(cause for cause, mass in self._found.items() if not mass.released)

    def weigh(self, condemned: Mapping[Reason, int], now: float, total: int, listed_at: float) -> None:
        """Take in how many of `total` sessions are condemned, by reason; times in Unix seconds.

        `listed_at` is when the last whole list of ServiceAccounts began: deletions wait for one that began after them.
        """
        counts: Counter[str] = Counter()
        for reason, cause in CAUSE_OF.items():
            counts[cause] += condemned.get(reason, 0)
        for cause in CAUSES:
            mass, is_many = self._found.get(cause), counts[cause] > max(MASS_SESSIONS, MASS_SHARE * total)
            if mass is None or mass.began > now:
                # Or the clock was set back.
                if is_many:
                    self._found[cause] = _Mass(now, released=False)
            elif not counts[cause] or not (is_many or mass.released):
                del self._found[cause]
            elif now - mass.began >= MASS_SECONDS and (cause != "deleted" or listed_at > mass.began):
                self._found[cause] = mass._replace(released=True)
