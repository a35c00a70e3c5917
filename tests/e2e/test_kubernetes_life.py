"""A responder's life in a cluster: everything missing at the start, networks that die quietly, odd tokens."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.kubernetes_world import World, eventually, prepare, world_in
from tests.e2e.responder import ResponderProcess
from tests.fakes.nats_world import NatsServer
from tests.fakes.stalls import awake
from tests.fakes.tcp_proxy import TcpProxy, tcp_proxy
from tests.leaks import SECRETS

PUBLISH = "nats.io/allowed-pub-subjects"
# nats-py's own patience: 60 attempts, 2 s each.
TWO_MINUTES = 125


async def test_started_before_nats_and_the_api_server(cluster: Cluster, tmp_path: Path) -> None:
    """
    A responder that finds neither NATS nor the API server waits, un-ready, and serves once both are there.
    """
    cluster.create_service_account("early", "web")
    text, env = prepare(cluster, tmp_path)
    cluster.kill()
    try:
        with (
            NatsServer(text, started=False) as server,
            ResponderProcess({**env, "NATS_URL": server.url}, name="early") as responder,
        ):
            world = World(cluster, server, env)
            world.responder = responder
            await eventually(is_up(responder))
            assert not responder.ready
            server.start()
            cluster.restart()
            responder.wait_ready()
            assert await world.let_in(world.token("early", "web"))
    finally:
        cluster.restart()


def is_up(responder: ResponderProcess) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        return bool(responder.events("http listening")) and responder.get("/livez")[0] == 200

    return answers


@asynccontextmanager
async def world_behind(proxy: TcpProxy, cluster: Cluster, folder: Path) -> AsyncIterator[World]:
    """Run a world that reaches its API server through the proxy, which needs this loop while the world starts."""
    address = {"KUBERNETES_SERVICE_PORT": str(proxy.port), "JWKS_URL": f"https://127.0.0.1:{proxy.port}/openid/v1/jwks"}
    manager = world_in(cluster, folder, **address)
    world = await asyncio.to_thread(manager.__enter__)
    try:
        yield world
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


async def test_a_network_that_was_cut_is_caught_up_with(cluster: Cluster, tmp_path: Path) -> None:
    """
    While the way to the API server is cut logins go on; what was deleted meanwhile is refused soon after.
    """
    for name in ("stays", "goes"):
        cluster.create_service_account("cut", name)
    async with tcp_proxy(int(cluster.service_port)) as proxy, world_behind(proxy, cluster, tmp_path) as world:
        stays, goes = (world.token("cut", name) for name in ("stays", "goes"))
        proxy.cut()
        cluster.delete_service_account("cut", "goes")
        await asyncio.sleep(1)
        assert await world.let_in(stays)
        assert await world.let_in(goes)
        assert world.responder.ready
        proxy.mend()

        async def forgotten() -> bool:
            return not await world.let_in(goes)

        await eventually(forgotten)
        assert await world.let_in(stays)


@pytest.mark.slow
async def test_a_half_open_watch_is_noticed(cluster: Cluster, tmp_path: Path) -> None:
    """
    When the connection of the watch dies without a word the responder notices by its silence, and asks anew.
    """
    cluster.create_service_account("silent", "web")
    async with tcp_proxy(int(cluster.service_port)) as proxy, world_behind(proxy, cluster, tmp_path) as world:
        token = world.token("silent", "web")
        assert await world.let_in(token)
        proxy.go_silent()
        cluster.annotate("silent", "web", {PUBLISH: "late.>"})
        assert await world.let_in(token)

        # The watch may be silent for 90 s: that is how often a quiet cluster is asked anew.
        await eventually(lambda: world.may_publish(token, "late.news"), seconds=110)


@pytest.mark.slow
async def test_a_half_open_connection_to_nats_is_noticed(cluster: Cluster, tmp_path: Path) -> None:
    """
    When the connection to NATS dies without a word the responder notices, connects anew and answers again.
    """
    cluster.create_service_account("nats-silent", "web")
    text, env = prepare(cluster, tmp_path)
    with NatsServer(text) as server:
        async with tcp_proxy(server.port) as proxy:
            with ResponderProcess({**env, "NATS_URL": f"nats://127.0.0.1:{proxy.port}"}, name="half-open") as responder:
                world = World(cluster, server, env)
                world.responder = responder
                token = world.token("nats-silent", "web")
                await asyncio.to_thread(responder.wait_ready)
                assert await world.let_in(token)
                pid = responder.pid
                proxy.go_silent()

                # A heartbeat every 5 s, each with 10 s to answer; and a login that is not answered takes its 1.5 s.
                await eventually(lambda: world.let_in(token), seconds=40)
                assert pid == responder.pid


@pytest.mark.slow
async def test_both_away_for_two_minutes(cluster: Cluster, tmp_path: Path) -> None:
    """
    NATS and the API server are gone for longer than nats-py's own patience; then the same process answers within 10 s.
    """
    cluster.create_service_account("away", "web")
    with world_in(cluster, tmp_path) as world:
        token = world.token("away", "web")
        assert await world.let_in(token)
        pid = world.responder.pid
        world.server.kill()
        cluster.kill()
        try:
            await asyncio.sleep(TWO_MINUTES)
            assert not world.responder.ready
            assert 200 == world.responder.get("/livez")[0]
            world.server.start()
            back = awake()
            await eventually(lambda: world.let_in(token))
            assert awake() - back < 10
        finally:
            cluster.restart()
        cluster.annotate("away", "web", {PUBLISH: "late.>"})
        await eventually(lambda: world.may_publish(token, "late.news"), seconds=20)
        assert (pid, True) == (world.responder.pid, world.responder.running)


async def test_a_session_does_not_need_us(cluster: Cluster, tmp_path: Path) -> None:
    """
    A client that is in stays in, and loses no message, while the responder is replaced and the API server is gone.
    """
    cluster.create_service_account("numbers", "web")
    with world_in(cluster, tmp_path) as world:
        client = await nats.connect(world.server.url, token=world.token("numbers", "web"), allow_reconnect=False)
        heard = await client.subscribe("numbers.>")
        sent = 0

        async def count(seconds: float) -> None:
            nonlocal sent
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                await client.publish("numbers.next", str(sent).encode())
                sent += 1
                await asyncio.sleep(0.005)

        await count(0.2)
        cluster.kill()
        try:
            await count(0.5)
            world.responder.kill()
            await count(0.5)
        finally:
            cluster.restart()
        with ResponderProcess(world.env, name="replacement") as replacement:
            await count(0.2)
            replacement.wait_ready()
            await count(0.2)
        got = [int((await heard.next_msg(timeout=2)).data) for _ in range(sent)]
        await client.close()

    assert list(range(sent)) == got


@pytest.fixture(scope="module")
def strict(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A responder that wants the API server's own audience, and a pod behind every token."""
    folder = tmp_path_factory.mktemp("strict")
    with world_in(cluster, folder, JWT_AUDIENCE=cluster.issuer, REQUIRE_POD_BOUND="true") as world:
        yield world


async def test_only_tokens_of_pods(strict: World) -> None:
    """
    With REQUIRE_POD_BOUND a token of `kubectl create token` is refused, and a pod's is let in.
    """
    strict.cluster.create_service_account("bound", "web")
    pod = ("web-0", strict.cluster.create_pod("bound", "web-0", "web"))

    assert "not_pod_bound" == (await strict.refused(strict.token("bound", "web", audience=strict.cluster.issuer)))[0]
    assert await strict.let_in(strict.token("bound", "web", audience=strict.cluster.issuer, pod=pod))


async def test_a_token_that_was_extended_to_a_year(strict: World) -> None:
    """
    The year-long token that an API server makes of an auto-mounted one is refused for its lifetime.
    """
    strict.cluster.create_service_account("year", "web")
    pod = ("web-0", strict.cluster.create_pod("year", "web-0", "web"))
    token = strict.token("year", "web", audience=strict.cluster.issuer, pod=pod, duration=3607)
    reason, _ = await strict.refused(token)

    assert "lifetime_too_long" == reason


async def test_a_token_past_its_warning_is_expired(strict: World) -> None:
    """
    A token whose `warnafter` has passed is expired to us, whatever `exp` says.
    """
    uid = strict.cluster.create_service_account("warned", "web")
    pod = strict.cluster.create_pod("warned", "web-0", "web")
    kubernetes = {
        "namespace": "warned",
        "serviceaccount": {"name": "web", "uid": uid},
        "pod": {"name": "web-0", "uid": pod},
        "warnafter": int(time.time()) - 1,
    }
    claims = strict.cluster.claims("warned", "web", aud=[strict.cluster.issuer], **{"kubernetes.io": kubernetes})
    token = SECRETS.register("token", strict.cluster.sign_token(claims))

    assert "expired" == (await strict.refused(token))[0]
