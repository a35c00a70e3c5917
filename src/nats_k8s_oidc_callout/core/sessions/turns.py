"""In what order and how fast sessions are taken up."""

import math
from collections import OrderedDict
from collections.abc import Callable
from heapq import heapify, heappush

from nats_k8s_oidc_callout.core.sessions.table import Connection

_NAMESPACES = 10_000

Slot = tuple[Connection, bool]
"""A session that is to end, and whether for a renewal."""


class Bucket:
    """So many a second, and a burst; never asked for more than it has."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float) -> None:
        self._rate, self._burst = rate, max(rate / 10, 2.0)
        self._left, self._at = self._burst, -math.inf

    def has(self, now: float) -> bool:
        # A clock that was set back gives nothing, and must not stand still until it is where it was.
        self._left = min(self._burst, self._left + max(now - self._at, 0.0) * self._rate)
        self._at = now
        return self._left >= 1

    def take(self) -> None:
        self._left -= 1


class Buckets:
    """A bucket of the same rate for each namespace."""

    __slots__ = ("_of", "_rate")

    def __init__(self, rate: float) -> None:
        self._of: OrderedDict[str, Bucket] = OrderedDict()
        self._rate = rate

    def __len__(self) -> int:
        return len(self._of)

    def of(self, namespace: str) -> Bucket:
        found = self._of.get(namespace)
        if found is None:
            found = self._of[namespace] = Bucket(self._rate)
            if len(self._of) > _NAMESPACES:
                self._of.popitem(last=False)
        return found


class Queue:
    """The sessions of one reason: namespaces take turns, and in each the lowest number is first."""

    __slots__ = ("entries", "namespaces")

    def __init__(self) -> None:
        self.namespaces: OrderedDict[str, list[tuple[float, int, Slot]]] = OrderedDict()
        self.entries = 0

    def push(self, namespace: str, order: float, serial: int, slot: Slot) -> None:
        heappush(self.namespaces.setdefault(namespace, []), (order, serial, slot))
        self.entries += 1

    def keep(self, lives: Callable[[int, Slot], bool]) -> None:
        """Forget what does not wait any more."""
        self.entries = 0
        for namespace, heap in tuple(self.namespaces.items()):
            heap[:] = [entry for entry in heap if lives(*entry[1:])]
            heapify(heap)
            self.entries += len(heap)
            if not heap:
                del self.namespaces[namespace]
