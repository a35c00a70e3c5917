"""A scripted API server with a client of it, and what a reflector told about it."""

import asyncio
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from nats_k8s_oidc_callout.adapters.kubernetes import ApiServer, Credentials, Informer, Pace, Reflector
from nats_k8s_oidc_callout.core.kubernetes.namespaces import Namespaces
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from tests.fakes.api_server import FakeApiServer
from tests.fakes.namespaces import STAGE, TEAM
from tests.fakes.waiting import WAIT_SECONDS, until

QUICK = Pace(silence=0.2, watch_least=5.0, watch_most=10.0, page=0.5)


class FixedSource:
    """A credential source whose token the test changes; `refused` counts the 401s it was told of."""

    def __init__(self, base_url: str, token: str = "token-1", trust: ssl.SSLContext | None = None) -> None:
        self.base_url = base_url
        self.token = token
        self.trust = trust
        self.renewed = ""
        self.refused = 0

    def current(self, refused: bool = False) -> Credentials:
        if refused:
            self.refused += 1
            self.token = self.renewed or self.token
        return Credentials({"Authorization": f"Bearer {self.token}"}, self.trust)


class Followed(Reflector):
    """A reflector that notes why it lists, as each list begins, and the kind of each line that it took in."""

    def __init__(self, *given: Any, relists: list[str], events: Counter[str], **more: Any) -> None:
        super().__init__(*given, **more)
        self._relists, self._events = relists, events

    async def _list(self) -> None:
        self._relists.append(self._why_list)
        await super()._list()

    def _hear(self, line: bytes) -> int:
        news = super()._hear(line)
        self._events.update([json.loads(line)["type"]])
        return news


class Client:
    """A client of any API server, and what the reflector did."""

    def __init__(self, source: FixedSource) -> None:
        self.source = source
        self.api = ApiServer(source)
        self.index = Index("nats.io/")
        self.labels = Namespaces([TEAM, STAGE])
        self.events: Counter[str] = Counter()
        self.restarts: list[str] = []
        self.relists: list[str] = []
        self.synced = 0

    def reflector(
        self, namespace: str | None = None, pace: Pace = QUICK, *, index: Any = None, **more: Any
    ) -> Reflector:
        """Return a reflector of ServiceAccounts, or of the kind of `index`."""
        return Followed(
            self.api,
            self.index if index is None else index,
            namespace,
            relists=self.relists,
            events=self.events,
            pace=pace,
            on_restart=self.restarts.append,
            on_synced=self._count_synced,
            **{"chance": lambda: 1.0, **more},
        )

    def _count_synced(self) -> None:
        self.synced += 1

    def holds(self, namespace: str, name: str) -> bool:
        return self.index.find(namespace, name) is not None


class World(Client):
    """A fake server and a client of it."""

    def __init__(self, server: FakeApiServer) -> None:
        super().__init__(FixedSource(server.base_url))
        self.server = server


@contextlib.asynccontextmanager
async def started() -> AsyncIterator[World]:
    server = await FakeApiServer().start()
    made = World(server)
    try:
        yield made
    finally:
        await made.api.close()
        await server.stop()


@contextlib.asynccontextmanager
async def running(follower: Reflector | Informer) -> AsyncIterator[None]:
    task = asyncio.create_task(follower.run(), name="under test")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def in_the_middle(world: World, reflector: Reflector, act: Callable[[], object]) -> float:
    """Take one step of the reflector, doing `act` once its watch is open; return the delay it asks for."""
    task = asyncio.create_task(reflector.step(), name="one step")
    try:
        await until(lambda: world.server.streams > 0)
        act()
        async with asyncio.timeout(WAIT_SECONDS):
            return await task
    finally:
        task.cancel()


def fill(server: FakeApiServer, count: int) -> None:
    for number in range(count):
        server.put("team", f"app-{number}")
