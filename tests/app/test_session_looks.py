"""Nobody ends by what a watch that hangs left us with, and no tenant turns the proof into load for the API server."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from nats_k8s_oidc_callout.adapters.kubernetes import ApiServer
from nats_k8s_oidc_callout.adapters.telemetry import Metrics
from nats_k8s_oidc_callout.app.facts import facts_of
from nats_k8s_oidc_callout.app.sessions.judging import Judging
from nats_k8s_oidc_callout.app.sessions.looks import Looks
from nats_k8s_oidc_callout.app.sessions.view import LiveView
from nats_k8s_oidc_callout.app.sources import ClusterWorkloads
from nats_k8s_oidc_callout.core.identity.keyset import KeySet
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
from nats_k8s_oidc_callout.core.sessions.judging import Reason
from nats_k8s_oidc_callout.core.sessions.kicks import Kicks
from nats_k8s_oidc_callout.core.sessions.label import of_uid
from nats_k8s_oidc_callout.core.sessions.proofs import LOOKS_PER_SECOND
from nats_k8s_oidc_callout.core.sessions.table import Connection, Table
from tests.fakes import api_server as fake
from tests.fakes.api_server import FakeApiServer
from tests.fakes.kubernetes_world import FixedSource
from tests.fakes.replicas import Accounts
from tests.fakes.sessions import label, row
from tests.fakes.waiting import until
from tests.settings.whole import CONFIG, load

STEP = 0.05
HOSTILE = 60


class Replica:
    """One replica with a real watch. Its clock is the test's, far behind the first list."""

    def __init__(self, server: FakeApiServer) -> None:
        self.server, self.now, self._cids = server, time.time() + 1000, itertools.count(1)
        settings = load(CONFIG | {"SESSION_CONTROL": "on", "SESSION_RELEASE": "ours"})
        self.release = settings.session_release
        self.index = Index(settings.sa_annotation_prefix)
        self.workloads = ClusterWorkloads(
            ApiServer(FixedSource(server.base_url)), self.index, (), Metrics(CollectorRegistry(), "")
        )
        facts, accounts = facts_of(settings, KeySet(), self.index), Accounts()
        self.view = LiveView(
            settings, facts, self.workloads, accounts, lambda: None, lambda: False, lambda: self.now  # type: ignore[arg-type]
        )  # fmt: skip
        self.view.policies.have("000000", self.now - 1000)
        self.table, self.kicks = Table(), Kicks("a", 50)
        self.judging = Judging(self.table, self.view, self.kicks, lambda: self.now)
        self.index.on_change = self.judging.account_changed
        self.looks = Looks(self.view, self.workloads.look_now, lambda: self.now)

    def arrive(self, namespace: str, name: str, uid: str = "") -> Connection:
        """Let a session appear that another replica granted, by a grant that is none of today's."""
        user = label(
            namespace=namespace, name=name, uid=of_uid(uid or f"uid-{namespace}-{name}"), release=self.release,
            expires=int(self.now) + 3600,
        )  # fmt: skip
        session = self.view.session_of(
            row(next(self._cids), user, start=self.now, now=self.now, issuer_key="APP"), self.now
        )
        assert session is not None
        self.table.put(session)
        self.judging.arrived(session)
        return session.key

    async def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            await self.judging._work()
            self.looks.turn()
            while self.looks._running:
                await asyncio.sleep(0)

    @property
    def lists(self) -> int:
        return sum(seen.params["limit"] != "1" for seen in self.server.seen if seen.verb == "list")


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    server = await FakeApiServer().start()
    for number in range(HOSTILE):
        server.put("bad", f"web-{number}")
    server.put("shop", "web")
    made = Replica(server)
    task = asyncio.create_task(made.workloads.loops[0][1]())
    await until(lambda: made.workloads.in_sync("shop"))
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await made.workloads.close()
    await server.stop()


async def test_a_tenant_who_flaps_loads_nobody(replica: Replica) -> None:
    """
    Sixty ServiceAccounts flap, and come back with what another replica that is behind grants them: no list for it, a
    few GETs a second, and others' sessions end within 5 s all the same.
    """
    server, victims = replica.server, {}
    for second in range(20):
        for number in range(HOSTILE):
            if (number + second) % 10 == 0:
                server.put("bad", f"web-{number}", allowed_pub_subjects=f"a.{second}.>")
            replica.arrive("bad", f"web-{number}")
        if second % 10 == 3:
            victims[replica.arrive("shop", "web")] = Reason.NARROWED
            victims[replica.arrive("shop", f"gone-{second}")] = Reason.DELETED
            victims[replica.arrive("shop", "web", "uid-old")] = Reason.RECREATED
        if second % 10 == 8:
            assert victims == {key: replica.kicks.reason_of(key) for key in victims}
        await replica.run(1)

    assert 6 == len(victims)
    gets = [seen.path.split("/")[4] for seen in server.seen if seen.verb == "get"]
    assert 80 <= gets.count("bad") <= 21 * LOOKS_PER_SECOND / 4
    assert gets.count("shop") <= 6
    assert 1 == replica.lists


@pytest.mark.parametrize("fault", [fake.answers(500), fake.answers(403), fake.body(b"{}")])
async def test_without_an_answer_nobody_ends(replica: Replica, fault: fake.Handler) -> None:
    """It is asked for again every 2 s."""
    replica.server.faults["get"] = fault
    key = replica.arrive("shop", "web")
    await replica.run(10)
    assert (None, 4) == (replica.kicks.reason_of(key), replica.server.count("get"))
    del replica.server.faults["get"]
    await replica.run(3)

    assert Reason.NARROWED is replica.kicks.reason_of(key)
    assert 1 == replica.lists


async def test_a_watch_that_hangs_is_found_out(replica: Replica) -> None:
    """
    It does not tell that a ServiceAccount was made again: whose sessions do not end, and soon all are listed, once.
    """
    server: Any = replica.server
    server._happens = lambda *_: None
    server.put("shop", "web", "uid-new")
    # The last list was long ago.
    replica.workloads._informer._reflectors[None]._listed_from -= 1000
    key = replica.arrive("shop", "web", "uid-new")
    await replica.run(3)
    assert (1, None) == (replica.lists, replica.kicks.reason_of(key))
    await replica.run(3)
    await until(lambda: replica.lists == 2 and replica.workloads.in_sync("shop"))
    found = replica.index.find("shop", "web")
    assert found is not None
    assert "uid-new" == found.uid


async def test_a_watch_that_tells_of_changes_does_not_hang(replica: Replica) -> None:
    """
    The API server's answer differed, then the watch told of a change: that it differs once more, as flaps do, is no sign.
    """
    replica.arrive("shop", "web")
    found = [replica.view.proofs.other(("shop", "web"), replica.now + seconds) for seconds in (0, 1)]
    replica.server.put("shop", "web", allowed_pub_subjects="a.>")
    await until(lambda: replica.index.find("shop", "web") != ServiceAccount("uid-shop-web", None))
    found.append(replica.view.proofs.other(("shop", "web"), replica.now + 10))

    assert [False] * 3 == found
