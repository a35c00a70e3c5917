"""Session control never costs a login, and is not misled by what a server shows."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import nats
import pytest

from tests.e2e.clients import ask, connected
from tests.e2e.session_plans import session_plan
from tests.e2e.session_world import Release, pod, remove
from tests.e2e.worlds import BINARIES, World, world_of
from tests.fakes.nats_modes import PASSWORD
from tests.fakes.nats_world import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

READY = "nats_auth_session_control_ready"


async def test_a_login_needs_none_of_the_permissions() -> None:
    """
    Where the responder may neither list nor kick, it is ready, everybody logs in, and a metric and its log tell.
    """
    with world_of("cluster") as world:
        release = Release(world)
        one = release.prepare()
        one.accounts.write("team-a", "orders")
        try:
            one.process.start()
            await asyncio.to_thread(one.process.wait_ready)
            for _ in range(20):
                assert (await ask(world, **world.fields(world.token()))).let_in
            await until(lambda: one.metrics.get(READY) == 0.0)
            await until(lambda: any("nko.connz" in line for line in one.process.log().splitlines()))
            assert (await ask(world, **world.fields(world.token()))).let_in
            assert one.process.ready
        finally:
            release.end()


@pytest.fixture
async def oldest() -> AsyncIterator[World]:
    """Three nodes of the version that leaves ghosts."""
    binary = BINARIES["2.11"]()
    if binary is None:
        pytest.skip("nats-server 2.11 is not built (make tools)")
    with world_of(session_plan("config", "imports"), str(binary)) as world:
        yield world


async def test_a_ghost_is_kicked_once(oldest: World) -> None:
    """
    nats-server 2.11 goes on listing a client that was kicked during its login (2.15 does not): when its ServiceAccount is
    deleted it is asked for once, and never again.
    """
    release = Release(oldest)
    one = release.prepare()
    for name in ("ghost", "other"):
        one.accounts.write("team-a", name)
    try:
        one.process.start()
        await asyncio.to_thread(one.process.wait_ready)
        await _leave_a_ghost(oldest, release)
        async with pod(oldest, lambda: oldest.token("team-a", "other"), back=False) as other:
            await until(lambda: other.live == 3)
            for name in ("ghost", "other"):
                remove(one.accounts, "team-a", name)
            await until(lambda: not other.live)
            await until(lambda: one.kicks("deleted", "gone") >= 1)
            await asyncio.sleep(6)

        assert (3, 1) == (one.kicks("deleted", "done"), one.kicks("deleted", "gone"))
        assert 0 == sum(value for name, value in one.metrics.items() if name.startswith("nats_auth_sessions_pending"))
    finally:
        release.end()


async def _leave_a_ghost(world: World, release: Release) -> None:
    """Kick a client while the responder is asked about it."""
    (one,) = release.replicas
    server = world.server
    admin = await nats.connect(server.url, user="system", password=PASSWORD, allow_reconnect=False)
    one.process.signal(signal.SIGSTOP)
    asking = asyncio.create_task(_knock(world), name="ghost")
    await until(lambda: [line for line in server.connz() if line.get("name") == "ghost"])
    (cid,) = [line["cid"] for line in server.connz() if line.get("name") == "ghost"]
    server_id = server.monitor("varz")["server_id"]
    await admin.request(f"$SYS.REQ.SERVER.{server_id}.KICK", json.dumps({"cid": cid}).encode(), timeout=2)
    one.process.signal(signal.SIGCONT)
    await asking
    # Only the account's own list still has it.
    await until(lambda: one.metrics.get('nats_auth_sessions{account="APP"}') == 1)
    await admin.close()


async def _knock(world: World) -> None:
    async with connected(world, name="ghost", **world.fields(world.token("team-a", "ghost"))):
        pass
