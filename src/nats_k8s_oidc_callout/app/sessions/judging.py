"""Which live sessions are judged, and when: after a change, after an arrival, and again later."""

import asyncio
import heapq
import math
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from nats_k8s_oidc_callout.app.sessions.view import LiveView
from nats_k8s_oidc_callout.core.grants.grants import Grants
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.core.sessions.judging import Keep, Later, Reason, Revoke, Verdict, judge
from nats_k8s_oidc_callout.core.sessions.kicks import Kicks
from nats_k8s_oidc_callout.core.sessions.table import Connection, Session, Table

# Work of one turn of the event loop, and the pause after it: logins go on meanwhile.
_SLICE_SECONDS = 0.002
_LOOK_SECONDS = 0.1

_Workload = tuple[str, str]


class _Change(NamedTuple):
    """What a workload had before, as far as something changed: None for a ServiceAccount that did not exist."""

    account: tuple[ServiceAccount | None] | None = None
    grants: Grants | None = None


class Judging:
    """Has sessions judged, and tells `kicks` who is to end. Changes may come thousands at a time: they are queued."""

    def __init__(self, table: Table, view: LiveView, kicks: Kicks, clock: Callable[[], float] = time.time) -> None:
        self._table, self._view, self._kicks, self._clock = table, view, kicks, clock
        self._queue: dict[_Workload, _Change] = {}
        self._again: list[tuple[float, Connection]] = []
        self._put_off: dict[Connection, float] = {}
        self._changed_at: dict[_Workload, float] = {}
        self._deleted_at: dict[_Workload, float] = {}
        self._all_changed_at = -math.inf
        self._most_changed = 64
        self._policy_taken = True
        self._wake = asyncio.Event()

    def account_changed(
        self, namespace: str, name: str, old: ServiceAccount | None, new: ServiceAccount | None
    ) -> None:
        """Take in that a ServiceAccount was made, changed or deleted. Called for each of them, so it must be quick."""
        workload = namespace, name
        if old is None:
            self._view.appeared(namespace, name)
        if not self._table.has(workload):
            return
        self._view.proofs.changed(workload)
        if new is None:
            self._deleted_at[workload] = self._clock()
        change = self._queue.get(workload, _Change())
        self._changed_at[workload] = self._clock()
        self._queue[workload] = change if change.account is not None else change._replace(account=(old,))
        self._wake.set()

    def labels_changed(self, namespace: str) -> None:
        """Take in that the labels of a namespace changed."""
        for workload in self._table.workloads():
            if workload[0] == namespace:
                self._changed_at[workload] = self._clock()
                self._queue.setdefault(workload, _Change())
        self._wake.set()

    def policy_changed(self, old: Grants, _: Grants) -> None:
        """Take in that another policy is in force."""
        self._view.taken()
        self._all_changed_at = self._clock()
        for workload in self._table.workloads():
            change = self._queue.get(workload, _Change())
            self._queue[workload] = change if change.grants is not None else change._replace(grants=old)
        self._wake.set()

    def keys_fetched(self, kids: Collection[str]) -> None:
        """Take in which keys the issuer has."""
        before = self._view.kids
        self._view.fetched(kids)
        if self._view.kids != before:
            self.everything_changed()

    def everything_changed(self) -> None:
        """Have all sessions judged anew, as when keys are gone or a watch is in sync again."""
        for workload in self._table.workloads():
            self._queue.setdefault(workload, _Change())
        self._wake.set()

    def arrived(self, session: Session) -> None:
        """Take in a session that we did not know."""
        self._view.policies.meet(session, self._clock())
        if session.workload not in self._queue:
            self._judge(session)

    def fits(self, session: Session) -> bool:
        """Say whether a condemned session may stay after all.

        So may one whose change is not looked at yet, or that cannot be judged at this moment: it is judged later.
        """
        if session.workload in self._queue:
            return True
        verdict = self._verdict(session)
        if isinstance(verdict, Later):
            self._judge_later(session, verdict)
        return not isinstance(verdict, Revoke)

    @property
    def settled(self) -> bool:
        """Whether all changes are judged."""
        return not self._queue

    async def run(self) -> None:
        """Judge for ever what was queued, and again what was put off."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self._work()

    async def _work(self) -> None:
        if (taken := self._view.policy_taken) != self._policy_taken:
            self._policy_taken = taken
            # While the file was refused nobody was judged by rules and annotations.
            self.everything_changed()
        ends = time.monotonic() + _SLICE_SECONDS
        while True:
            if self._queue:
                workload = next(iter(self._queue))
                self._work_on(workload, self._queue.pop(workload))
            elif self._again and self._again[0][0] <= self._clock():
                at, key = heapq.heappop(self._again)
                session = self._table.find(key)
                if self._put_off.get(key) == at:
                    del self._put_off[key]
                    if session is not None:
                        self._judge(session)
            else:
                break
            if time.monotonic() >= ends:
                await asyncio.sleep(_SLICE_SECONDS)
                ends = time.monotonic() + _SLICE_SECONDS
        if len(self._changed_at) > self._most_changed:
            self._changed_at = {one: at for one, at in self._changed_at.items() if self._table.has(one)}
            self._deleted_at = {one: at for one, at in self._deleted_at.items() if self._table.has(one)}
            self._most_changed = 2 * len(self._changed_at) + 64

    def _work_on(self, workload: _Workload, change: _Change) -> None:
        """Judge the sessions of one workload after a change."""
        sessions = self._table.of(workload)
        if not sessions:
            return
        if change.grants is not None:
            self._view.regrant(workload, change.grants)
        if change.account is not None:
            self._view.change(workload, change.account[0])
        for session in sessions:
            self._judge(session)

    def _verdict(self, session: Session) -> Verdict:
        if session.label.release:
            changed_at = max(self._changed_at.get(session.workload, -math.inf), self._all_changed_at)
        else:
            changed_at = self._deleted_at.get(session.workload, -math.inf)
        return judge(session, self._view, self._clock(), changed_at)

    def _judge(self, session: Session) -> None:
        verdict = self._verdict(session)
        now = self._clock()
        match verdict:
            case Revoke(reason):
                since = max(self._changed_at.get(session.workload, -math.inf), self._all_changed_at, session.seen)
                self._kicks.add(session, reason, now if reason is Reason.KEY else since)
            case Later():
                self._judge_later(session, verdict)
            case Keep():
                self._kicks.spare(session.key)

    def _judge_later(self, session: Session, verdict: Later) -> None:
        at = self._clock() + verdict.seconds
        if at < self._put_off.get(session.key, math.inf):
            self._put_off[session.key] = at
            heapq.heappush(self._again, (at, session.key))
