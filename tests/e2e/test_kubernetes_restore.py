"""A real API server over a real etcd that is restored from a copy: its history goes back, and its versions with it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.adapters.kubernetes import Pace
from tests.e2e.cluster import Cluster
from tests.e2e.kubernetes_world import eventually, world_in
from tests.fakes.kubernetes_world import Client, FixedSource, running
from tests.fakes.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = pytest.mark.slow

PUBLISH = "nats.io/allowed-pub-subjects"
WENT_BACK = 'nats_auth_watch_restarts_total{reason="history_went_back"}'


def live_on(cluster: Cluster, namespace: str, name: str) -> None:
    """Change something so often that the API server, which writes some versions of its own as it starts, stays behind."""
    for turn in range(40):
        cluster.annotate(namespace, name, {"turn": str(turn)})


async def test_logins_go_by_the_restored_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """
    After a restore whoever is gone, or was never there, is refused, annotations and uids are the old ones, and it is told.
    """
    for name in ("web", "goes", "returns", "again"):
        cluster.create_service_account("restored", name, {PUBLISH: "old.>"})
    with world_in(cluster, tmp_path) as world:
        goes, returns, web, again = (world.token("restored", name) for name in ("goes", "returns", "web", "again"))
        taken = cluster.copy()
        cluster.create_service_account("restored", "never")
        never = world.token("restored", "never")
        for name in ("returns", "again"):
            cluster.delete_service_account("restored", name)
        cluster.create_service_account("restored", "again")
        successor = world.token("restored", "again")
        live_on(cluster, "restored", "web")
        cluster.annotate("restored", "web", {PUBLISH: "new.>"})
        await eventually(lambda: world.may_publish(web, "new.orders"))
        in_now, out_now = (never, goes, successor), (returns, again)
        assert [True, True, True, False, False] == [await world.let_in(token) for token in (*in_now, *out_now)]

        await asyncio.to_thread(cluster.restore, taken)
        cluster.delete_service_account("restored", "goes")

        async def refused() -> bool:
            return not await world.let_in(never) and not await world.let_in(goes)

        # Reconnecting waits at most 5 s, the look and the list are a moment.
        await eventually(refused, seconds=20)
        assert [True, True] == [await world.let_in(token) for token in (returns, again)]
        assert [True, False] == [await world.may_publish(web, subject) for subject in ("old.orders", "new.orders")]
        reasons = [(await world.refused(token))[0] for token in (never, goes, successor)]
        assert ["unknown_service_account", "unknown_service_account", "uid_mismatch"] == reasons
        assert 1 == world.responder.metrics()[WENT_BACK]


class Follower(Client):
    """A client behind a proxy, whose reflector of one namespace goes by a clock that the test moves."""

    def __init__(self, cluster: Cluster, proxy: TcpProxy) -> None:
        trust = ssl.create_default_context(cafile=str(cluster.ca_file))
        super().__init__(FixedSource(f"https://{cluster.service_host}:{proxy.port}", cluster.admin_token, trust))
        self.proxy = proxy
        self.ahead = 0.0

    def has(self, name: str) -> bool:
        return self.holds("followed", name)


@asynccontextmanager
async def follower(cluster: Cluster, pace: Pace) -> AsyncIterator[Follower]:
    async with tcp_proxy(cluster.service_port) as proxy:
        made = Follower(cluster, proxy)
        time = asyncio.get_running_loop().time
        async with running(made.reflector("followed", pace, monotonic=lambda: time() + made.ahead)):
            yield made
        await made.api.close()


async def until(holds: Callable[[], bool]) -> None:
    async def now() -> bool:
        return holds()

    await eventually(now, seconds=20)


async def restored(cluster: Cluster, follower: Follower, cut_off: Callable[[], None]) -> str:
    """Restore a copy from before `never` was made while the follower is cut off; return the version that it knows."""
    cluster.create_service_account("followed", "stays")
    await until(lambda: follower.has("stays"))
    taken = await asyncio.to_thread(cluster.copy)
    live_on(cluster, "followed", "stays")
    cluster.create_service_account("followed", "never")
    await until(lambda: follower.has("never"))
    known = version(cluster)
    cut_off()
    await asyncio.to_thread(cluster.restore, taken)
    assert int(version(cluster)) < int(known)
    return known


def version(cluster: Cluster) -> str:
    return str(
        cluster.apply("GET", "/api/v1/namespaces/followed/serviceaccounts?limit=1")["metadata"]["resourceVersion"]
    )


async def test_a_connection_that_outlives_the_restore(cluster: Cluster) -> None:
    """
    When the watch stays open, as behind a proxy, its silence ends it, and the look before the next one tells.
    """
    async with follower(cluster, Pace(silence=3.0)) as followed:
        await restored(cluster, followed, followed.proxy.go_silent)
        await until(lambda: not followed.has("never"))

        assert followed.has("stays")
        assert ["start", "history_went_back"] == followed.relists


async def test_a_history_that_overtook_us_is_found_by_the_hourly_list(cluster: Cluster) -> None:
    """
    A restored cluster that has issued more versions than we knew looks like one that went on; the next hour shows it.
    """
    async with follower(cluster, Pace()) as followed:
        known = await restored(cluster, followed, followed.proxy.cut)
        # From a version that it never issued the API server tells of nothing, and of no error.
        watch = f"/api/v1/namespaces/followed/serviceaccounts?watch=1&resourceVersion={known}&timeoutSeconds=2"
        cluster.create_service_account("followed", "unheard")
        assert (200, "") == cluster.request("GET", watch)

        while int(version(cluster)) <= int(known):
            cluster.annotate("followed", "stays", {"turn": version(cluster)})
        followed.proxy.mend()
        cluster.create_service_account("followed", "heard")
        await until(lambda: followed.has("heard"))
        assert (True, False) == (followed.has("never"), followed.has("unheard"))
        followed.ahead = 3000.0
        followed.proxy.cut(refuse=False)
        await until(lambda: not followed.has("never"))

        assert followed.has("unheard")
        assert ["start", "hourly"] == followed.relists
