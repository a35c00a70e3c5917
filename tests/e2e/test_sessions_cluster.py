"""Sessions end by what a real API server says, also when it says all of it at once after an outage."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.clients import ask
from tests.e2e.cluster import Cluster
from tests.e2e.responder import ResponderProcess
from tests.e2e.session_plans import session_plan
from tests.e2e.session_world import Pod, pod
from tests.e2e.worlds import PUBLISH, World, world_of
from tests.fakes.nats_world import until
from tests.fakes.stalls import awake, stalled
from tests.fakes.tcp_proxy import TcpProxy, tcp_proxy
from tests.leaks import SECRETS

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAMESPACE = "sessions"
ENDED, OUTAGE = ("gone", "again", "less"), tuple(f"outage-{number}" for number in range(12))
PROMISED_SECONDS = 5.0
RATE, BURST = 3, 4
"""Of one replica: so many kicks a second, and at once after a while without any (two buckets, of two each)."""


@dataclass
class Place:
    """Two replicas that follow a real API server, through a proxy, and the pods of one namespace."""

    cluster: Cluster
    proxy: TcpProxy
    world: World
    replicas: list[ResponderProcess]
    pods: dict[str, Pod] = field(default_factory=dict)

    def token(self, name: str) -> str:
        return SECRETS.register("token", self.cluster.token(NAMESPACE, name))


@asynccontextmanager
async def place(cluster: Cluster) -> AsyncIterator[Place]:
    cluster.apply_rbac()
    for name in (*ENDED, *OUTAGE, "stays"):
        cluster.create_service_account(NAMESPACE, name, {PUBLISH: "a.>,b.>"})
    async with tcp_proxy(cluster.service_port) as proxy, AsyncExitStack() as stack:
        with world_of(session_plan("config", "imports")) as world:
            mounted = cluster.credentials_dir(cluster.namespace, cluster.service_account)
            SECRETS.register("token", (mounted / "token").read_text())
            env = {
                **world.plan.variables,
                **cluster.environment,
                "KUBERNETES_SERVICE_PORT": str(proxy.port),
                "K8S_CREDENTIALS_DIR": str(mounted),
                "JWKS_FILE": _keys(cluster, world.folder),
                "SESSION_CONTROL": "on",
                "SESSION_RELEASE": "ours",
                "SESSION_KICKS_PER_SECOND": str(RATE),
            }
            replicas = [_replica(env, world, node) for node in range(2)]
            try:
                for one in replicas:
                    one.start()
                for one in replicas:
                    await asyncio.to_thread(one.wait_ready)
                made = Place(cluster, proxy, world, replicas)
                for name in (*ENDED, *OUTAGE, "stays"):
                    token = await asyncio.to_thread(made.token, name)
                    lasting = name in ("less", "stays")
                    made.pods[name] = await stack.enter_async_context(pod(world, partial(str, token), back=lasting))
                await until(lambda: all(one.live == 3 for one in made.pods.values()))
                yield made
                await stack.aclose()
            finally:
                for one in replicas:
                    one.kill()


def _keys(cluster: Cluster, folder: Path) -> str:
    """Write the key set to a file, which is there while the API server is not."""
    status, keys = cluster.request("GET", "/openid/v1/jwks")
    assert status == 200, keys
    file = folder / "jwks-of-the-cluster.json"
    file.write_text(json.dumps(keys))
    return str(file)


def _replica(env: Mapping[str, str], world: World, node: int) -> ResponderProcess:
    return ResponderProcess({**env, "NATS_URL": world.servers[node].url}, name=f"cluster-{node}")


async def test_what_the_api_server_says_ends_sessions(cluster: Cluster) -> None:
    """
    Deleted, made again, narrowed: within 5 s. After an outage in which twelve were deleted all of their sessions end, no
    faster than the rate, and no login failed before, meanwhile, or after.
    """
    awake()
    async with place(cluster) as here:
        stays = here.pods["stays"]
        began = time.time()
        await asyncio.to_thread(_change, cluster)
        await until(lambda: all(all(here.pods[name].ended) for name in ENDED), 30)
        last = {name: here.pods[name].last_end() for name in ENDED}
        changed = {name: last[name] - began - stalled(began, last[name]) for name in ENDED}

        here.proxy.cut()
        await asyncio.to_thread(_delete, cluster, OUTAGE)
        token = await asyncio.to_thread(here.token, "stays")
        for _ in range(20):
            assert (await ask(here.world, **here.world.fields(token))).let_in
        live = sum(here.pods[name].live for name in OUTAGE)
        here.proxy.mend()
        began = time.time()
        while sum(here.pods[name].live for name in OUTAGE):
            assert (await ask(here.world, **here.world.fields(token))).let_in
            assert time.time() < began + 60
            await asyncio.sleep(0.1)
        back = max(here.pods[name].last_end() for name in OUTAGE) - began

        assert max(changed.values()) < PROMISED_SECONDS, changed
        assert 3 * len(OUTAGE) == live
        assert (3, 0, 0) == (stays.live, stays.most_reconnects, stays.refused)
        assert 0 == here.pods["less"].refused
        assert back < 30
        # The last line may come a moment after the end that it tells of.
        await until(lambda: sum(len(_kicked(one, began)) for one in here.replicas) == 3 * len(OUTAGE))
        for one in here.replicas:
            assert _most(_kicked(one, began)) <= 2 * BURST


def _kicked(replica: ResponderProcess, since: float) -> list[float]:
    """Return when a replica ended sessions, in order (Unix seconds)."""
    moments = [datetime.fromisoformat(line["ts"]).timestamp() for line in replica.events("session kicked")]
    return sorted(at for at in moments if at >= since)


def _most(moments: list[float]) -> float:
    """Return how many of them, from any one on to any later one, are more than the rate gives."""
    return max(
        (
            last - first - RATE * (moments[last] - moments[first])
            for first in range(len(moments))
            for last in range(first, len(moments))
        ),
        default=0.0,
    )


def _change(cluster: Cluster) -> None:
    cluster.delete_service_account(NAMESPACE, "gone")
    cluster.delete_service_account(NAMESPACE, "again")
    cluster.create_service_account(NAMESPACE, "again")
    cluster.annotate(NAMESPACE, "less", {PUBLISH: "a.>"})


def _delete(cluster: Cluster, names: tuple[str, ...]) -> None:
    for name in names:
        cluster.delete_service_account(NAMESPACE, name)
