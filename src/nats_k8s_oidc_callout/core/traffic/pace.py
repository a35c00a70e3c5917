"""How much of a kind may be done a second, where doing more would take the time of the others."""

import math


class Pace:
    """At most so many a second (infinity: no bound), and a tenth of a second's worth at once, but at least one."""

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, per_second: float = math.inf) -> None:
        self._at: float | None = None
        self._left = math.inf
        self.change(per_second)

    def change(self, per_second: float) -> None:
        """From now on allow so many a second."""
        self._per_second = per_second
        self._most = max(1.0, per_second / 10)
        self._left = min(self._left, self._most)

    def take(self, wanted: int, monotonic: float) -> int:
        """Return how many of the wanted ones may be done now, and count them as done."""
        if math.isinf(self._per_second):
            self._left = math.inf
            return wanted
        if self._at is not None:
            self._left = min(self._most, self._left + (monotonic - self._at) * self._per_second)
        self._at = monotonic
        taken = min(wanted, int(self._left))
        self._left -= taken
        return taken

    @property
    def wait(self) -> float:
        """In how many seconds, counted from the last `take`, one more may be done; 0 when it may be at once."""
        return 0.0 if self._left >= 1 else (1 - self._left) / self._per_second
