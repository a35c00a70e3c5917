"""What waits to be answered: in order, the freshest first once that is hopeless; what is too old or too much goes."""

from collections import deque
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Room:
    """The bytes that several backlogs share, and whatever else counts itself in."""

    __slots__ = ("bytes_max", "used")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.used = 0

    @property
    def is_short(self) -> bool:
        """Whether something has to go."""
        return self.used > self.bytes_max


class _Waiting(NamedTuple, Generic[T]):
    item: T
    received: float
    size: int


class Backlog(Generic[T]):
    """Items in the order they came in. It never refuses one: whoever pushes looks at the room afterwards."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._items: deque[_Waiting[T]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def push(self, item: T, received: float, size: int) -> None:
        """Take an item of so many bytes."""
        self._items.append(_Waiting(item, received, size))
        self._room.used += size

    @property
    def oldest(self) -> float | None:
        """When the item that waits longest came in; None when nothing waits."""
        return self._items[0].received if self._items else None

    def pop(self, behind_before: float) -> T:
        """Return the item that came in first; or last, while there is one from before `behind_before`.

        In a flood only the freshest can still be in time. But always the freshest would let some wait to the end in a
        queue that is never long, only never empty.
        """
        is_behind = self._items[0].received < behind_before
        return self._take(self._items.pop() if is_behind else self._items.popleft())

    def shed(self) -> T:
        """Return, and forget, the item that came in first: it has to go for newer ones."""
        return self._take(self._items.popleft())

    def older_than(self, received: float) -> list[T]:
        """Return, and forget, everything that came in before this moment."""
        gone = []
        while self._items and self._items[0].received < received:
            gone.append(self._take(self._items.popleft()))
        return gone

    def _take(self, waiting: _Waiting[T]) -> T:
        self._room.used -= waiting.size
        return waiting.item
