"""What bench/reconnect.py simulates, in numbers: costs, machines, and what client libraries do. Times are seconds."""

import random
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Times:
    """How long something takes: the mean, and single ones as multiples of it."""

    mean: float
    shape: tuple[float, ...] = (1.0,)

    def draw(self, rng: random.Random, cohort: int = 1) -> float:
        """Return how long it takes this time; of a whole cohort, in which single ones don't matter."""
        return self.mean * (rng.choice(self.shape) if cohort == 1 else cohort)


@dataclass(frozen=True)
class Costs:
    """What one login costs whom, in seconds of a processor.

    `wake` is what a thread of the server pays in addition when it was idle, `turn` what a turn of the responder does.
    `client` counts only where clients share the machine.
    """

    accept: Times
    greet: Times
    ask: Times
    send: Times
    answer: Times
    finish: Times
    login: Times
    wake: float = 0.0
    turn: float = 0.0
    client: float = 0.0


@dataclass(frozen=True)
class Library:
    """What a client does that was cut off: when it comes back, and what it makes of a failure.

    `wait` and up to `jitter` more pass before each attempt, `first_wait` instead before the first. `timeout` is how long
    it waits for TCP, and once more for its PONG. `fatal`: so many refusals in a row close it for good (0: none do).
    """

    name: str
    first_wait: float = 0.0
    wait: float = 2.0
    jitter: float = 0.0
    timeout: float = 2.0
    fatal: int = 0
    attempts: int = 60


# Measured with one URL and the defaults (docs/CLIENT_USAGE.md). async-nats comes back sooner at first, up to 4 s apart later.
LIBRARIES = {
    library.name: library
    for library in (
        Library("nats.go", first_wait=2.0, jitter=0.1, fatal=2),
        Library("nats-py"),
        Library("nats.js", jitter=0.1, timeout=20.0, fatal=2),
        Library("jnats", jitter=0.1, fatal=2),
        Library("async-nats", wait=4.0, timeout=5.0, attempts=1 << 30),
        # bench/storm: one attempt, with patience.
        Library("storm", timeout=5.0, attempts=1),
    )
}


@dataclass(frozen=True)
class World:
    """What there is.

    `shared` processors are for servers, replicas and clients together, as on one machine; with 0 each node has
    `node_cores`, each replica one core with a CPU limit, and clients all that they want. `latency` is one way, `hop` what a
    node pays to pass a question or an answer on; `taken` is what others use of the shared processors. A client stands for `cohort` of them.
    """

    costs: Costs
    nodes: int = 1
    node_cores: int = 4
    replicas: int = 2
    limit: float = 1.0
    timeout: float = 1.5
    latency: float = 0.0
    hop: float = 0.0
    shared: int = 0
    taken: float = 0.0
    cohort: int = 1


@dataclass
class Seen:
    """What happened: moments since the start, one for each client that is in, and counts."""

    clients: int = 0
    answered: list[float] = field(default_factory=list)
    # From its CONNECT to its PONG.
    took: list[float] = field(default_factory=list)
    attempts: int = 0
    # Logins that the server gave up for want of an answer, and of a CONNECT that it had time to read.
    refused: int = 0
    unread: int = 0
    # Logins that their client gave up.
    gave_up: int = 0
    # Requests that the responder dropped as too old, and answers that the server had no use for any more.
    dropped: int = 0
    late: int = 0
    # Clients that will never come again.
    closed: int = 0
    server_seconds: float = 0.0
    responder_seconds: float = 0.0
    wakes: int = 0
    turns: int = 0
    stopped_seconds: float = 0.0


def share(values: list[float], part: float) -> float:
    """Return the value below which this part of them lies; NaN of none."""
    return sorted(values)[int(part * (len(values) - 1))] if values else float("nan")
