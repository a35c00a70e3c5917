"""The system side of three real nodes: lists, events and kicks, in both modes and by both ways."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.adapters.nats import CredsLogin, Link, Login, NkeyLogin, answer_requests
from nats_k8s_oidc_callout.adapters.nats import listing as listings
from nats_k8s_oidc_callout.adapters.nats.system import Kicked, Subjects, System
from nats_k8s_oidc_callout.core.nats.connz import Left, Row
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import keyfiles
from tests.e2e.clients import connected
from tests.e2e.session_plans import PREFIX, WAYS, session_plan
from tests.e2e.test_session_plans import home_of
from tests.e2e.worlds import BINARIES, World, world_of
from tests.fakes.nats_desk import at
from tests.fakes.nats_world import until
from tests.fakes.stalls import awake

pytestmark = pytest.mark.e2e


def login_of(world: World, file: str) -> Login:
    creds, is_operator = (
        keyfiles.read_creds(Path(file).read_bytes()),
        world.plan.target.startswith("A") and len(world.plan.target) == 56,
    )
    return CredsLogin(creds.jwt, creds.key.sign) if is_operator else NkeyLogin(creds.key.public, creds.key.sign)


@asynccontextmanager
async def system_of(world: World, way: str, *, subjects: Subjects | None = None) -> AsyncIterator[System]:
    """Reach the system side as the responder does; let nothing run on afterwards."""
    variables = world.plan.variables
    system = System(subjects or (Subjects.imports(PREFIX) if way == "imports" else Subjects.system()))
    if way == "imports":
        file = variables["NATS_CREDS_FILE"]
        duty = answer_requests("unused", lambda *_: None, lambda _: None, system.ears, system.refuse)
    else:
        file = variables.get("NATS_SYSTEM_CREDS_FILE") or variables["NATS_SYSTEM_NKEY_FILE"]
        duty = system.duty()
    link = Link([at(world.servers[0].url)], login=lambda: login_of(world, file), tls=lambda: None, duty=duty)
    link.set_serving(way == "login")
    task = asyncio.create_task(link.run())
    try:
        await until(lambda: system.connected)
        yield system
    finally:
        await link.close()
        await task


async def next_event(system: System, wanted: Callable[[Row | Left], bool]) -> Row | Left:
    async with asyncio.timeout(5):
        while True:
            await system.heard.wait()
            for event in system.take_events(100)[0]:
                if wanted(event):
                    return event


@pytest.mark.parametrize(
    ("mode", "way", "version"),
    [
        ("config", "imports", "2.15"),
        ("config", "login", "2.11"),
        ("operator", "imports", "2.11"),
        ("operator", "login", "2.15"),
    ],
)
async def test_connections_are_listed_heard_of_and_ended(
    mode: str, way: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that hangs is told apart from one that is gone, and what is refused from what nobody answers."""
    with world_of(session_plan(mode, way), str(BINARIES[version]())) as world:
        account = home_of(world)
        async with system_of(world, way) as system:
            assert list(await system.check([account])) == []
            async with connected(world, **world.plan.other) as other:
                row = await next_event(system, lambda event: isinstance(event, Row))
                rows: list[Row] = []
                listing = await system.list(account, rows.append)
                assert isinstance(row, Row)
                assert [(one.server, one.cid, one.user) for one in rows] == [(row.server, row.cid, row.user)]
                assert (row.account, len(listing.servers), row.lang) == (account, 3, rows[0].lang)
                assert abs(row.start - rows[0].start) < 0.001
                assert 0 <= rows[0].now - row.start < 10
                assert await system.kick(row.server, row.cid) is Kicked.DONE
                left = await next_event(system, lambda event: isinstance(event, Left))
                assert left == Left(row.server, row.cid, "Kicked")
                assert not await other.line()
            assert await system.kick(row.server, row.cid) is Kicked.GONE
            assert await system.kick("N" * 56, 1) is Kicked.NO_SERVER
            assert system.take_events(100) == ([], False)

            if way == "login":
                return
            # A node that hangs owes an answer; one that was killed is gone, and nobody waits for it twice.
            world.servers[2].pause()
            await asyncio.sleep(0.1)
            listing = await system.list(account, rows.append)
            assert (len(listing.servers), len(listing.silent), listing.gone) == (2, 1, frozenset())
            assert await system.kick(next(iter(listing.silent)), 1) is Kicked.SILENT
            # For 5 s nobody waits for it again.
            began = awake()
            assert (await system.list(account, rows.append)).silent == listing.silent
            assert awake() - began < 1
            monkeypatch.setattr(listings, "SILENT_SECONDS", 0.0)
            world.servers[2].resume()
            world.servers[2].kill()
            await asyncio.sleep(0.5)
            gone = await system.list(account, rows.append)
            assert (len(gone.servers), gone.silent, gone.gone) == (2, frozenset(), listing.silent)
            assert (await system.list(account, rows.append)).gone == frozenset()


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_missing_is_told_and_no_trouble_of_the_login(way: str) -> None:
    """No right, and no import: a sentence for each, and the connection stays."""
    wrong = Subjects.imports("other") if way == "imports" else Subjects("$SYS.REQ.SERVER.{}.CONNZ", *_rest())
    with world_of(session_plan("config", way)) as world:
        async with system_of(world, way, subjects=wrong) as system:
            connects = system.connects
            missing = await system.check(["APP"])
            assert any("connections of account APP cannot be listed" in one for one in missing), missing
            assert any(one.startswith("the server refused") for one in missing), missing
            with pytest.raises(Unreachable):
                await system.list("APP", lambda _: None)
            assert system.connected
            assert system.connects == connects


def _rest() -> tuple[str, str, str, bool]:
    return "$SYS.REQ.SERVER.{}.NONE", "$SYS.ACCOUNT.{}.NONE", "$SYS.ACCOUNT.{}.NEITHER", True
