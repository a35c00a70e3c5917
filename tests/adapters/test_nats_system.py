"""The system side against one real nats-server: many sessions, long names, many accounts, and servers that misbehave."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from nats_k8s_oidc_callout.adapters.nats import Link, Login, NoLogin, PasswordLogin, answer_requests, events
from nats_k8s_oidc_callout.adapters.nats.listing import ANSWER_BYTES
from nats_k8s_oidc_callout.adapters.nats.system import Kicked, Subjects, System
from nats_k8s_oidc_callout.core.nats.connz import Row
from nats_k8s_oidc_callout.errors import Unreachable
from tests.fakes.nats_desk import QUICK, at
from tests.fakes.nats_world import NatsServer, knock, until
from tests.fakes.stalls import awake

SESSIONS, LONG, EARLY, ACCOUNTS = 3500, 2300, 500, 300
NOW = "2026-11-26T21:00:00Z"


def accounts(*names: str) -> str:
    """Return a configuration with a user in each account, and one in the system account."""
    users = ", ".join(f"{name}: {{ users: [ {{ user: {name}, password: p }} ] }}" for name in (*names, "SYS"))
    return f"accounts {{ {users} }}, system_account: SYS"


@asynccontextmanager
async def side(url: str, subjects: Subjects, login: Login) -> AsyncIterator[System]:
    """Reach the system side, by the one way or the other; let no task run on afterwards."""
    system = System(subjects)
    before = asyncio.all_tasks()
    duty = answer_requests("q", lambda *_: None, lambda _: None, system.ears, system.refuse)
    duty = system.duty() if subjects.by_account else duty
    link = Link([at(url)], login=lambda: login, tls=lambda: None, duty=duty, timing=QUICK)
    link.set_serving(True)
    running = asyncio.create_task(link.run())
    try:
        await until(lambda: system.connected)
        yield system
    finally:
        await link.close()
        await running
        await until(lambda: asyncio.all_tasks() <= before)


async def session(port: int, stack: AsyncExitStack, name: str) -> tuple[int, asyncio.StreamWriter]:
    """Open a connection of this name, cheaply; return its number."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    info = json.loads((await reader.readline()).removeprefix(b"INFO "))
    options = {"user": "APP", "pass": "p", "name": name, "verbose": False, "lang": "fake", "version": "0"}
    writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
    assert b"PONG\r\n" == await reader.readline()
    return info["client_id"], writer


@pytest.mark.slow
async def test_no_session_is_missed_while_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of 3,500 sessions have rows of 16 KB, more than is read at once; 500 early ones end between two pages."""
    with NatsServer(accounts("APP")) as server:
        async with AsyncExitStack() as stack:
            opened: dict[int, asyncio.StreamWriter] = {}
            for first in range(0, SESSIONS, 100):
                name = "<" * 2600 if first >= SESSIONS - LONG else "short"
                found = await asyncio.gather(*(session(server.port, stack, name) for _ in range(100)))
                opened.update(found)
            early = sorted(opened)[:EARLY]
            system = await stack.enter_async_context(side(server.url, Subjects.system(), PasswordLogin("SYS", "p")))
            lister, pages = system._lister, []
            page = lister._page

            async def paging(grows: object, offset: int, limit: int) -> None:
                await page(grows, offset, limit)  # type: ignore[arg-type]  # as it came
                pages.append((offset, limit))
                if len(pages) == 4:
                    for cid in early:
                        opened.pop(cid).close()
                    await until(lambda: len(opened) + 10 > server.monitor("varz")["connections"])

            monkeypatch.setattr(lister, "_page", paging)
            rows: list[Row] = []
            listing = await system.list("APP", rows.append)

    assert set(opened) - {row.cid for row in rows} == set()
    # Whoever closes shifts others into the next page, which tells them again.
    assert SESSIONS - EARLY <= len({row.cid for row in rows}) <= len(rows) < SESSIONS + EARLY
    assert {len(row.connection) for row in rows} == {5, 128}
    assert (1, frozenset()) == (len(listing.servers), listing.silent)
    assert len(pages) > 10


async def test_hundreds_of_accounts() -> None:
    """300 accounts are heard, checked and listed in turn; those that are heard no longer say nothing."""
    names = [f"A{number}" for number in range(ACCOUNTS)]
    with NatsServer(accounts(*names)) as server:
        async with side(server.url, Subjects.system(), PasswordLogin("SYS", "p")) as system:
            missing = await system.check([*names, "with space"])
            assert ["connections of account with space cannot be listed: its name cannot stand in a subject"] == missing
            await system.hear(names)
            assert [names[0], names[-1]] == await begun(system, server, names[0], names[-1])
            began = awake()
            for name in names:
                assert 1 == len((await system.list(name, untaken)).servers)
            assert awake() - began < 10
            await system.hear(names[1:])
            assert [names[1]] == await begun(system, server, names[0], names[1])


async def begun(system: System, server: NatsServer, *names: str) -> list[str]:
    """Knock at these accounts in turn; return for which a connection began, once the last one is told."""
    for name in names:
        assert (await knock(server.url, 5.0, user=name, **{"pass": "p"})).let_in
    found: list[str] = []
    async with asyncio.timeout(5):
        while names[-1] not in found:
            await system.heard.wait()
            found += [event.account for event in system.take_events(1)[0] if isinstance(event, Row)]
    return found


class Fake:
    """Answers in the place of servers: what a test puts into `lists`, for each question, and `kicked` to kicks."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.lists: list[bytes] = []
        self.kicked: bytes | None = None
        self.asked: list[int] = []

    async def start(self) -> None:
        await self._client.subscribe("nko.connz.*", cb=self._list)
        await self._client.subscribe("nko.kick.*", cb=self._kick)
        # nats-py's `flush` would overtake the SUBs.
        await self._client.request("nko.kick.us", timeout=5)

    async def _list(self, message: Msg) -> None:
        self.asked.append(json.loads(message.data)["limit"])
        for answer in self.lists:
            packed = answer.startswith(b"\x1f\x8b")
            headers = {"Content-Encoding": "gzip"} if packed else None
            await self._client.publish(message.reply, answer, headers=headers)

    async def _kick(self, message: Msg) -> None:
        if message.subject == "nko.kick.us":
            await message.respond(b"")
        if self.kicked is not None:
            await self._client.publish(message.reply, self.kicked)

    async def tell(self, event: bytes, times: int = 1) -> None:
        for _ in range(times):
            await self._client.publish("nko.ev.APP.CONNECT", event)
        await self._client.flush()


def listed(server: str, *cids: int, total: int | None = None) -> bytes:
    rows = [{"cid": cid, "start": NOW} for cid in cids]
    data = {"now": NOW, "total": len(cids) if total is None else total, "connections": rows}
    return json.dumps({"server": {"id": server}, "data": data}).encode()


def begin(cid: int, name: str = "") -> bytes:
    return json.dumps({"server": {"id": "NA"}, "client": {"id": cid, "start": NOW, "name": name}}).encode()


def error(words: str) -> bytes:
    return json.dumps({"server": {"id": "NA"}, "error": {"code": 500, "description": words}}).encode()


@asynccontextmanager
async def played() -> AsyncIterator[tuple[NatsServer, System, Fake]]:
    """Run a server without accounts, where a client of it plays the system side once it is started."""
    with NatsServer() as server:
        async with side(server.url, Subjects.imports("nko"), NoLogin()) as system:
            client = await nats.connect(server.url, allow_reconnect=False, error_cb=ignored)
            try:
                yield server, system, Fake(client)
            finally:
                if not client.is_closed:
                    await client.close()


async def ignored(_: Exception) -> None:
    """Our server ends at some point: nothing to print."""


def untaken(_: Row) -> None:
    """Whoever asks for the servers alone."""


async def test_a_bomb_is_not_unpacked() -> None:
    """Kilobytes that stand for gigabytes cost some tries with fewer rows, and then the list fails."""
    async with played() as (_, system, fake):
        await fake.start()
        fake.lists = [gzip.compress(b" " * (4 * ANSWER_BYTES), 1)]
        with pytest.raises(Unreachable, match="a row is longer"):
            await system.list("APP", untaken)

        assert fake.asked == sorted(fake.asked, reverse=True)
        assert (1, True) == (fake.asked[-1], len(fake.asked) < 6)


async def test_strange_answers_count_for_none() -> None:
    """What is no list, is cut or comes from a server with an impossible id is as if nobody had said it."""
    async with played() as (_, system, fake):
        await fake.start()
        strange = [
            b"{}",
            b"\xff",
            gzip.compress(listed("NX"))[:-4],
            listed("N.>", 7),
            error("no"),
            listed("NX").replace(b"2026", b"now"),
        ]
        fake.lists = [*strange, listed("NA", 1, 2)]
        rows: list[Row] = []
        listing = await system.list("APP", rows.append)

        assert [1, 2] == [row.cid for row in rows]
        assert (frozenset({"NA"}), frozenset()) == (listing.servers, listing.silent)


async def test_a_server_is_whole_when_it_gave_each_page() -> None:
    """
    Who is silent for one page has not told all; a server that lives is asked again, an unknown error is no sign of life.
    """
    async with played() as (_, system, fake):
        await fake.start()
        fake.lists = [listed("NA", 1), listed("NB", 2)]
        assert {"NA", "NB"} == (await system.list("APP", untaken)).servers

        fake.lists, fake.kicked, fake.asked = [listed("NA", 1)], error("no such client or leafnode id"), []
        again = asyncio.create_task(system.list("APP", untaken))
        await until(lambda: 1 == len(fake.asked))
        fake.lists += [listed("NB", 2)]
        assert ({"NA", "NB"}, 2) == (set((await again).servers), len(fake.asked))

        fake.lists, fake.kicked, fake.asked = [listed("NA", 1)], error("busy"), []
        listing = await system.list("APP", untaken)
        assert (["NA"], ["NB"], [], 1) == (*map(list, listing), len(fake.asked))
        assert Kicked.SILENT is await system.kick("NB", 2)


async def test_an_export_of_single_responses_is_told() -> None:
    """A server that lives and whose list never comes is missing something, too."""
    async with played() as (_, system, fake):
        await fake.start()
        fake.lists, fake.kicked = [listed("NA", 1), listed("NB", 2)], error("no such client or leafnode id")
        await system.list("APP", untaken)
        assert [] == await system.check(["APP"])
        fake.lists = [listed("NA", 1)]
        (missing,) = await system.check(["APP"])

        assert missing.startswith("live servers do not list connections: NB;")


async def test_a_server_that_falls_silent_between_two_pages_is_not_whole() -> None:
    """That what it told is all is not taken for granted; whoever told all at once is not heard again."""
    async with played() as (_, system, fake):
        await fake.start()
        fake.kicked = error("busy")
        fake.lists = [listed("NA", 1, total=300), listed("NB", 2, total=300), listed("NC", 3)]
        rows: list[Row] = []
        listing = asyncio.create_task(system.list("APP", rows.append))
        await until(lambda: fake.asked)
        fake.lists = [listed("NA", 1), listed("NC", 3)]
        found = await listing

        assert (frozenset({"NA", "NC"}), frozenset({"NB"})) == (found.servers, found.silent)
        assert [3, 1] == [row.cid for row in rows]
        assert 2 == len(fake.asked)


async def test_a_late_answer_of_a_new_server_asks_for_another_list() -> None:
    """
    Who is not expected is not waited for; that it exists is told as if events had been lost, and the next list has it.
    """
    async with played() as (_, system, fake):
        await fake.start()
        fake.lists = [listed("NA", 1)]
        await system.list("APP", untaken)
        fake.lists += [listed("NB", 2)]
        assert {"NA"} == (await system.list("APP", untaken)).servers
        await until(system.heard.is_set)

        assert ([], True) == system.take_events(10)
        assert {"NA", "NB"} == (await system.list("APP", untaken)).servers


async def test_events_are_bounded_in_bytes() -> None:
    """Beyond 4 MiB the oldest events are lost, which is told once; what cannot be read is left out."""
    async with played() as (_, system, fake):
        await fake.tell(b"{}")
        await fake.tell(begin(1, "<" * 30_000), 200)
        await fake.tell(begin(2))
        await until(lambda: system._events._queue and system._events._queue[-1] == begin(2))
        kept = len(system._events._queue)
        assert 0.9 * events.EVENTS_BYTES < sum(map(len, system._events._queue)) < events.EVENTS_BYTES

        taken, lost = system.take_events(1000)
        assert (kept, True) == (len(taken), lost)
        assert ([], False, False) == (*system.take_events(1), system.heard.is_set())


async def test_a_question_ends_with_its_connection() -> None:
    """A list that waits fails at once when the connection is lost, and works on the next one."""
    async with played() as (server, system, fake):
        await fake.start()
        waiting = asyncio.create_task(system.list("APP", untaken))
        await until(lambda: fake.asked)
        server.restart()
        began = awake()
        with pytest.raises(Unreachable, match="the connection ended"):
            await waiting
        assert awake() - began < 0.5
        assert Kicked.SILENT is await system.kick("NA", 1) or system.connected

        await until(lambda: system.connected)
        assert 2 == system.connects
        with pytest.raises(Unreachable, match="nobody listens"):
            await system.list("APP", untaken)
        assert Kicked.NO_SERVER is await system.kick("NA", 1)


async def test_a_server_that_hangs_answers_nothing() -> None:
    """What is asked of a stopped server of our own fails in its time."""
    async with played() as (server, system, fake):
        await fake.start()
        server.pause()
        try:
            assert Kicked.SILENT is await system.kick("NA", 1)
            with pytest.raises(Unreachable):
                await system.list("APP", untaken)
        finally:
            server.resume()
