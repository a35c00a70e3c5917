"""Ends sessions: asks their servers, as fast as the rate and the guards allow, and reads what became of it."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import structlog

from nats_k8s_oidc_callout.adapters.nats.system import Kicked, System
from nats_k8s_oidc_callout.adapters.telemetry import SessionMetrics
from nats_k8s_oidc_callout.app.sessions.judging import Judging
from nats_k8s_oidc_callout.core.sessions.judging import Reason
from nats_k8s_oidc_callout.core.sessions.kicks import Guards, Kick, Kicks
from nats_k8s_oidc_callout.core.sessions.table import Connection, Table
from nats_k8s_oidc_callout.core.spelling import escape

log = structlog.get_logger("sessions")

_TURN_SECONDS = 0.02
_IDLE_SECONDS = 0.1
_AT_ONCE = 64
# After a kick that the server took, its word of the end comes within milliseconds. Without one the list is asked.
_END_SECONDS = 5.0
_GHOSTS = 10_000


class _Ending(NamedTuple):
    kick: Kick
    kicked: float


class Kicker:
    """Kicks whom `kicks` lets go next. Each is judged once more just before: a kick cannot be taken back."""

    def __init__(
        self,
        system: System,
        table: Table,
        kicks: Kicks,
        judging: Judging,
        guards: Callable[[], Guards],
        metrics: SessionMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._system, self._table, self._kicks, self._judging = system, table, kicks, judging
        self._guards, self._metrics, self._clock = guards, metrics, clock
        self._running: set[asyncio.Task[None]] = set()
        self._ending: dict[Connection, _Ending] = {}
        self._ghosts: OrderedDict[Connection, None] = OrderedDict()
        self.in_doubt = asyncio.Event()
        """A server took a kick and did not tell of the end, or is gone: a list is needed."""

    async def run(self) -> None:
        """Kick for ever."""
        while True:
            self.turn()
            await asyncio.sleep(_TURN_SECONDS if len(self._kicks) else _IDLE_SECONDS)

    def turn(self) -> None:
        """Kick all that may be kicked at this moment."""
        now = self._clock()
        guards = self._guards()
        while self._system.connected and len(self._running) < _AT_ONCE:
            found = self._kicks.take(now, len(self._table), guards)
            if found is None:
                break
            session, reason, _ = found
            if self._table.find(session.key) is None:
                continue
            if session.key in self._ending:
                # Nobody may have heard that kick.
                self._kicks.defer(found, now)
                continue
            if reason not in (Reason.RENEWAL, Reason.MANUAL) and self._judging.fits(session):
                continue
            self._ending[session.key] = _Ending(found, now)
            task = asyncio.create_task(self._kick(found), name="session kick")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        self._doubt(now)

    def ended(self, key: Connection) -> None:
        """Take in that a connection is gone, as its server says."""
        self._kicks.drop(key)
        ending = self._ending.pop(key, None)
        if ending is not None:
            self._metrics.ended(max(0.0, self._clock() - ending.kick.since))

    def is_ghost(self, key: Connection) -> bool:
        """Say whether a list shows a connection that its server does not know (nats-server 2.11, NATS_FACTS)."""
        return key in self._ghosts

    async def _kick(self, kick: Kick) -> None:
        session, reason, _ = kick
        kicked = await self._system.kick(session.server, session.cid)
        self._metrics.kicked(reason, kicked)
        if kicked is Kicked.DONE:
            now = self._clock()
            log.info(
                "session kicked",
                reason=reason.value,
                workload=f"{session.label.namespace}/{session.label.name}",
                account=session.account,
                server=session.server,
                client_id=session.cid,
                client_host=escape(session.host),
                connection_name=escape(session.connection),
                age_seconds=round(max(0.0, now - session.start)),
            )
            return
        self._ending.pop(session.key, None)
        if kicked is Kicked.GONE:
            # It left by itself, or another replica was first. What a list still shows of it is no session.
            self._table.remove(session.key)
            self._kicks.drop(session.key)
            self._ghosts[session.key] = None
            if len(self._ghosts) > _GHOSTS:
                self._ghosts.popitem(last=False)
        elif kicked is Kicked.NO_SERVER:
            for gone in self._table.forget_server(session.server):
                self.ended(gone.key)
            self.in_doubt.set()
        elif self._table.find(session.key) is not None:
            self._kicks.again(kick, self._clock())

    def _doubt(self, now: float) -> None:
        overdue = [ending.kick for ending in self._ending.values() if ending.kicked < now - _END_SECONDS]
        for kick in overdue:
            del self._ending[kick.session.key]
            # Until the list says that it is gone.
            self._kicks.defer(kick, now)
            self.in_doubt.set()
