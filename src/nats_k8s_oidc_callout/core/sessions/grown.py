"""Earlier grants that today's contain."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

_GROWN = 4
_GROWN_WORKLOADS = 2000
GROWN_BYTES = 4 << 20
"""Of earlier grants that are remembered; tenants choose how large each is."""

_Workload = tuple[str, str]
_Grant = TypeVar("_Grant")


class Grown(Generic[_Grant]):
    """Earlier grants that today's contain: who began with one of them has nothing to lose, and stays."""

    def __init__(self, within: Callable[[_Grant, _Grant], bool], weigh: Callable[[_Grant], int] = lambda _: 0) -> None:
        """`within(one, other)` says whether `other` gives all that `one` gives, and in the same account.

        `weigh` returns the bytes of one.
        """
        self._within, self._weigh = within, weigh
        self.size = 0
        """Of all, in bytes."""
        self._of: dict[_Workload, dict[str, _Grant]] = {}

    def change(self, workload: _Workload, old: tuple[str, _Grant] | None, new: tuple[str, _Grant] | None) -> None:
        """Take in that a workload's grant changed, each with its mark; None for no grant."""
        earlier = self._forget(workload)
        if old is not None:
            earlier.pop(old[0], None)
            earlier[old[0]] = old[1]
        if new is None:
            return
        kept = [(mark, grant) for mark, grant in earlier.items() if mark != new[0] and self._within(grant, new[1])]
        if kept:
            self._of[workload] = dict(kept[-_GROWN:])
            self.size += self._weight(self._of[workload])
            while len(self._of) > _GROWN_WORKLOADS or self.size > GROWN_BYTES:
                self._forget(next(iter(self._of)))

    def _forget(self, workload: _Workload) -> dict[str, _Grant]:
        earlier = self._of.pop(workload, {})
        self.size -= self._weight(earlier)
        return earlier

    def _weight(self, grants: dict[str, _Grant]) -> int:
        return sum(map(self._weigh, grants.values()))

    def holds(self, workload: _Workload, mark: str) -> bool:
        """Say whether a grant with this mark is known to be contained in today's."""
        return mark in self._of.get(workload, ())


class Contained(Protocol):
    """What `judge` asks of `Grown`, whatever grants are."""

    def holds(self, workload: _Workload, mark: str) -> bool: ...
