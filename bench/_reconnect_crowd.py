"""The clients of bench/reconnect.py, and the simulation as a whole.

Not in it: subscriptions that come back with a client, traffic, lost packets, the time that a server needs to start.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial

from bench._reconnect_engine import Clock, Own, Processors, Program, Quota
from bench._reconnect_servers import Login, Node, Replica
from bench._reconnect_world import Library, Seen, World

# When a client's kernel knocks again at a server whose queue of connections is full, after the first time.
_KNOCKS_SECONDS = (1.0, 3.0)
# What of a client's own work comes before the INFO, before the CONNECT, and after the PONG.
_DIAL, _CONNECT, _GREET = 0.4, 0.3, 0.3


class Client:
    """One client, or a cohort of them: `server` is where it goes next."""

    __slots__ = ("attempts", "library", "refusals", "server")

    def __init__(self, library: Library, server: int) -> None:
        self.library = library
        self.server = server
        self.attempts = self.refusals = 0


class Simulation:
    """Servers, replicas and clients, by one clock and one source of chance."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seen = world, Seen()
        self.clock, self._rng = Clock(), random.Random(seed)
        shared = Processors(self.clock, world.shared - world.taken) if world.shared else None
        own = Own(self.clock)
        parts = (self.clock, self._rng, world, self.seen)
        self.quotas = [Quota(self.clock, world.limit) for _ in range(world.replicas)]
        self.replicas = [Replica(*parts, shared or quota) for quota in self.quotas]
        self.nodes = [Node(*parts, shared or own, self.replicas) for _ in range(world.nodes)]
        self._machine = Program(shared or own, world.shared or 1 << 30)
        for number, replica in enumerate(self.replicas):
            replica.number, replica.answer = number, self._answer
        for node in self.nodes:
            node.informed, node.let_in, node.refused = self._informed, self._let_in, self._refused
            node.forward = self._forward

    def run(self, arrivals: Sequence[tuple[float, Library]]) -> Seen:
        """Let these clients come at these moments, in turn to each node, until all are in or have given up."""
        self.seen.clients = len(arrivals)
        for number, (moment, library) in enumerate(arrivals):
            self.clock.at(moment, self._come, Client(library, number % len(self.nodes)))
        self.clock.run()
        self.seen.server_seconds = sum(node.program.used for node in self.nodes)
        self.seen.wakes = sum(node.program.wakes for node in self.nodes)
        self.seen.stopped_seconds = sum(quota.stopped_seconds for quota in self.quotas)
        return self.seen

    # Between nodes and replicas. Replica i is connected to node i, modulo their number.

    def _home(self, replica: Replica) -> Node:
        return self.nodes[replica.number % len(self.nodes)]

    def _forward(self, node: Node, replica: Replica, then: Callable[[], None]) -> None:
        home = self._home(replica)
        later = partial(self.clock.at, self.clock.now + self.world.latency, then)
        if home is node:
            later()
        else:
            home.program.do(self.world.hop * self.world.cohort, self._after, then)

    def _after(self, then: Callable[[], None]) -> None:
        self.clock.at(self.clock.now + self.world.latency, then)

    def _answer(self, replica: Replica, login: Login) -> None:
        home = self._home(replica)
        if home is login.node:
            self._after(partial(login.node.answer, login, ("replica", replica.number)))
        else:
            arrive = partial(login.node.answer, login, ("route", replica.number % len(self.nodes)))
            home.program.do(self.world.hop * self.world.cohort, self._after, arrive)

    # What a client does.

    def _work(self, login: Login, part: float, then: Callable[[Login], None]) -> None:
        if self.world.shared:
            self._machine.do(self.world.costs.client * part, then, login)
        else:
            then(login)

    def _come(self, client: Client) -> None:
        login = Login(client, self.nodes[client.server], self.clock.now)
        client.attempts += 1
        self.seen.attempts += 1
        self._work(login, _DIAL, partial(self._dial, client, 0))

    def _dial(self, client: Client, knocks: int, login: Login) -> None:
        """Connect, or knock again later; the client waits so long for TCP, and as long again for all the rest."""
        if not login.node.is_deaf:
            self.clock.at(self.clock.now + client.library.timeout, self._give_up, client, login)
            login.node.accept(login)
        elif knocks < len(_KNOCKS_SECONDS) and _KNOCKS_SECONDS[knocks] < client.library.timeout:
            self.clock.at(login.began + _KNOCKS_SECONDS[knocks], self._dial, client, knocks + 1, login)
        else:
            self.clock.at(login.began + client.library.timeout, self._give_up, client, login)

    def _informed(self, login: Login) -> None:
        if not login.is_over:
            login.informed = self.clock.now
            self._work(login, _CONNECT, self._say_connect)

    def _say_connect(self, login: Login) -> None:
        self.clock.at(self.clock.now + self.world.latency, login.node.connect, login)

    def _let_in(self, login: Login) -> None:
        if not login.is_over:
            login.is_over = True
            self._work(login, _GREET, self._note)

    def _note(self, login: Login) -> None:
        self.seen.answered.append(self.clock.now)
        self.seen.took.append(self.clock.now - login.informed)

    def _give_up(self, client: Client, login: Login) -> None:
        if not login.is_over:
            login.is_over = True
            self.seen.gave_up += 1
            client.refusals = 0
            self._come_again(client)

    def _refused(self, login: Login) -> None:
        if login.is_over:
            return
        login.is_over = True
        client = login.client
        assert isinstance(client, Client)
        # The server says "Authentication Timeout" to whom it has not read, and no library takes that for a refusal.
        client.refusals = 0 if login.is_unread else client.refusals + 1
        self._come_again(client)

    def _come_again(self, client: Client) -> None:
        library = client.library
        if client.attempts >= library.attempts or 0 < library.fatal <= client.refusals:
            self.seen.closed += 1
            return
        # One URL, that of a Service: the next attempt may meet any node.
        client.server = self._rng.randrange(len(self.nodes))
        self.clock.at(self.clock.now + library.wait + self._rng.uniform(0.0, library.jitter), self._come, client)


def simulate(world: World, arrivals: Sequence[tuple[float, Library]], seed: int = 1) -> Seen:
    """Return what becomes of these clients in this world."""
    return Simulation(world, seed).run(arrivals)
