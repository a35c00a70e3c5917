"""What waits to be answered: in order, the freshest first once that is hopeless; what is too old or too much goes."""

from collections import deque
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Waiting(NamedTuple, Generic[T]):
    item: T
    received: float
    size: int


class Backlog(Generic[T]):
    """Items in the order they came in.

    Bounded by `bytes_max`: the oldest goes for the newest.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._items: deque[_Waiting[T]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def push(self, item: T, received: float, size: int) -> list[T]:
        """Take an item of so many bytes; return what had to go for it."""
        self._items.append(_Waiting(item, received, size))
        self._bytes += size
        gone = []
        while self._bytes > self._bytes_max and len(self._items) > 1:
            gone.append(self._take(self._items.popleft()))
        return gone

    def pop(self, behind_before: float) -> T:
        """Return the item that came in first; or last, while there is one from before `behind_before`.

        In a flood only the freshest can still be in time. But always the freshest would let some wait to the end in a
        queue that is never long, only never empty.
        """
        is_behind = self._items[0].received < behind_before
        return self._take(self._items.pop() if is_behind else self._items.popleft())

    def older_than(self, received: float) -> list[T]:
        """Return, and forget, everything that came in before this moment."""
        gone = []
        while self._items and self._items[0].received < received:
            gone.append(self._take(self._items.popleft()))
        return gone

    def _take(self, waiting: _Waiting[T]) -> T:
        self._bytes -= waiting.size
        return waiting.item
