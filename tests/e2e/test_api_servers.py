"""What the scripted API server of the quick tests and a real kube-apiserver both do: one suite, which both must pass.

What only the scripted one can do, faults above all, is in tests/adapters/test_kubernetes*.py.
"""

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import pytest

from nats_k8s_oidc_callout.adapters.kubernetes import LiveLookup, Pace, Reflector
from nats_k8s_oidc_callout.adapters.kubernetes import pages as pages_module
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from tests.e2e.cluster import Cluster
from tests.fakes.api_server import FakeApiServer
from tests.fakes.kubernetes_world import Client, FixedSource, running
from tests.fakes.namespaces import TEAM
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

    def label(self, name: str, team: str | None = None) -> None:
        """Create a Namespace, or change the label of its team."""

    def delete_namespace(self, name: str) -> None: ...

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

    def label(self, name: str, team: str | None = None) -> None:
        self._server.label(name, **({} if team is None else {"team": team}))

    def delete_namespace(self, name: str) -> None:
        self._server.delete("", name)

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

    def label(self, name: str, team: str | None = None) -> None:
        self._cluster.label_namespace(name, {TEAM: team})

    def delete_namespace(self, name: str) -> None:
        self._cluster.delete_namespace(name)

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


class ServiceAccounts:
    """A test's namespace has several; a reflector follows that namespace."""

    def __init__(self, server: Server, client: Client, namespace: str) -> None:
        self._server, self._namespace, self._index = server, namespace, client.index
        self._client = client

    def put(self, name: str, text: str | None = None) -> ServiceAccount:
        """Create one, or change what is read of it; return what is to be found then."""
        uid = self._server.put(self._namespace, name, text)
        return ServiceAccount(uid, None if text is None else {PUBLISH: text})

    def delete(self, name: str) -> None:
        self._server.delete(self._namespace, name)

    def find(self, name: str) -> ServiceAccount | None:
        return self._index.find(self._namespace, name)

    def held(self) -> int:
        return len(self._index)

    def reflector(self, pace: Pace) -> Reflector:
        return self._client.reflector(self._namespace, pace)

    async def look_up(self, name: str) -> ServiceAccount | None:
        lookup = LiveLookup(self._client.api, self._index, asyncio.get_running_loop().time)
        try:
            return await lookup.look_up(self._namespace, name, 5)
        finally:
            await lookup.close()


class Labels:
    """Namespaces, whose names begin as the test's namespace does; a reflector follows all that there are."""

    def __init__(self, server: Server, client: Client, namespace: str) -> None:
        self._server, self._prefix, self._index = server, f"{namespace}-", client.labels
        self._client = client

    def put(self, name: str, text: str | None = None) -> Mapping[str, str]:
        team = None if text is None else text.removesuffix(".>")
        self._server.label(self._prefix + name, team)
        return {} if team is None else {TEAM: team}

    def delete(self, name: str) -> None:
        self._server.delete_namespace(self._prefix + name)

    def find(self, name: str) -> Mapping[str, str] | None:
        return self._index.find(self._prefix + name)

    def held(self) -> int:
        return sum(name.startswith(self._prefix) for name in self._index._entries)

    def reflector(self, pace: Pace) -> Reflector:
        return self._client.reflector(None, pace, index=self._index)

    async def look_up(self, name: str) -> Mapping[str, str] | None:
        lookup = LiveLookup(self._client.api, self._index, asyncio.get_running_loop().time)
        try:
            return await lookup.look_up(self._prefix + name, "", 5)
        finally:
            await lookup.close()


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


@pytest.fixture(params=[ServiceAccounts, Labels], ids=["serviceaccounts", "namespaces"])
def things(request: pytest.FixtureRequest, server: Server, client: Client, namespace: str) -> Any:
    return request.param(server, client, namespace)


async def test_a_list_of_several_pages_is_one_state(
    things: Any, server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What there is is listed to the last page, and nothing of another namespace.
    """
    monkeypatch.setattr(pages_module, "PAGE_ITEMS", 3)
    there = {name: things.put(name) for name in ("a", "b", "c", "d", "e", "f", "g")}
    server.put(f"other-{namespace}", "a")
    reflector = things.reflector(SHORT)
    await reflector.step()

    assert there == {name: things.find(name) for name in there}
    assert (True, 7) == (reflector.synced, things.held())


async def test_what_happens_shows_at_once(things: Any, client: Client) -> None:
    """
    What is created, changed, taken back, deleted and made again is what the index says.
    """
    things.put("first")
    async with running(things.reflector(Pace())):
        await until(lambda: things.find("first") is not None)
        there = things.put("web")
        for text in ("a.>", "b.>", None):
            there = things.put("web", text)
            await until(lambda there=there: things.find("web") == there)  # type: ignore[misc]
        things.delete("web")
        await until(lambda: things.find("web") is None)
        again = things.put("web", "c.>")
        await until(lambda: things.find("web") == again)

    assert {"ADDED", "MODIFIED", "DELETED"} <= set(client.events)
    assert (["start"], []) == (client.relists, client.restarts)
    # Of a ServiceAccount the uid of the last counts.
    assert not isinstance(again, ServiceAccount) or again.uid != there.uid


async def test_a_watch_that_ends_goes_on_where_it_was(things: Any, client: Client) -> None:
    """
    A watch ends with its time, and the next one brings what happened in between, without a list.
    """
    things.put("first")
    reflector = things.reflector(SHORT)
    await reflector.step()
    assert ["ended"] == client.restarts
    between = things.put("between", "a.>")
    await reflector.step()

    assert between == things.find("between")
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


async def test_an_outage_is_waited_out(things: Any, server: Server, client: Client) -> None:
    """
    While the server is away what is known stays; what is deleted once it is back is noticed.
    """
    for name in ("stays", "goes"):
        things.put(name)
    async with running(things.reflector(Pace())):
        await until(lambda: client.synced == 1)
        await server.goes()
        try:
            await until(lambda: "unreachable" in client.restarts)
            assert things.find("goes") is not None
        finally:
            await server.comes_back()
        things.delete("goes")
        await until(lambda: things.find("goes") is None)

    assert things.find("stays") is not None


async def test_a_namespace_is_followed_alone(server: Server, client: Client, namespace: str) -> None:
    """
    A scoped release lists and watches each of its Namespaces by name, and hears nothing of any other.
    """
    names = [f"{namespace}-{end}" for end in ("ours", "theirs")]
    for name in names:
        server.label(name, "a")
    async with running(client.reflector(names[0], pace=Pace(), index=client.labels)):
        await until(lambda: client.synced == 1)
        for name in reversed(names):
            server.label(name, "b")
        await until(lambda: client.labels.find(names[0]) == {TEAM: "b"})

    assert (1, None) == (len(client.labels), client.labels.find(names[1]))
    assert 1 == client.events["MODIFIED"]


async def test_a_live_look_finds_what_the_server_has(things: Any) -> None:
    """
    One GET tells what is read of an object, or that there is none; the index stays as it is.
    """
    there = things.put("web", "a.>")

    assert there == await things.look_up("web")
    assert await things.look_up("nobody") is None
    assert 0 == things.held()


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
