"""What the scripted API server of the quick tests and a real kube-apiserver both do: one suite, which both must pass.

What only the scripted one can do, faults above all, is in tests/adapters/test_kubernetes*.py.
"""

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from nats_k8s_oidc_callout.adapters.kubernetes import LiveLookup, Pace
from nats_k8s_oidc_callout.adapters.kubernetes import reflector as reflector_module
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from tests.e2e.cluster import Cluster
from tests.fakes.api_server import FakeApiServer
from tests.fakes.kubernetes_world import Client, FixedSource, running
from tests.fakes.tcp_proxy import TcpProxy, tcp_proxy
from tests.fakes.waiting import until

PUBLISH = "nats.io/allowed-pub-subjects"
# Watches of a second: each test sees some end as they should.
SHORT = Pace(watch_least=1.0, watch_most=1.0)
_namespaces = (f"shared-suite-{number}" for number in itertools.count())


class Server(Protocol):
    """An API server as a test of either sees it."""

    def put(self, namespace: str, name: str, publish: str | None = None) -> str:
        """Create a ServiceAccount, or change its annotation; return its uid."""

    def delete(self, namespace: str, name: str) -> None: ...

    def source(self) -> FixedSource: ...

    def strangers(self) -> FixedSource:
        """Return a credential that the server does not know."""

    async def goes(self) -> None: ...

    async def comes_back(self) -> None: ...


class Scripted:
    def __init__(self, server: FakeApiServer) -> None:
        self._server = server
        self._made = itertools.count()
        server.tokens = {"known"}

    def put(self, namespace: str, name: str, publish: str | None = None) -> str:
        known = self._server.holding(namespace, name)
        uid = known["metadata"]["uid"] if known else f"uid-{next(self._made)}"
        annotations = {} if publish is None else {"allowed_pub_subjects": publish}
        return str(self._server.put(namespace, name, uid, **annotations)["metadata"]["uid"])

    def delete(self, namespace: str, name: str) -> None:
        self._server.delete(namespace, name)

    def source(self) -> FixedSource:
        return FixedSource(self._server.base_url, "known")

    def strangers(self) -> FixedSource:
        return FixedSource(self._server.base_url, "unknown")

    async def goes(self) -> None:
        await self._server.stop()

    async def comes_back(self) -> None:
        await self._server.start(int(self._server.base_url.rpartition(":")[2]))


class Real:
    def __init__(self, cluster: Cluster, proxy: TcpProxy) -> None:
        self._cluster, self._proxy = cluster, proxy

    def put(self, namespace: str, name: str, publish: str | None = None) -> str:
        uid = self._cluster.create_service_account(namespace, name)
        self._cluster.annotate(namespace, name, {PUBLISH: publish})
        return uid

    def delete(self, namespace: str, name: str) -> None:
        self._cluster.delete_service_account(namespace, name)

    def source(self) -> FixedSource:
        return self._as(self._cluster.admin_token)

    def strangers(self) -> FixedSource:
        return self._as("unknown")

    def _as(self, token: str) -> FixedSource:
        trust = ssl.create_default_context(cafile=str(self._cluster.ca_file))
        return FixedSource(f"https://{self._cluster.service_host}:{self._proxy.port}", token, trust)

    async def goes(self) -> None:
        self._proxy.cut()

    async def comes_back(self) -> None:
        self._proxy.mend()


@pytest.fixture(params=["scripted", pytest.param("real", marks=[pytest.mark.go, pytest.mark.cluster, pytest.mark.e2e])])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    if request.param == "real":
        cluster = request.getfixturevalue("cluster")
        async with tcp_proxy(cluster.service_port) as proxy:
            yield Real(cluster, proxy)
        return
    scripted = await FakeApiServer().start()
    yield Scripted(scripted)
    await scripted.stop()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    made = Client(server.source())
    yield made
    await made.api.close()


@pytest.fixture
def namespace() -> str:
    return next(_namespaces)


async def test_a_list_of_several_pages_is_one_state(
    server: Server, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A namespace is listed to its last page, and nothing of any other.
    """
    monkeypatch.setattr(reflector_module, "PAGE_ITEMS", 3)
    uids = {name: server.put(namespace, name) for name in ("a", "b", "c", "d", "e", "f", "g")}
    server.put(f"{namespace}-other", "a")
    reflector = client.reflector(namespace, pace=SHORT)
    await reflector.step()

    found = {name: client.index.find(namespace, name) for name in uids}
    assert {name: ServiceAccount(uid, None) for name, uid in uids.items()} == found
    assert (True, 7) == (reflector.synced, len(client.index))


async def test_what_happens_shows_at_once(server: Server, client: Client, namespace: str) -> None:
    """
    What is created, changed, taken back, deleted and made again is what the index says; the uid of the last counts.
    """
    server.put(namespace, "first")
    async with running(client.reflector(namespace, pace=Pace())):
        await until(lambda: client.holds(namespace, "first"))
        uid = server.put(namespace, "web", "a.>")
        await until(lambda: client.index.find(namespace, "web") == ServiceAccount(uid, {PUBLISH: "a.>"}))
        server.put(namespace, "web", "b.>")
        await until(lambda: client.index.find(namespace, "web") == ServiceAccount(uid, {PUBLISH: "b.>"}))
        server.put(namespace, "web")
        await until(lambda: client.index.find(namespace, "web") == ServiceAccount(uid, None))
        server.delete(namespace, "web")
        await until(lambda: not client.holds(namespace, "web"))
        again = server.put(namespace, "web")
        await until(lambda: client.index.find(namespace, "web") == ServiceAccount(again, None))

    assert uid != again
    assert {"ADDED", "MODIFIED", "DELETED"} <= set(client.events)
    assert (["start"], []) == (client.relists, client.restarts)


async def test_a_watch_that_ends_goes_on_where_it_was(server: Server, client: Client, namespace: str) -> None:
    """
    A watch ends with its time, and the next one brings what happened in between, without a list.
    """
    reflector = client.reflector(namespace, pace=SHORT)
    await reflector.step()
    assert ["ended"] == client.restarts
    server.put(namespace, "between", "a.>")
    await reflector.step()

    assert client.holds(namespace, "between")
    assert (["start"], ["ended", "ended"]) == (client.relists, client.restarts)


async def test_the_largest_annotations_are_one_event(server: Server, client: Client, namespace: str) -> None:
    """
    What Kubernetes allows all annotations of an object together, 256 KiB, comes by a watch like any other event.
    """
    async with running(client.reflector(namespace, pace=Pace())):
        await until(lambda: client.synced == 1)
        server.put(namespace, "big", "a.b," * 65_000)
        await until(lambda: client.holds(namespace, "big"))

    assert [] == client.restarts


async def test_an_outage_is_waited_out(server: Server, client: Client, namespace: str) -> None:
    """
    While the server is away what is known stays; what is deleted once it is back is noticed.
    """
    for name in ("stays", "goes"):
        server.put(namespace, name)
    async with running(client.reflector(namespace, pace=Pace())):
        await until(lambda: client.synced == 1)
        await server.goes()
        try:
            await until(lambda: "unreachable" in client.restarts)
            assert client.holds(namespace, "goes")
        finally:
            await server.comes_back()
        server.delete(namespace, "goes")
        await until(lambda: not client.holds(namespace, "goes"))

    assert client.holds(namespace, "stays")


async def test_a_live_look_finds_what_the_server_has(server: Server, client: Client, namespace: str) -> None:
    """
    One GET tells uid and annotations of a ServiceAccount, or that there is none; the index stays as it is.
    """
    uid = server.put(namespace, "web", "a.>")
    lookup = LiveLookup(client.api, client.index.read, asyncio.get_running_loop().time)

    assert ServiceAccount(uid, {PUBLISH: "a.>"}) == await lookup.look_up(namespace, "web", 5)
    assert await lookup.look_up(namespace, "nobody", 5) is None
    assert 0 == len(client.index)
    await lookup.close()


async def test_who_is_unknown_learns_nothing(server: Server, namespace: str) -> None:
    """
    A credential that the server does not know is told so; the source hears of it, and is asked for another.
    """
    server.put(namespace, "web")
    client = Client(server.strangers())
    await client.reflector(namespace).step()
    await client.api.close()

    assert (["unauthorized"], 0) == (client.restarts, len(client.index))
    assert client.source.refused
