"""How long this process could not run at all: a machine that stands still for seconds is no slowness of what is measured.

A thread wants to wake 20 times a second. Where it wakes much later, nobody here could measure anything.
"""

import functools
import threading
import time

_PERIOD_SECONDS, _STALL_SECONDS = 0.05, 0.3


class _Watch:
    def __init__(self) -> None:
        self._lock, self._looked, self._lost = threading.Lock(), time.monotonic(), 0.0
        self._stalls: list[tuple[float, float]] = []
        threading.Thread(target=self._run, name="stalls", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(_PERIOD_SECONDS)
            self.look()

    def look(self) -> tuple[float, list[tuple[float, float]]]:
        """Return for how long we could run so far, and all stalls, as of this moment."""
        with self._lock:
            now = time.monotonic()
            late, self._looked = now - self._looked, now
            if late > _STALL_SECONDS:
                self._lost += late
                self._stalls.append((time.time() - late, time.time()))
            return now - self._lost, list(self._stalls)


@functools.cache
def _watch() -> _Watch:
    return _Watch()


def awake() -> float:
    """Return seconds as `time.monotonic` does, without those of stalls since the first call."""
    return _watch().look()[0]


def silence(since: float, until: float) -> float:
    """Return for how long a client heard nothing between two messages (Unix seconds), but for what stalls cost it.

    That is up to three times their length: a login that they hit is refused, and tried again after a wait.
    """
    return max(0.0, until - since - 3 * stalled(since, until))


def stalled(since: float, until: float) -> float:
    """Return how much of this time (Unix seconds) was stalls. Only what follows a first call of `awake` is known."""
    return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in _watch().look()[1])
