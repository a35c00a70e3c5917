"""How many log lines a second a stranger can cause: so many for each key, the rest counted and told."""

from typing import NamedTuple


class Suppressed(NamedTuple):
    """`number` lines about `key` were not written in a second that is over."""

    key: str
    number: int


class Sampler:
    """Lets `per_second` events of each key through in each whole second. Keys must be a closed set.

    What it held back is never lost: `due` tells it once the second is over, also when nothing further comes.
    """

    __slots__ = ("_ended", "_per_second", "_windows")

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._windows: dict[str, list[int]] = {}
        self._ended: list[Suppressed] = []

    def admit(self, key: str, monotonic: float) -> bool:
        """Say whether the event at `monotonic` (seconds) may be written; a refusal is counted."""
        second = int(monotonic)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = [second, 0, 0]
        elif window[0] != second:
            self._end(key, window, second)
        if window[1] < self._per_second:
            window[1] += 1
            return True
        window[2] += 1
        return False

    def due(self, monotonic: float | None) -> list[Suppressed]:
        """Return, once, what was held back in the seconds before `monotonic`, or ever (None: the last before exit)."""
        second = None if monotonic is None else int(monotonic)
        for key, window in self._windows.items():
            if window[2] and window[0] != second:
                self._end(key, window, window[0] if second is None else second)
        ended, self._ended = self._ended, []
        return ended

    def _end(self, key: str, window: list[int], second: int) -> None:
        if window[2]:
            self._ended.append(Suppressed(key, window[2]))
        window[:] = (second, 0, 0)
