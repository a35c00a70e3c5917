"""The servers' side of bench/reconnect.py: a nats-server that asks about each login, and the responder that answers.

The server is as its source says (2.15, `auth_callout.go`): one goroutine accepts, each client's own makes the request and
signs it, one sends all of them, and the one that reads a connection checks the answers which come by it, one by one.
"""

import math
import random
from collections.abc import Callable, Sequence
from functools import partial

from bench._reconnect_engine import Clock, Lane, Program, Runs
from bench._reconnect_world import Seen, Times, World
from nats_k8s_oidc_callout.core.traffic.backlog import Backlog, Room

# As in responder/turns.py.
TURN, RESERVE_SECONDS = 16, 0.1
# So many connections wait to be accepted; for more Linux is deaf (net.core.somaxconn).
BACKLOG = 4096
# To look at an answer that nobody waits for.
_IN_VAIN_SECONDS = 10e-6
_QUEUE_BYTES, _REQUEST_BYTES = 32 << 20, 3000


class Login:
    """One attempt of a client to get in. `is_over` says that the client has gone."""

    __slots__ = ("accepted", "began", "client", "informed", "is_answered", "is_late", "is_over", "is_unread", "node")

    def __init__(self, client: object, node: "Node", began: float) -> None:
        self.client = client
        self.node = node
        self.began = began
        self.accepted = self.informed = 0.0
        self.is_over = self.is_unread = self.is_late = self.is_answered = False


class Replica:
    """The responder: what has come since the last turn is put into the queue, and up to sixteen go through the next."""

    def __init__(self, clock: Clock, rng: random.Random, world: World, seen: Seen, processor: Runs) -> None:
        self._clock, self._rng, self._world, self._seen, self._processor = clock, rng, world, seen, processor
        self._came: list[Login] = []
        self._queue: Backlog[Login] = Backlog(Room(_QUEUE_BYTES))
        self._patience = world.timeout - RESERVE_SECONDS
        self._most = max(1, TURN // world.cohort)
        self._busy = False
        self.number = 0
        self.answer: Callable[[Replica, Login], None] = lambda _, __: None

    def ask(self, login: Login) -> None:
        """Take a question."""
        self._came.append(login)
        if not self._busy:
            self._turn()

    def _turn(self) -> None:
        now = self._clock.now
        for login in self._came:
            self._queue.push(login, now, _REQUEST_BYTES * self._world.cohort)
        self._came.clear()
        self._seen.dropped += len(self._queue.older_than(now - self._patience))
        batch: list[tuple[Login, float]] = []
        while self._queue and len(batch) < self._most:
            received = self._queue.oldest or 0.0
            login = self._queue.pop(now - self._patience / 2)
            batch.append((login, received))
        self._busy = bool(batch)
        if batch:
            costs, cohort = self._world.costs, self._world.cohort
            work = costs.turn * max(1.0, cohort / TURN)
            work += sum(costs.login.draw(self._rng, cohort) for _ in batch)
            self._seen.responder_seconds += work
            self._seen.turns += 1
            self._processor.run(work, self._end_turn, [login for login, _ in batch])

    def _end_turn(self, batch: Sequence[Login]) -> None:
        for login in batch:
            self.answer(self, login)
        self._turn()


class Node:
    """One nats-server. `told` and the two after it are what it says to a client."""

    def __init__(
        self, clock: Clock, rng: random.Random, world: World, seen: Seen, processors: Runs, replicas: Sequence[Replica]
    ) -> None:
        self._clock, self._rng, self._world, self._seen, self._replicas = clock, rng, world, seen, replicas
        self.program = Program(processors, world.shared or world.node_cores, world.costs.wake, rng)
        self._acceptor, self._sender = Lane(clock, self.program, math.inf), Lane(clock, self.program)
        self._readers: dict[object, Lane] = {}
        self.informed: Callable[[Login], None] = lambda _: None
        self.let_in: Callable[[Login], None] = lambda _: None
        self.refused: Callable[[Login], None] = lambda _: None
        self.forward: Callable[[Node, Replica, Callable[[], None]], None] = lambda _, __, then: then()

    @property
    def is_deaf(self) -> bool:
        """Whether a new connection is ignored."""
        return len(self._acceptor) * self._world.cohort >= BACKLOG

    def accept(self, login: Login) -> None:
        """Take a new connection; the client hears INFO."""
        self._acceptor.do(self._draw(self._world.costs.accept), self._greet, login)

    def connect(self, login: Login) -> None:
        """Take a CONNECT: also that of a client which has gone, since it is there to be read."""
        self.program.do(partial(self._to_ask, login), self._asked, login)

    def answer(self, login: Login, stream: object) -> None:
        """Take an answer that came by this connection or route."""
        reader = self._readers.setdefault(stream, Lane(self._clock, self.program))
        reader.do(partial(self._to_read, login), self._read, login)

    def _draw(self, times: Times) -> float:
        return times.draw(self._rng, self._world.cohort)

    def _greet(self, login: Login) -> None:
        self.program.spawn(self._draw(self._world.costs.greet), self._accepted, login)

    def _accepted(self, login: Login) -> None:
        login.accepted = self._clock.now
        self._clock.at(self._clock.now + self._world.latency, self.informed, login)

    def _to_ask(self, login: Login) -> float:
        # Whoever has not said CONNECT in time is cut off: "Authentication Timeout".
        login.is_unread = self._clock.now > login.accepted + self._world.timeout
        return 0.0 if login.is_unread else self._draw(self._world.costs.ask)

    def _asked(self, login: Login) -> None:
        if login.is_unread:
            self._seen.unread += 1
            self._clock.at(self._clock.now + self._world.latency, self.refused, login)
            return
        self._clock.at(self._clock.now + self._world.timeout, self._time_is_up, login)
        self._sender.do(self._draw(self._world.costs.send), self._sent, login)

    def _sent(self, login: Login) -> None:
        replica = self._replicas[self._rng.randrange(len(self._replicas))]
        self.forward(self, replica, partial(replica.ask, login))

    def _time_is_up(self, login: Login) -> None:
        if not login.is_answered:
            login.is_late = True
            self._seen.refused += 1
            self._clock.at(self._clock.now + self._world.latency, self.refused, login)

    def _to_read(self, login: Login) -> float:
        return _IN_VAIN_SECONDS * self._world.cohort if login.is_late else self._draw(self._world.costs.answer)

    def _read(self, login: Login) -> None:
        if login.is_late:
            self._seen.late += 1
            return
        login.is_answered = True
        self.program.spawn(self._draw(self._world.costs.finish), self._finished, login)

    def _finished(self, login: Login) -> None:
        self._clock.at(self._clock.now + self._world.latency, self.let_in, login)
