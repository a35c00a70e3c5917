"""When one cause condemns so many sessions that it may be a mistake."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from nats_k8s_oidc_callout.core.sessions.judging import Reason

MASS_SECONDS = 60.0
"""How long a cause waits that condemns more than so many sessions, and more than this share of all."""
MASS_SESSIONS = 100
MASS_SHARE = 0.2
LIST_SECONDS = 30.0
"""After so long a mass of deletions wants a list. Not before: a tenant with many sessions can make one begin and end as
he likes, and must not have all ServiceAccounts listed each time."""

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
# Tenants make these happen, too, by their annotations.
_TENANTS = "policy"


class _Mass(NamedTuple):
    began: float
    released: bool


class Masses:
    """The causes that are watched."""

    def __init__(self) -> None:
        self._found: dict[str, _Mass] = {}
        self._of: Counter[str] = Counter()
        # Of each namespace no more than its tenant can condemn without being a mass.
        self._spread = 0
        self._most = 0.0
        self.wants_list = False
        """Deletions wait for a whole list of ServiceAccounts that begins after them."""

    @property
    def waiting(self) -> frozenset[str]:
        """Those whose sessions are not ended yet."""
        return frozenset(cause for cause, mass in self._found.items() if not mass.released)

    def count(self, reason: Reason, namespace: str, by: int) -> None:
        """Take in that one more is condemned (1), or one less (-1)."""
        if CAUSE_OF.get(reason) == _TENANTS:
            before, after = self._of[namespace], self._of[namespace] + by
            self._spread += min(after, MASS_SESSIONS) - min(before, MASS_SESSIONS)
            self._of[namespace] = after
            if not after:
                del self._of[namespace]

    def stops(self, reason: Reason) -> bool:
        """Say whether all wait that are condemned for this reason."""
        cause = CAUSE_OF.get(reason)
        return cause in self.waiting and (cause != _TENANTS or self._spread > self._most)

    def holds(self, reason: Reason, namespace: str) -> bool:
        """Say whether those of a namespace wait: a mass of few namespaces, whose tenants may have made it, stops no others."""
        return CAUSE_OF.get(reason) in self.waiting and self._of[namespace] > MASS_SESSIONS

    def weigh(self, condemned: Mapping[Reason, int], now: float, total: int, listed_at: float) -> None:
        """Take in how many of `total` sessions are condemned, by reason; times in Unix seconds.

        `listed_at` is when the last whole list of ServiceAccounts began: deletions wait for one that began after them.
        """
        counts: Counter[str] = Counter()
        self._most = max(MASS_SESSIONS, MASS_SHARE * total)
        for reason, cause in CAUSE_OF.items():
            counts[cause] += condemned.get(reason, 0)
        for cause in CAUSES:
            mass, is_many = self._found.get(cause), counts[cause] > self._most
            if mass is None or mass.began > now:
                # Or the clock was set back.
                if is_many:
                    self._found[cause] = _Mass(now, released=False)
            elif not counts[cause] or not (is_many or mass.released):
                del self._found[cause]
            elif now - mass.began >= MASS_SECONDS and (cause != "deleted" or listed_at > mass.began):
                self._found[cause] = mass._replace(released=True)
        mass = self._found.get("deleted")
        self.wants_list = mass is not None and now - mass.began >= LIST_SECONDS and listed_at <= mass.began
