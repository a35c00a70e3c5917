"""What the servers tell of sessions: events as they happen, and whole lists that repair what events missed."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection

import structlog

from nats_k8s_oidc_callout.adapters.nats.system import System
from nats_k8s_oidc_callout.adapters.telemetry import SessionMetrics
from nats_k8s_oidc_callout.app.sessions.judging import Judging
from nats_k8s_oidc_callout.app.sessions.kicker import Kicker
from nats_k8s_oidc_callout.core.nats.connz import Left, Row
from nats_k8s_oidc_callout.core.sessions.table import SESSIONS_MAX, Connection, Session, Table
from nats_k8s_oidc_callout.errors import Unreachable

log = structlog.get_logger("sessions")

_TURN = 100
_RETRY_SECONDS = 5.0
# After a server is gone lists come soon, then ever more seldom.
_LOST_SECONDS = 3.0
# A server that we did not know tells of its clients one by one: one list for all of them.
_SETTLE_SECONDS = 0.5
_LOOK_SECONDS = 0.1


class Arrivals:
    """Keeps the table true."""

    def __init__(
        self,
        system: System,
        table: Table,
        judging: Judging,
        kicker: Kicker,
        session_of: Callable[[Row, float], Session | None],
        accounts: Callable[[Collection[str]], Awaitable[Collection[str]]],
        has_new: Callable[[], bool],
        metrics: SessionMetrics,
        every_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`session_of` makes a session of what a server says of a connection, None when it is none of ours.

        `accounts` returns those to ask about and to hear of, as the servers call them, beside those that have sessions;
        `has_new` says whether there may be more than it returned last.
        """
        self._system, self._table, self._judging, self._kicker = system, table, judging, kicker
        self._session_of, self._accounts, self._has_new, self._metrics = session_of, accounts, has_new, metrics
        self._every, self._clock = every_seconds, clock
        self._wanted = asyncio.Event()
        self._listing = False
        self._left: set[Connection] = set()
        self._servers: set[str] = set()
        self._tried = self._complete_for = -1
        self._told = False
        self._lost_at = -math.inf
        self.unlabelled: Counter[str] = Counter()
        """Connections of each account that carry no label of ours, by the last list."""
        self.silent: frozenset[str] = frozenset()
        """Servers that should have answered the last list, and did not."""

    @property
    def complete(self) -> bool:
        """Whether a whole list came in since we connected last."""
        return self._system.connected and self._complete_for == self._system.connects

    @property
    def servers(self) -> frozenset[str]:
        """The servers that we have heard of."""
        return frozenset(self._servers)

    async def hear(self) -> None:
        """Take in events for ever."""
        while True:
            await self._system.heard.wait()
            while True:
                events, overflowed = self._system.take_events(_TURN)
                if overflowed:
                    self._wanted.set()
                for event in events:
                    self._take(event)
                if len(events) < _TURN:
                    break
                await asyncio.sleep(0)

    def _take(self, event: Row | Left) -> None:
        if isinstance(event, Left):
            key = event.server, event.cid
            if self._listing:
                self._left.add(key)
            self._table.remove(key)
            self._kicker.ended(key)
            return
        if event.server not in self._servers:
            self._servers.add(event.server)
            self._wanted.set()
        self._put(event)

    def _put(self, row: Row) -> bool:
        """Take in a connection; say whether it is a session that we did not know."""
        now = self._clock()
        session = self._session_of(row, now)
        if session is None or self._kicker.is_ghost(session.key) or not self._table.put(session, row.now - now):
            return False
        if self._table.left_out and not self._told:
            self._told = True
            log.error("too many sessions: those of the namespace with the most end by their time", most=SESSIONS_MAX)
        if session.label.release and session.due is None:
            self._metrics.looped()
        self._judging.arrived(session)
        return True

    async def repair(self) -> None:
        """List for ever: after each connect, when something was missed, and every so many seconds."""
        while True:
            self._tried = self._system.connects
            ok = self._system.connected and await self.list_all()
            lost = time.monotonic() - self._lost_at
            # A server that is gone may only be cut off. When it is back nothing tells of it, and renewals do not wait long.
            pause = min(self._every, max(_LOST_SECONDS, lost / 2))
            await self._until_wanted(pause if ok else _RETRY_SECONDS)

    async def _until_wanted(self, seconds: float) -> None:
        """Return when a list is needed, or after so many seconds."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            stale = self._system.connected and self._tried != self._system.connects
            if stale:
                break
            if self._wanted.is_set() or self._kicker.in_doubt.is_set():
                await asyncio.sleep(_SETTLE_SECONDS)
                break
            if self._has_new() and self._system.connected:
                await self._system.hear(await self.accounts())
            await asyncio.sleep(_LOOK_SECONDS)
        self._wanted.clear()
        self._kicker.in_doubt.clear()

    async def accounts(self) -> Collection[str]:
        """Return the accounts to ask about and to hear of."""
        return await self._accounts({session.account for session in self._table})

    async def list_all(self) -> bool:
        """Compare the table with what all servers say of all accounts; say whether all of them answered."""
        connects, first = self._system.connects, not self.complete
        accounts = await self.accounts()
        await self._system.hear(accounts)
        began, self._listing = self._clock(), True
        self._left.clear()
        try:
            found = await self._list(accounts)
        finally:
            self._listing = False
            self._left.clear()
        silent, unasked, corrections = found
        self.silent = frozenset(silent)
        # An account that cannot be asked, as one that is not imported, stands in nobody else's way: its sessions end by
        # their time.
        failed = unasked == len(accounts)
        result = "failed" if failed else "incomplete" if silent or unasked else "ok"
        self._metrics.reconciled(result, 0 if first else corrections)
        if not failed and connects == self._system.connects:
            self._complete_for = connects
        log.debug("sessions listed", accounts=len(accounts), sessions=len(self._table), seconds=self._clock() - began)
        return not failed and not silent

    async def _list(self, accounts: Collection[str]) -> tuple[set[str], int, int]:
        began = self._clock()
        listed: set[Connection] = set()
        whole: set[tuple[str, str]] = set()
        silent: set[str] = set()
        unlabelled: Counter[str] = Counter()
        unasked, corrections = 0, 0

        def take(row: Row) -> None:
            nonlocal corrections
            key = row.server, row.cid
            if key not in self._left:
                corrections += self._put(row)
            if self._table.find(key) is None:
                unlabelled[account] += 1
            else:
                # Of those that the table has no room for nothing is kept.
                listed.add(key)

        for account in accounts:
            try:
                listing = await self._system.list(account, take)
            except Unreachable as error:
                log.debug("sessions not listed", account=account, reason=str(error))
                unasked += 1
                continue
            whole |= {(server, account) for server in listing.servers}
            self._servers |= listing.servers
            silent |= listing.silent
            for server in listing.gone:
                corrections += self._forget(server)
        for session in self._table:
            # One that came after the question is not in the answer.
            unheard = (session.server, session.account) in whole and session.key not in listed
            if unheard and session.seen < began and self._table.remove(session.key) is not None:
                self._kicker.ended(session.key)
                corrections += 1
        self.unlabelled = unlabelled
        return silent, unasked, corrections

    def _forget(self, server: str) -> int:
        """Forget a server that is gone: it sends no word of its clients."""
        self._lost_at = time.monotonic()
        self._servers.discard(server)
        gone = self._table.forget_server(server)
        for session in gone:
            self._kicker.ended(session.key)
        return len(gone)
