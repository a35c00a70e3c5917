"""Replicas that judge and kick on one stage of servers, with clocks that a test turns: each hears of changes late."""

import asyncio
import heapq
import random
from collections.abc import Callable
from typing import Any, ClassVar

from nats_k8s_oidc_callout.adapters.nats.system import Kicked
from nats_k8s_oidc_callout.adapters.telemetry import SessionMetrics
from nats_k8s_oidc_callout.app.facts import facts_of, grants_of
from nats_k8s_oidc_callout.app.sessions.judging import Judging
from nats_k8s_oidc_callout.app.sessions.kicker import Kicker
from nats_k8s_oidc_callout.app.sessions.looks import Looks
from nats_k8s_oidc_callout.app.sessions.view import LiveView
from nats_k8s_oidc_callout.core.identity.keyset import KeySet
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
from nats_k8s_oidc_callout.core.sessions.kicks import Guards, Kicks
from nats_k8s_oidc_callout.core.sessions.label import Label, of_kid, of_uid
from nats_k8s_oidc_callout.core.sessions.table import Table
from nats_k8s_oidc_callout.settings import Settings, read_policy
from tests.fakes.sessions import NOW, row
from tests.settings.whole import CONFIG, load

STEP = 0.05
WEB = "shop", "web"
Truth = tuple[str, dict[str, str] | None]
"""A ServiceAccount as the API server has it: uid and annotations."""


class Source:
    """The watch of one replica, as the test has it."""

    in_touch = True
    listed_at = NOW

    def __init__(self, replica: "Replica") -> None:
        self._replica = replica

    def in_sync(self, _: str) -> bool:
        return self.in_touch

    def list_again(self) -> None:
        self._replica.relist()

    async def look_now(self, *_: object) -> ServiceAccount | None:
        self._replica.looks += 1
        truth = self._replica.stage.truth
        return None if truth is None else self._replica.index.entry(*truth)


class Accounts:
    """Every account is where it says."""

    signers: ClassVar[dict[str, Any]] = {}

    def landing(self, account: str) -> str:
        return account


class Replica:
    def __init__(self, stage: "Stage", number: int, settings: Settings) -> None:
        self.stage, self.lag = stage, 0.0
        self.settings = settings
        self.rejects = False
        self.index = Index(settings.sa_annotation_prefix)
        self.facts = facts_of(settings, KeySet(), self.index)
        self.source, self.lists, self.looks = Source(self), 0, 0
        fakes: tuple[Any, Any] = self.source, Accounts()
        self.view = LiveView(
            settings, self.facts, *fakes, lambda: None, rejected=lambda: self.rejects, clock=lambda: stage.now
        )
        self.table, self.kicks = Table(), Kicks(f"r{number}", 50)
        self.judging = Judging(self.table, self.view, self.kicks, clock=lambda: stage.now)
        self.guards = Guards()
        self.kicker = Kicker(
            stage, self.table, self.kicks, self.judging, lambda: self.guards, SessionMetrics(), lambda: stage.now  # type: ignore[arg-type]
        )  # fmt: skip
        self.asking = Looks(self.view, self.source.look_now, clock=lambda: stage.now)
        self.index.on_change = self.judging.account_changed

    def hear(self, workload: tuple[str, str], truth: Truth | None) -> None:
        relist = self.index.begin(workload[0])
        if truth is not None:
            relist.put(*workload, self.index.entry(*truth))
        relist.commit()

    def relist(self) -> None:
        """List all at once, if the last time was 5 s ago."""
        if self.stage.now - self.source.listed_at >= 5:
            self.source.listed_at, self.source.in_touch = self.stage.now, True
            self.lists += 1
            self.hear(WEB, self.stage.truth)

    def take(self, policy: str) -> None:
        before = self.facts.grants
        self.facts.grants = grants_of(self.settings, read_policy(policy.encode(), self.settings))
        self.judging.policy_changed(before, self.facts.grants)

    async def turn(self) -> None:
        await self.judging._work()
        self.asking.turn()
        self.kicker.turn()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class Client:
    """Comes back after each kick; closes for good when it is refused twice."""

    def __init__(self, stage: "Stage", uid: str) -> None:
        self.stage, self.uid, self.kicks, self.refused = stage, uid, 0, 0
        self.cid = 0
        self.mark = ""

    def connect(self) -> None:
        stage = self.stage
        replica = stage.dice.choice(stage.replicas)
        found = replica.index.find(*WEB)
        if found is None or found.uid != self.uid:
            # The replica asks the API server itself.
            found = replica.index.entry(*stage.truth) if stage.truth is not None else None
        made = None if found is None or found.uid != self.uid else replica.facts.grants.of(*WEB, found.annotations)
        if made is None or not made.encoded:
            self.refused += 1
            if self.refused < 2:
                stage.at(1.0, self.connect)
            return
        self.refused = 0
        stage.cids += 1
        self.cid, self.mark = stage.cids, made.mark
        grants = replica.facts.grants
        label = Label(
            *WEB,
            int(stage.now) + 3600,
            of_uid(self.uid),
            made.mark,
            of_kid("k"),
            "0" * 8,
            0,
            grants.policy_mark,
            replica.settings.session_release,
        )
        stage.live[self.cid] = self
        one = row(self.cid, str(label), account=made.account, start=stage.now, now=stage.now, issuer_key="APP")
        stage.at(0.01, lambda: stage.tell(lambda replica: stage.appear(replica, one)))


class Stage:
    """The servers, the cluster's truth, and the clock."""

    connected = True

    def __init__(self, count: int = 2, seed: int = 1, policy: str = "") -> None:
        self.now, self.dice, self.cids = NOW, random.Random(seed), 0
        self.truth: Truth | None = ("uid-one", None)
        self.live: dict[int, Client] = {}
        self.clients: list[Client] = []
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._serial = 0
        settings = load(CONFIG | {"SESSION_CONTROL": "on", "SESSION_RELEASE": "ours"})
        self.replicas = [Replica(self, number, settings) for number in range(count)]
        for replica in self.replicas:
            replica.hear(WEB, self.truth)
            if policy:
                replica.take(policy)

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        self._serial += 1
        heapq.heappush(self._later, (self.now + seconds, self._serial, act))

    def tell(self, act: Callable[[Replica], object]) -> None:
        for replica in self.replicas:
            act(replica)

    def appear(self, replica: Replica, one: Any) -> None:
        session = replica.view.session_of(one, self.now)
        assert session is not None
        if one.cid in self.live and replica.table.put(session):
            replica.judging.arrived(session)

    def change(self, truth: Truth | None) -> None:
        """Change the ServiceAccount; each replica hears of it after its lag, if its watch is alive."""
        self.truth = truth
        for replica in self.replicas:
            if replica.lag < 1000:
                self.at(replica.lag, lambda replica=replica: replica.hear(WEB, truth))  # type: ignore[misc]

    def arrive(self, count: int, uid: str = "uid-one") -> None:
        for _ in range(count):
            client = Client(self, uid)
            self.clients.append(client)
            client.connect()

    async def kick(self, _server: str, cid: int) -> Kicked:
        client = self.live.pop(cid, None)
        if client is None:
            return Kicked.GONE
        client.kicks += 1
        self.at(0.01, lambda: self.tell(lambda replica: self.leave(replica, cid)))
        self.at(0.1, client.connect)
        return Kicked.DONE

    def leave(self, replica: Replica, cid: int) -> None:
        replica.table.remove(("S1", cid))
        replica.kicker.ended(("S1", cid))

    async def run(self, seconds: float) -> None:
        ends = self.now + seconds
        while self.now < ends:
            self.now += STEP
            while self._later and self._later[0][0] <= self.now:
                heapq.heappop(self._later)[2]()
            for replica in self.replicas:
                await replica.turn()

    @property
    def most(self) -> int:
        """How often the unluckiest client was kicked."""
        return max(client.kicks for client in self.clients)
