"""A clock that jumps from event to event, processors that threads share, and a CPU limit as Kubernetes sets one.

Times are seconds. Nothing here knows NATS, reads a real clock or draws a number.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

PERIOD_SECONDS = 0.1
# Go lets a goroutine that always has something to do run for so long before others get their turn.
SLICE_SECONDS = 0.01

Action = Callable[..., None]


class Clock:
    """Runs actions in the order of their time; those of the same time in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Action, tuple[object, ...]]] = []
        self._asked = 0

    def at(self, moment: float, action: Action, *args: object) -> None:
        """Run this action at that moment, or now if that is past."""
        self._asked += 1
        heapq.heappush(self._heap, (max(moment, self.now), self._asked, action, args))

    def run(self, until: float = math.inf) -> None:
        """Run until nothing is left to do, or until that moment."""
        while self._heap and self._heap[0][0] <= until:
            self.now, _, action, args = heapq.heappop(self._heap)
            action(*args)


class Processors:
    """`count` processors that all who run share equally, nobody using more than one: what a fair scheduler comes to."""

    def __init__(self, clock: Clock, count: float) -> None:
        self._clock = clock
        self._count = count
        self._running: list[tuple[float, int, Action, tuple[object, ...]]] = []
        self._begun = 0
        # What each thread that ran all the time has got so far, and since when that is true.
        self._given, self._since = 0.0, 0.0
        self._plan = 0

    def run(self, work: float, action: Action, *args: object) -> None:
        """Begin so many seconds of work now, and run the action when they are done."""
        self._advance()
        self._begun += 1
        heapq.heappush(self._running, (self._given + work, self._begun, action, args))
        self._ask()

    @property
    def _rate(self) -> float:
        return min(1.0, self._count / len(self._running)) if self._running else 0.0

    def _advance(self) -> None:
        self._given += (self._clock.now - self._since) * self._rate
        self._since = self._clock.now

    def _ask(self) -> None:
        self._plan += 1
        if self._running:
            left = self._running[0][0] - self._given
            self._clock.at(self._clock.now + left / self._rate, self._done, self._plan)

    def _done(self, plan: int) -> None:
        if plan != self._plan:
            return
        self._advance()
        _, _, action, args = heapq.heappop(self._running)
        self._ask()
        action(*args)


class Own:
    """A processor for whoever asks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def run(self, work: float, action: Action, *args: object) -> None:
        """Begin so many seconds of work now, and run the action when they are done."""
        self._clock.at(self._clock.now + work, action, *args)


class Quota:
    """A processor of one's own with a CPU limit: `limit` x 0.1 s of every 0.1 s, then stopped until the next period.

    The limit does nothing from 1 upwards: a single thread cannot use more.
    """

    def __init__(self, clock: Clock, limit: float) -> None:
        self._clock = clock
        self._allowed = min(limit, 1.0) * PERIOD_SECONDS
        self._period, self._used = 0, 0.0
        self.stopped_seconds = 0.0

    def run(self, work: float, action: Action, *args: object) -> None:
        """Begin so many seconds of work now; the work before must be done."""
        now = self._clock.now
        while True:
            period = int(now / PERIOD_SECONDS + 1e-9)
            if period != self._period:
                self._period, self._used = period, 0.0
            end = (period + 1) * PERIOD_SECONDS
            part = min(work, max(0.0, self._allowed - self._used), end - now)
            self._used += part
            work -= part
            now += part
            if work <= 1e-12:
                break
            self.stopped_seconds += end - now
            now = end
        self._clock.at(now, action, *args)


class Runs(Protocol):
    """Whatever does work."""

    def run(self, work: float, action: Action, *args: object) -> None: ...


class Job(NamedTuple):
    """Some work, and what happens when it is done. How much it is may be known only when it begins."""

    work: float | Callable[[], float]
    action: Action
    args: tuple[object, ...]

    def begin(self) -> float:
        return self.work() if callable(self.work) else self.work


class Program:
    """A process in Go: at most `threads` jobs at a time; others wait, in order, or with `rng` in none.

    A thread that begins after it was idle spends `wake` more: it finds its caches cold.
    """

    def __init__(self, processors: Runs, threads: int, wake: float = 0.0, rng: random.Random | None = None) -> None:
        self._processors = processors
        self._rng = rng
        self._free = threads
        self._wake = wake
        self._waiting: deque[Job] = deque()
        self._spawned: deque[Job] = deque()
        self.used, self.wakes = 0.0, 0

    def do(self, work: float | Callable[[], float], action: Action, *args: object) -> None:
        """Put a job behind the others."""
        self._add(Job(work, action, args), self._waiting)

    def spawn(self, work: float | Callable[[], float], action: Action, *args: object) -> None:
        """Put a job before those of `do`, in order: what another goroutine wakes goes before what the network wakes."""
        self._add(Job(work, action, args), self._spawned)

    def _add(self, job: Job, queue: deque[Job]) -> None:
        if self._free:
            self._free -= 1
            self.wakes += 1
            self._begin(job, self._wake)
        else:
            queue.append(job)

    def go_on(self, job: Job) -> None:
        """Put a job before the others. Only for the action of a job: what goes on with what it did."""
        self._spawned.appendleft(job)

    def _begin(self, job: Job, more: float = 0.0) -> None:
        work = job.begin() + more
        self.used += work
        self._processors.run(work, self._end, job)

    def _end(self, job: Job) -> None:
        job.action(*job.args)
        if self._spawned:
            self._begin(self._spawned.popleft())
        elif self._waiting:
            if self._rng is not None:
                other = self._rng.randrange(len(self._waiting))
                self._waiting[0], self._waiting[other] = self._waiting[other], self._waiting[0]
            self._begin(self._waiting.popleft())
        else:
            self._free += 1


class Lane:
    """One goroutine of a program, which does its jobs one at a time and gives way to the others now and then."""

    def __init__(self, clock: Clock, program: Program, slice_seconds: float = SLICE_SECONDS) -> None:
        self._clock = clock
        self._program = program
        self._jobs: deque[Job] = deque()
        self._busy = False
        self._slice, self._since = slice_seconds, 0.0

    def __len__(self) -> int:
        """How many jobs are not done."""
        return len(self._jobs)

    def do(self, work: float | Callable[[], float], action: Action, *args: object) -> None:
        """Put a job behind the others of this lane."""
        self._jobs.append(Job(work, action, args))
        if not self._busy:
            self._busy = True
            self._program.do(self._first, self._end)

    def _first(self) -> float:
        self._since = self._clock.now
        return self._jobs[0].begin()

    def _end(self) -> None:
        done = self._jobs.popleft()
        done.action(*done.args)
        if not self._jobs:
            self._busy = False
        elif self._clock.now - self._since < self._slice:
            self._program.go_on(Job(self._jobs[0].begin, self._end, ()))
        else:
            self._program.do(self._first, self._end)
