"""What looking after 20,000 sessions costs a replica, and what ending 3,000 at once costs everybody else.

    python bench/sessions.py table [--sessions N] [--accounts N] [--json FILE]
    python bench/sessions.py mass  [--sessions N] [--json FILE]

`table`: memory of the table, and CPU time of events and whole lists, with real bytes of a server's but no server; what an
hour of 20,000 sessions of an hour would take of a core; what a warm login costs beside them. `mass`: a real server, one
responder, sessions whose rights a new policy narrows; the logins of others meanwhile, beside those of a quiet minute
before. Compare ratios of one run only.
"""

import argparse
import asyncio
import gc
import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent.parent / "src")]

from bench import decide  # noqa: E402  # the line above makes ours importable
from bench._rows import Row as Found  # noqa: E402
from bench._rows import keep  # noqa: E402
from bench._sessions_mass import Mass, mass  # noqa: E402
from nats_k8s_oidc_callout.core.nats.connz import Left, Row, read_event, read_page  # noqa: E402
from nats_k8s_oidc_callout.core.sessions.label import Label, parse, shared  # noqa: E402
from nats_k8s_oidc_callout.core.sessions.table import Session, Table  # noqa: E402

SESSIONS, ACCOUNTS, WORKLOADS, SERVERS = 20_000, 300, 2000, 3
HOUR = 3600.0
RECONCILE_SECONDS = 300.0
NOW = 1_800_000_000


def account_of(number: int) -> str:
    return f"A{number % ACCOUNTS:055d}"


def user_of(number: int) -> str:
    """Return the name of a session, as we write it."""
    workload = number % WORKLOADS
    return str(
        Label(
            f"team-{workload % ACCOUNTS}", f"app-{workload}", NOW + number % 3600, f"{workload:08x}", f"{workload:08x}",
            "0123ab", f"{number:08x}", NOW - 60, "0123ab", "nats-auth-0123ab",
        )
    )  # fmt: skip


def event(number: int, kind: str) -> bytes:
    """Return the event of a connection, with about as many bytes as a server's has."""
    client = {
        "start": "2027-01-15T08:00:00.123456789Z",
        "host": f"10.{number % 200}.{number // 200 % 200}.7",
        "id": number,
        "acc": account_of(number),
        "user": user_of(number),
        "name": f"app-{number % WORKLOADS}-5b7d9f8c6d-x{number:05d}",
        "lang": "go",
        "ver": "1.55.0",
        "rtt": 1234567,
        "jwt": "",
        "issuer_key": account_of(number),
        "name_tag": "APP",
        "kind": "Client",
        "client_type": "nats",
    }
    server = {"name": "n1", "host": "0.0.0.0", "id": f"N{number % SERVERS:055d}", "ver": "2.15.2", "jetstream": True}
    body = {"type": f"io.nats.server.advisory.v1.client_{kind}", "id": f"{number:022d}", "server": server}
    body |= {"timestamp": "2027-01-15T08:00:00.123456789Z", "client": client}
    if kind == "disconnect":
        body |= {"reason": "Client Closed", "sent": {"msgs": 1, "bytes": 100}, "received": {"msgs": 1, "bytes": 100}}
        client["stop"] = "2027-01-15T08:00:00.123456789Z"
    return json.dumps(body).encode()


def page(numbers: Sequence[int]) -> bytes:
    """Return a list of connections of one account at one server."""
    rows = [
        {
            "cid": number,
            "kind": "Client",
            "type": "nats",
            "ip": f"10.{number % 200}.{number // 200 % 200}.7",
            "port": 40000 + number % 20000,
            "start": "2027-01-15T08:00:00.123456789Z",
            "last_activity": "2027-01-15T08:00:00.123456789Z",
            "rtt": "1.2ms",
            "uptime": "1h0m0s",
            "idle": "1s",
            "pending_bytes": 0,
            "in_msgs": 1000,
            "out_msgs": 1000,
            "in_bytes": 100000,
            "out_bytes": 100000,
            "subscriptions": 4,
            "name": f"app-{number % WORKLOADS}-5b7d9f8c6d-x{number:05d}",
            "lang": "go",
            "version": "1.55.0",
            "authorized_user": user_of(number),
            "account": account_of(number),
        }
        for number in numbers
    ]
    server = f"N{numbers[0] % SERVERS:055d}"
    data = {"server_id": server, "now": "2027-01-15T08:00:00.123456789Z", "connections": rows, "offset": 0}
    data |= {"num_connections": len(rows), "total": len(rows), "limit": 1024}
    return json.dumps({"server": {"name": "n1", "id": server}, "data": data}).encode()


def session_of(row: Row) -> Session | None:
    label = parse(row.user)
    if label is None:
        return None
    server, account, lang, version, kind = map(shared, (row.server, row.account, row.lang, row.version, row.kind))
    return Session(server, row.cid, account, label, row.start, row.host, row.connection, lang, version, kind, NOW)


def fill(table: Table, sessions: int) -> None:
    """Take in the event of every session."""
    for number in range(sessions):
        row = read_event(event(number, "connect"))
        session = session_of(row) if isinstance(row, Row) else None
        assert session is not None
        table.put(session)


def table(sessions: int) -> Mapping[str, float]:
    """Measure the table and what keeps it true."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    held = Table()
    fill(held, sessions)
    gc.collect()
    megabytes = (tracemalloc.get_traced_memory()[0] - before) / 1e6
    tracemalloc.stop()
    events = [(event(n, "connect"), event(n, "disconnect")) for n in range(sessions, sessions + 2000)]
    began = time.process_time()
    for came, went in events:
        row, left = read_event(came), read_event(went)
        session = session_of(row) if isinstance(row, Row) else None
        assert session is not None
        assert isinstance(left, Left)
        held.put(session)
        held.remove((left.server, left.cid))
    pair = (time.process_time() - began) / len(events)
    lists = [
        page([n for n in range(sessions) if n % SERVERS == server and n % ACCOUNTS == account])
        for account in range(ACCOUNTS)
        for server in range(SERVERS)
        if account % SERVERS == server
    ]
    began = time.process_time()
    for data in lists:
        for row in read_page(data).rows:
            session = session_of(row)
            assert session is not None
            held.put(session)
    listing = time.process_time() - began
    assert len(held) == sessions, len(held)
    return {
        "table_mb": megabytes,
        "event_pair_us": pair * 1e6,
        "list_ms": listing * 1e3,
        "percent_of_a_core": 100 * (pair * sessions / HOUR + listing / RECONCILE_SECONDS),
    }


def warm(sessions: int, rounds: int = 12) -> Mapping[str, float]:
    """Measure a login whose token was seen before, in turns: without session control, with it, and beside a table."""
    kinds = {case.name: case for case in decide.cases(100)}
    turns = (("off", "RS256, seen before", 0), ("empty", "RS256, seen before, labelled", 0))
    turns += (("full", "RS256, seen before, labelled", sessions),)
    times: dict[str, list[float]] = {name: [] for name, _, _ in turns}
    for _ in range(rounds):
        for name, kind, many in turns:
            held = Table()
            fill(held, many)

            def answers(case: decide.Case = kinds[kind]) -> None:
                for question in case.questions:
                    case.answer(question)

            # To fill the table drives code and data of a login out of the processor's caches.
            answers()
            times[name].append(min(decide.timed(answers, 100) for _ in range(3)))
    found = {f"warm_{name}_us": statistics.median(seen) for name, seen in times.items()}
    for name, other in (("full", "empty"), ("empty", "off")):
        ratios = [one / two for one, two in zip(times[name], times[other], strict=True)]
        found[f"warm_{name}_ratio"] = statistics.median(ratios)
    return found


def rows_of_table(found: Mapping[str, float]) -> list[Found]:
    """Return what live sessions cost, beside what they may."""
    many = f"{found['sessions']:,.0f} live sessions"
    off, empty, full = (round(found[f"warm_{name}_us"], 1) for name in ("off", "empty", "full"))
    labels, beside = (round(found[f"warm_{name}_ratio"], 3) for name in ("empty", "full"))
    return [
        Found(f"a warm login beside {many}", full, "µs", empty, "beside none", beside, 1.03),
        Found("a warm login with session control", empty, "µs", off, "without it", labels),
        Found(f"memory for {many}", round(found["table_mb"], 1), "MB", aim=18),
        Found(f"CPU for {many} of an hour each", round(found["percent_of_a_core"], 2), "% of a core", aim=2),
    ]


def rows_of_mass(found: Mapping[str, float]) -> list[Found]:
    """Return what a mass change was to the logins of others."""
    busy, quiet = round(found["p99_busy_ms"], 2), round(found["p99_quiet_ms"], 2)
    lost = int(found["failed_logins"] + found["others_failed"])
    what = f"p99 of others' logins while {found['sessions']:,.0f} sessions end"
    return [Found(what, busy, "ms", quiet, "quiet", round(found["p99_ratio"], 3), 3.0, lost)]


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def of_mass(found: Mass) -> Mapping[str, float]:
    """Return what a mass change was to those who came back, and to others."""
    quiet, busy = (percentile(values, 0.99) for values in (found.quiet, found.busy))
    return {
        "failed_logins": found.failed,
        "others_failed": found.others_failed,
        "seconds": found.seconds,
        "kicks_per_second_mean": found.kicked / max(found.seconds, 0.1),
        "kicks_per_second_most": found.most_a_second,
        "p50_quiet_ms": statistics.median(found.quiet) * 1e3,
        "p50_busy_ms": statistics.median(found.busy) * 1e3,
        "p99_quiet_ms": quiet * 1e3,
        "p99_busy_ms": busy * 1e3,
        "p99_ratio": busy / quiet,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["table", "mass"])
    parser.add_argument("--sessions", type=int)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.what == "table":
        sessions = given.sessions or SESSIONS
        found: Mapping[str, Any] = {"sessions": sessions, **table(sessions), **warm(sessions)}
    else:
        sessions = given.sessions or 3000
        found = {"sessions": sessions, **of_mass(asyncio.run(mass(sessions)))}
    for name, value in found.items():
        sys.stdout.write(f"{name:24} {value:10.2f}\n")
    keep(given.json, (rows_of_table if given.what == "table" else rows_of_mass)(found), found=found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
