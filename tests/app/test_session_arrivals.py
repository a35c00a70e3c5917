"""What the servers tell of sessions, taken into the table."""

import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from nats_k8s_oidc_callout.adapters.nats.system import Listing, Take
from nats_k8s_oidc_callout.adapters.telemetry import SessionMetrics
from nats_k8s_oidc_callout.app.sessions import arrivals
from nats_k8s_oidc_callout.app.sessions.arrivals import Arrivals
from nats_k8s_oidc_callout.core.nats.connz import Left, Row
from nats_k8s_oidc_callout.core.sessions.table import Connection, Session, Table, session_of
from tests.fakes.nats_world import until
from tests.fakes.sessions import NOW, FakeServers, label, row


class Servers(FakeServers):
    """Events, too; and something may happen while a list is on its way."""

    def __init__(self, *rows: Row, **how: Any) -> None:
        super().__init__(rows, **how)
        self.connected, self.connects = True, 1
        self.heard = asyncio.Event()
        self.events: list[Row | Left] = []
        self.overflowed = False
        self.meanwhile: Callable[[], object] = lambda: None
        self.hears: list[str] = []

    def tell(self, *events: Row | Left, lost: bool = False) -> None:
        self.events += events
        self.overflowed |= lost
        self.heard.set()

    def take_events(self, most: int) -> tuple[list[Row | Left], bool]:
        events, self.events, lost, self.overflowed = self.events[:most], self.events[most:], self.overflowed, False
        if not self.events:
            self.heard.clear()
        return events, lost

    async def hear(self, accounts: Any) -> None:
        self.hears = list(accounts)

    async def list(self, account: str, take: Take) -> Listing:
        rows: list[Row] = []
        found = await super().list(account, rows.append)
        self.meanwhile()
        await asyncio.sleep(0)
        for one in rows:
            take(one)
        return found


class Kicker:
    def __init__(self) -> None:
        self.in_doubt = asyncio.Event()
        self.over: list[Connection] = []
        self.ghosts: set[Connection] = set()

    def ended(self, key: Connection) -> None:
        self.over.append(key)

    def is_ghost(self, key: Connection) -> bool:
        return key in self.ghosts


class Judges:
    def __init__(self) -> None:
        self.met: list[int] = []

    def arrived(self, session: Session) -> None:
        self.met.append(session.cid)


class Stage:
    def __init__(self, servers: Servers, *accounts: str) -> None:
        self.servers, self.table, self.kicker, self.judges = servers, Table(), Kicker(), Judges()
        self.metrics, self.now, self.new = SessionMetrics(), NOW, False

        async def named(_: Any) -> list[str]:
            return list(accounts) or ["APP"]

        self.arrivals = Arrivals(
            servers,  # type: ignore[arg-type]  # it has what is asked of it
            self.table,
            self.judges,  # type: ignore[arg-type]
            self.kicker,  # type: ignore[arg-type]
            # First heard of when it was let in, as the responder takes it.
            lambda row, now: session_of(row, min(now, now - (row.now - row.start) + 2)),
            named,
            lambda: self.new,
            self.metrics,
            3600,
            lambda: self.now,
        )

    @property
    def cids(self) -> list[int]:
        return sorted(one.cid for one in self.table)


async def test_a_list_brings_what_is_there_and_forgets_what_is_not() -> None:
    servers = Servers(row(1), row(2), row(3, user="bob"))
    stage = Stage(servers)
    assert not stage.arrivals.complete
    assert await stage.arrivals.list_all()
    assert (stage.cids, stage.judges.met, stage.arrivals.complete) == ([1, 2], [1, 2], True)
    assert (dict(stage.arrivals.unlabelled), set(stage.arrivals.servers)) == ({"APP": 1}, {"S1", "S2"})

    stage.now += 60
    servers.rows = [row(2), row(4)]
    assert await stage.arrivals.list_all()
    assert (stage.cids, stage.kicker.over) == ([2, 4], [("S1", 1)])
    assert stage.metrics._corrections == 2


async def test_nothing_is_kept_of_connections_that_are_no_sessions() -> None:
    """A tenant may open as many as it likes, and have no label on them."""
    stage = Stage(Servers(*(row(cid, user="bob") for cid in range(20_000))))
    tracemalloc.start()
    try:
        assert await stage.arrivals.list_all()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert {"APP": 20_000} == stage.arrivals.unlabelled
    assert peak < 500_000


async def test_a_list_that_is_older_than_an_event_does_not_count() -> None:
    """Who left while it was on its way is not brought back, and who came is not forgotten."""
    servers = Servers(row(1), row(2))
    stage = Stage(servers)

    def meanwhile() -> None:
        stage.now += 1
        stage.arrivals._take(Left("S1", 1, "Client Closed"))
        stage.arrivals._take(row(3, start=stage.now, now=stage.now))

    servers.meanwhile = meanwhile
    assert await stage.arrivals.list_all()
    assert stage.cids == [2, 3]


async def test_silent_and_gone_servers_are_told_apart() -> None:
    """A silent one may still have its sessions; one that is gone has none, and says nothing of them."""
    servers = Servers(row(1), row(2, server="S2", server_name="n2"))
    stage = Stage(servers)
    await stage.arrivals.list_all()
    servers.rows, servers.silent = [row(1)], frozenset({"S2"})
    stage.now += 60
    assert not await stage.arrivals.list_all()
    assert (stage.cids, set(stage.arrivals.silent)) == ([1, 2], {"S2"})
    servers.silent, servers.gone = frozenset(), frozenset({"S2"})
    assert await stage.arrivals.list_all()
    assert (stage.cids, stage.kicker.over, set(stage.arrivals.servers)) == ([1], [("S2", 2)], {"S1"})


async def test_an_account_that_cannot_be_asked_stands_in_nobodys_way() -> None:
    """It may not be imported. When none can be asked nothing is known; nor is it after another connect."""
    stage = Stage(Servers(row(1), row(2, account="OTHER"), deaf=["OTHER"]), "APP", "OTHER")
    assert await stage.arrivals.list_all()
    assert (stage.cids, stage.arrivals.complete, stage.servers.hears) == ([1], True, ["APP", "OTHER"])
    assert {"ok": 0, "incomplete": 1, "failed": 0} == stage.metrics._lists
    stage.servers.connects += 1
    assert not stage.arrivals.complete
    stage.servers.deaf = ["APP", "OTHER"]
    assert not await stage.arrivals.list_all()
    assert not stage.arrivals.complete
    assert stage.metrics._lists["failed"] == 1


async def test_a_ghost_is_no_session() -> None:
    stage = Stage(Servers(row(1)))
    stage.kicker.ghosts.add(("S1", 1))
    await stage.arrivals.list_all()
    assert stage.cids == []


async def test_lists_come_when_they_are_needed() -> None:
    """At the start, after each connect, when events were lost, by a server that nobody knew, after a kick without an end."""
    servers = Servers(row(1))
    stage = Stage(servers)
    tasks = [asyncio.create_task(one()) for one in (stage.arrivals.hear, stage.arrivals.repair)]
    try:
        await until(lambda: len(servers.asked) == 1)
        for number, cause in enumerate(
            (
                lambda: setattr(servers, "connects", 2),
                lambda: servers.tell(lost=True),
                lambda: servers.tell(row(9, server="S9", server_name="n9")),
                stage.kicker.in_doubt.set,
            )
        ):
            await asyncio.sleep(0.3)
            assert len(servers.asked) == number + 1
            cause()
            await until(lambda number=number: len(servers.asked) == number + 2)  # type: ignore[misc]
        servers.tell(Left("S1", 1, "Kicked"))
        await until(lambda: ("S1", 1) in stage.kicker.over)
        assert 1 not in stage.cids
        stage.new = True
        servers.hears = []
        await until(lambda: servers.hears)
    finally:
        for task in tasks:
            task.cancel()


async def test_a_server_that_is_lost_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been cut off: nothing tells that it is back, and its sessions are renewed in time all the same."""
    monkeypatch.setattr(arrivals, "_LOST_SECONDS", 0.1)
    servers = Servers(row(1), gone=["S2"])
    stage = Stage(servers)
    task = asyncio.create_task(stage.arrivals.repair())
    try:
        await until(lambda: len(servers.asked) >= 3)
        servers.gone, servers.rows = frozenset(), [row(1), row(2, server="S2", server_name="n2")]
        await until(lambda: stage.cids == [1, 2])
    finally:
        task.cancel()


async def test_a_session_that_a_list_brings_is_due_by_its_end() -> None:
    """However long ago it began: a replica that starts renews nobody for that. A server that is ahead ends it earlier."""
    old = row(1, start=NOW - 3000, now=NOW)
    ahead = row(2, start=NOW - 3000 + 60, now=NOW + 60)
    stage = Stage(Servers(old, ahead))
    await stage.arrivals.list_all()
    ends = next(iter(stage.table)).label.expires
    assert [] == stage.table.take_due(ends - 181)
    assert [2] == [one.cid for one in stage.table.take_due(ends - 119)]
    assert [1] == [one.cid for one in stage.table.take_due(ends - 59)]


async def test_too_many_sessions_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nats_k8s_oidc_callout.core.sessions.table.SESSIONS_MAX", 2)
    stage = Stage(Servers(*(row(cid) for cid in range(4))))
    with capture_logs() as lines:
        await stage.arrivals.list_all()
        stage.servers.rows.append(row(9, user=label(namespace="other")))
        await stage.arrivals.list_all()
    assert len(stage.cids) == 2
    assert 1 == sum(line["log_level"] == "error" for line in lines)
