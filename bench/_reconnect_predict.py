"""From what was measured to what it means: the costs that fit the smallest storms, and what larger ones come to."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench._reconnect_crowd import simulate
from bench._reconnect_world import LIBRARIES, Costs, Seen, Times, World, share

Numbers = dict[str, Any]

PHASES = ("accept", "greet", "ask", "send", "answer", "finish")
# A login by itself wakes a thread of the server for each phase.
_WAKES_ALONE = 6
_SEEDS = 3
# Between machines of one cluster, one way; and what nats-server pays to pass a message on. Neither was measured.
LATENCY_SECONDS, HOP_SECONDS = 250e-6, 20e-6
TLS_US = 300.0


def fit(measured: Numbers) -> Costs:
    """Return the costs with which the simulation uses as much of the processors as was measured, alone and in a crowd.

    Only processor time is fitted, no moment: those are predicted.
    """
    alone, small, shares = measured["alone"], measured["small"], measured["shares"]
    shape = tuple(measured["server_shape"])

    def costs_of(turns: float, wakes: float) -> Costs:
        wake = max(0.0, (alone["server_us"] - small["server_us"]) / (_WAKES_ALONE - wakes)) * 1e-6
        turn = max(0.0, (alone["responder_us"] - small["responder_us"]) / (1 - turns)) * 1e-6
        server = small["server_us"] * 1e-6 - wake * wakes
        login = Times(small["responder_us"] * 1e-6 - turn * turns, tuple(measured["responder_shape"]))
        phases = {phase: Times(server * shares[phase], shape) for phase in PHASES}
        return Costs(**phases, login=login, wake=wake, turn=turn, client=small["client_us"] * 1e-6)

    costs = costs_of(0.1, 1.0)
    for _ in range(3):
        seen = [at_once(here(costs, measured), small["clients"], seed) for seed in range(_SEEDS)]
        logins = sum(one.clients for one in seen)
        costs = costs_of(sum(one.turns for one in seen) / logins, sum(one.wakes for one in seen) / logins)
    return costs


def here(costs: Costs, measured: Numbers) -> World:
    """Return the machine of the real run: its processors for all together, less what others used of them."""
    return World(costs, replicas=1, shared=measured["cpus"], taken=measured["others"])


def at_once(world: World, clients: int, seed: int = 1, library: str = "storm", spread: float = 0.0) -> Seen:
    """Return what becomes of so many clients that come within `spread` seconds."""
    count = clients // world.cohort
    return simulate(world, [(spread * number / count, LIBRARIES[library]) for number in range(count)], seed)


# What is compared with the real run, and what is only shown beside it.
COMPARED = {"last_ms": "until the last is in", "p50_ms": "until half are in", "p99_ms": "until 99 % are in"}
SHOWN = {
    "took_p50_ms": "a login from CONNECT to PONG, median",
    "took_p99_ms": "a login from CONNECT to PONG, 99 %",
    "server_us": "server, CPU of a login",
    "responder_us": "responder, CPU of a login",
    "in": "let in",
}


def numbers(seen: Seen) -> Numbers:
    """Return of a simulated storm what the real run tells of one."""
    return {
        "last_ms": 1e3 * share(seen.answered, 1.0),
        "p50_ms": 1e3 * share(seen.answered, 0.5),
        "p99_ms": 1e3 * share(seen.answered, 0.99),
        "took_p50_ms": 1e3 * share(seen.took, 0.5),
        "took_p99_ms": 1e3 * share(seen.took, 0.99),
        "server_us": 1e6 * seen.server_seconds / seen.clients,
        "responder_us": 1e6 * seen.responder_seconds / seen.clients,
        "in": len(seen.answered),
    }


def compare(measured: Numbers, costs: Costs) -> list[Numbers]:
    """Return a row for each size and number: predicted (median of some seeds), measured (median of the rounds), ratio."""
    rows = []
    for real in measured["sizes"]:
        found = [numbers(at_once(here(costs, measured), real["clients"], seed)) for seed in range(_SEEDS)]
        for name, what in {**COMPARED, **SHOWN}.items():
            predicted = statistics.median(one[name] for one in found)
            rows.append(
                {
                    "clients": real["clients"],
                    "number": name,
                    "what": what,
                    "predicted": round(predicted, 1),
                    "measured": round(real[name], 1),
                    "ratio": round(predicted / real[name], 3),
                }
            )
    return rows


@dataclass(frozen=True)
class Case:
    """A cluster, and who comes to it within `spread` seconds."""

    what: str
    clients: int
    nodes: int = 5
    cores: int = 8
    replicas: int = 2
    limit: float = 1.0
    spread: float = 0.1
    library: str = "nats.go"
    cohort: int = 1
    # What the server spends on a TLS handshake: `go test -bench HandshakeServer crypto/tls` has it for any machine.
    tls_us: float = 0.0

    def run(self, costs: Costs) -> Numbers:
        """Return what becomes of them, in clients, logins and seconds."""
        costs = replace(costs, greet=Times(costs.greet.mean + self.tls_us * 1e-6, costs.greet.shape))
        world = World(costs, self.nodes, self.cores, self.replicas, self.limit, cohort=self.cohort)
        world = replace(world, latency=LATENCY_SECONDS, hop=HOP_SECONDS)
        seen = at_once(world, self.clients, 1, self.library, self.spread)
        many = self.cohort
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "in": len(seen.answered) * many,
            "half_s": round(share(seen.answered, 0.5), 2),
            "last_s": round(share(seen.answered, 1.0), 2),
            "late": seen.refused * many,
            "gave_up": (seen.gave_up + seen.unread) * many,
            "closed": seen.closed * many,
            "attempts": round(seen.attempts / seen.clients, 2),
        }


CASES = (
    Case("everybody at once, one node", 5000, nodes=1, spread=0.0),
    Case("everybody at once, one node", 5000, nodes=1, spread=0.0, limit=0.5),
    Case("everybody at once, one node", 5000, nodes=1, spread=0.0, replicas=1),
    Case("one of five nodes dies", 20_000, nodes=4, replicas=4, cohort=10),
    Case("one of five nodes dies", 20_000, nodes=4, replicas=8, cohort=10),
    Case("all five nodes die", 100_000, replicas=10, cohort=50),
    Case("all five nodes die", 100_000, replicas=34, cohort=50),
    Case("all five nodes die, TLS", 100_000, replicas=34, cohort=50, tls_us=TLS_US),
    Case("all five nodes die, clients come within 10 s", 100_000, replicas=6, spread=10.0, cohort=50),
    Case("one of five nodes dies", 200_000, nodes=4, replicas=30, cohort=100),
    Case("one of five nodes is drained in 20 s", 200_000, nodes=4, replicas=6, spread=20.0, cohort=100),
    Case("one of five nodes is drained in 110 s", 200_000, nodes=4, replicas=2, spread=110.0, cohort=100),
    Case("all five nodes die", 1_000_000, replicas=30, cohort=500),
    Case("all five nodes die, clients come within 60 s", 1_000_000, replicas=10, spread=60.0, cohort=500),
)
SWEEP_CLIENTS = (1000, 2000, 3000, 4000, 5000, 6000, 8000, 10_000, 15_000, 20_000, 30_000)
SWEEP_CORES = (1, 2, 4, 8)


def sweep(costs: Costs) -> Iterator[Numbers]:
    """Yield the share of logins that fail when so many come at once, by how many whole cores the replicas have."""
    for replicas in SWEEP_CORES:
        for clients in SWEEP_CLIENTS:
            case = Case("", clients, replicas=replicas, cohort=max(1, clients // 500))
            found = case.run(costs)
            yield {"replicas": replicas, "clients": clients, "late": min(1.0, found["late"] / clients)}


def table(lines: Sequence[Sequence[object]]) -> str:
    """Return lines of cells for a terminal, the first of them headings."""
    texts = [[str(cell) for cell in line] for line in lines]
    widths = [max(len(line[column]) for line in texts) for column in range(len(texts[0]))]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in texts)
