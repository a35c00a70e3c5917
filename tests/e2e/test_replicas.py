"""Several responders on one server: replicas share, releases keep apart, and leaving loses nothing."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.e2e.clients import ask
from tests.e2e.responder import ResponderProcess
from tests.e2e.worlds import World, world_of
from tests.fakes.nats_world import until

pytestmark = pytest.mark.e2e

AT_ONCE = 8
ROUNDS = 20
LEAST_LOGINS = 2000


@dataclass
class Crowd:
    """Clients that log in one after the other, for as long as the block lasts."""

    world: World
    token: str
    let_in: int = 0
    turned_away: list[str] = field(default_factory=list)
    slowest: float = 0.0

    async def keep_coming(self) -> None:
        while True:
            raw = await ask(self.world, **self.world.fields(self.token))
            self.slowest = max(self.slowest, raw.seconds - raw.stood_still)
            if raw.let_in:
                self.let_in += 1
            elif raw.turned_away:
                self.turned_away.append(f"{raw.said!r} after {raw.seconds:.2f} s")


@asynccontextmanager
async def crowd(world: World) -> AsyncIterator[Crowd]:
    """Let clients come from several sides at once until the block ends."""
    come = Crowd(world, world.token())
    tasks = [asyncio.create_task(come.keep_coming(), name=f"client {number}") for number in range(AT_ONCE)]
    try:
        yield come
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [] == [result for result in results if not isinstance(result, asyncio.CancelledError)]


def start_on(world: World, node: int) -> ResponderProcess:
    """Start a replica that is connected to this node."""
    return world.start_responder(NATS_URL=world.servers[node % len(world.servers)].url)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("setting", ["config-creds", "cluster"])
async def test_no_login_is_lost_when_a_replica_leaves(setting: str) -> None:
    """
    While clients log in, one of two replicas is told to leave, 20 times over: it exits 0, and nobody is turned away.
    """
    with world_of(setting) as world:
        staying, leaving = start_on(world, 0), start_on(world, 1)
        async with crowd(world) as come:
            for number in range(ROUNDS):
                before = come.let_in
                while come.let_in < before + LEAST_LOGINS // ROUNDS // 2:
                    await asyncio.sleep(0.01)
                assert 0 == await asyncio.to_thread(leaving.stop)
                staying, leaving = await asyncio.to_thread(start_on, world, number), staying
            while come.let_in < LEAST_LOGINS:
                await asyncio.sleep(0.01)

    assert [] == come.turned_away
    assert come.let_in >= LEAST_LOGINS
    assert come.slowest < 1.5


async def test_replicas_leave_together_beside_another_release() -> None:
    """
    While a release is replaced by another (MIGRATING.md), all its replicas leave one server at once: nobody notices.

    Three answers to one login, and a nats-server goes deaf to a route (tests/adapters/test_nats_cluster.py).
    """
    with world_of("cluster") as world:
        world.start_responder(NATS_QUEUE_GROUP="q")
        replicas = [start_on(world, 0), start_on(world, 0)]
        async with crowd(world) as come:
            await until(lambda: come.let_in > 50)
            assert [0, 0] == await asyncio.gather(*(asyncio.to_thread(replica.stop) for replica in replicas))
            left = come.let_in
            await until(lambda: come.let_in > left + 50)

    assert [] == come.turned_away


async def test_replicas_share_the_load() -> None:
    """
    Two replicas of one release answer about half each, and each login is answered once.
    """
    with world_of("config-creds") as world:
        replicas = [world.start_responder(), world.start_responder()]
        token = world.token()
        for _ in range(100):
            assert (await ask(world, **world.fields(token))).let_in
        answered = [replica.metrics()["nats_auth_requests_success"] for replica in replicas]

    assert 100 == sum(answered)
    assert min(answered) >= 20


@pytest.fixture
def scoped() -> Iterator[tuple[World, ResponderProcess, ResponderProcess]]:
    """Two releases in one callout account, each for one namespace."""
    with world_of("config-creds") as world:
        ours = world.start_responder(K8S_NAMESPACES="team-a")
        theirs = world.start_responder(K8S_NAMESPACES="team-b")
        yield world, ours, theirs


async def logged_in(world: World, namespace: str, name: str) -> bool:
    return (await ask(world, **world.fields(world.token(namespace, name)))).let_in


@pytest.mark.parametrize("trouble", [signal.SIGSTOP, signal.SIGKILL], ids=["paused", "killed"])
async def test_a_broken_sibling_is_nobody_elses_business(
    scoped: tuple[World, ResponderProcess, ResponderProcess], trouble: signal.Signals
) -> None:
    """
    With its release paused or gone a workload waits in vain and is refused; the sibling neither answers for it nor slows.
    """
    world, ours, theirs = scoped
    ours.signal(trouble)
    began = time.monotonic()
    assert not await logged_in(world, "team-a", "orders")
    waited = time.monotonic() - began
    assert await logged_in(world, "team-b", "web")
    ours.signal(signal.SIGCONT)

    assert waited > 1.0
    assert 1 == theirs.metrics()["nats_auth_requests_success"]
    assert 0 == theirs.metrics()["nats_auth_requests_denied"]
