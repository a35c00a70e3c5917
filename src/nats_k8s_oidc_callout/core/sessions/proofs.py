"""Which ServiceAccounts are looked up one by one, so that what we know of them is surely newer than a session.

A watch may hang and not know it. Whom it would have us end is asked about first, at the API server: one ServiceAccount
and not all of them, since a tenant who logs in at a replica that is behind makes this happen as often as he likes.
"""

import math
from collections import OrderedDict
from typing import NamedTuple

from nats_k8s_oidc_callout.core.sessions.turns import Bucket, Buckets

LOOKS_PER_SECOND = 20.0
"""Of one replica. A namespace gets a quarter of it at most, and they take turns."""
AGAIN_SECONDS = 2.0
"""Least time between two looks at one ServiceAccount."""
BEHIND_SECONDS = 2.0
"""A watch that tells no change for so long, where the cluster says that there is one, hangs."""
LIST_SECONDS = 60.0
"""Least time between two lists for that: it may just be slow."""
_WORKLOADS = 10_000

_Workload = tuple[str, str]


class _Look(NamedTuple):
    at: float = -math.inf
    true_at: float = -math.inf
    other_since: float = math.inf


_NEVER = _Look()


class Proofs:
    """Whom to look up next, and what was found. Times are Unix seconds, of our clock."""

    def __init__(self) -> None:
        self._all, self._namespaces = Bucket(LOOKS_PER_SECOND), Buckets(LOOKS_PER_SECOND / 4)
        self._wanted: OrderedDict[str, dict[str, None]] = OrderedDict()
        self._looks: OrderedDict[_Workload, _Look] = OrderedDict()
        self._listed = -math.inf

    def of(self, workload: _Workload) -> float:
        """Return when what we know of a ServiceAccount was last seen to be true; minus infinity for never.

        What we came to know of it later is newer still.
        """
        return self._looks.get(workload, _NEVER).true_at

    def want(self, workload: _Workload, now: float) -> None:
        """Have a ServiceAccount (namespace, name) looked up, unless it was just now."""
        if not 0 <= now - self._looks.get(workload, _NEVER).at < AGAIN_SECONDS:
            self._wanted.setdefault(workload[0], {})[workload[1]] = None

    def take(self, now: float) -> _Workload | None:
        """Return, and forget, whom to look up at this moment; None while there is nobody, or enough were."""
        if not self._all.has(now):
            return None
        for _ in range(len(self._wanted)):
            namespace, names = self._wanted.popitem(last=False)
            bucket = self._namespaces.of(namespace)
            found = next(iter(names)) if bucket.has(now) else None
            if found is not None:
                del names[found]
            if names:
                self._wanted[namespace] = names
            if found is not None:
                bucket.take()
                self._all.take()
                workload = namespace, found
                self._note(workload, self._looks.get(workload, _NEVER)._replace(at=now))
                return workload
        return None

    def same(self, workload: _Workload, asked: float) -> None:
        """Take in that the cluster, asked at this moment, said of a ServiceAccount what we know of it."""
        self._note(workload, _Look(asked, asked))

    def other(self, workload: _Workload, asked: float) -> bool:
        """Take in that it said something else; say whether a list is needed, since the watch does not tell of it."""
        look = self._looks.get(workload, _NEVER)
        self._note(workload, look._replace(other_since=min(look.other_since, asked)))
        if asked - look.other_since < BEHIND_SECONDS or 0 <= asked - self._listed < LIST_SECONDS:
            return False
        self._listed = asked
        return True

    def changed(self, workload: _Workload) -> None:
        """Take in that the watch told of a change: it does not hang."""
        look = self._looks.get(workload)
        if look is not None:
            self._looks[workload] = look._replace(other_since=math.inf)

    def _note(self, workload: _Workload, look: _Look) -> None:
        self._looks.pop(workload, None)
        self._looks[workload] = look
        if len(self._looks) > _WORKLOADS:
            self._looks.popitem(last=False)
