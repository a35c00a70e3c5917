"""Which sessions are ended next, how fast, and when not.

What must hold before a kick, since whoever is kicked comes back at once, and stock clients that are refused twice close for good:

reason                              ready  keys fresh  table complete  calm  not draining  backs off
revoked deleted recreated refused     -        -             -           -         -            -
manual                                -        -             -           -         -            -
account narrowed key                  x        x             x           x         -            x
renewal                               x        x             x           x         x            -

Those of the first row shall not come back. Whether the watch is in sync was asked when they were judged.
"""

import binascii
import math
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from nats_k8s_oidc_callout.core.sessions.judging import Reason
from nats_k8s_oidc_callout.core.sessions.masses import CAUSE_OF, Masses
from nats_k8s_oidc_callout.core.sessions.table import Connection, Session
from nats_k8s_oidc_callout.core.sessions.turns import Bucket, Buckets, Queue, Slot

BACK_OFF_SECONDS = (2.0, 10.0, 60.0, 300.0)
"""After the first, second … kick of a workload, for those of its sessions that came after it."""
QUIET_SECONDS = 600.0
"""A workload that is not kicked for so long starts anew."""
AGAIN_SECONDS = 5.0
"""After a kick that nobody answered; so long nothing else is asked of that server, which would take up the whole rate."""
SETTLE_SECONDS = 3.0
"""How long a kick waits for the rest of a change to be judged: only then it shows whether it is a mass."""
_WORKLOADS = 10_000
_TOGETHER_SECONDS = 8

_FINAL = (Reason.REVOKED, Reason.DELETED, Reason.RECREATED, Reason.REFUSED, Reason.MANUAL)
_BACKING = (Reason.ACCOUNT, Reason.NARROWED, Reason.KEY)
_ORDER = (*_FINAL, *_BACKING)
# Tenants make these happen, by their annotations: one namespace gets a quarter of the rate at most.
_TENANTS = (Reason.ACCOUNT, Reason.NARROWED)


@dataclass(frozen=True, slots=True)
class Guards:
    """What holds at this moment."""

    ready: bool = True
    """Subscribed and ready; the self-test passed of late, or is off."""
    keys_fresh: bool = True
    complete: bool = True
    """The table is: a whole list came in since the last connect."""
    calm: bool = True
    """No backlog, no late login."""
    draining: bool = False
    settled: bool = True
    """All changes are judged."""
    listed_at: float = math.inf
    """When the last whole list of ServiceAccounts began (Unix seconds): a mass of deletions needs one after them."""

    @property
    def failing(self) -> list[str]:
        """What keeps clients from being sent to log in again."""
        holds = {"ready": self.ready, "keys": self.keys_fresh, "list": self.complete, "calm": self.calm}
        return [name for name, ok in holds.items() if not ok]

    def allow(self, reason: Reason) -> bool:
        """Say whether a session may be ended for this reason."""
        if reason in _FINAL:
            return True
        return not self.failing and not (self.draining and reason is Reason.RENEWAL)


class Kick(NamedTuple):
    """A session to end."""

    session: Session
    reason: Reason
    since: float
    """When what ends it happened (Unix seconds)."""


class _Pending(NamedTuple):
    kick: Kick
    serial: int


class Kicks:
    """The sessions that are to end, until they are kicked. Times are Unix seconds, of our clock."""

    def __init__(self, replica: str, per_second: float) -> None:
        """`replica` is any text of its own: replicas take up one mass in different orders, and share the work so."""
        self._replica = replica.encode()
        self._share = per_second / 4
        # A quarter is for renewals: else a mass of others would have them all expire.
        self._others, self._renewals = Bucket(per_second - self._share), Bucket(self._share)
        self._namespaces = Buckets(self._share)
        self._pending: dict[Slot, _Pending] = {}
        self._counts: Counter[Reason] = Counter()
        self._queues = {reason: Queue() for reason in (*_ORDER, Reason.RENEWAL)}
        self._later: list[tuple[float, int, Slot]] = []
        self._silent: dict[str, float] = {}
        self._rounds: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._masses = Masses()
        self._serial = 0
        self.held = False
        """Stops all kicks."""

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def pending(self) -> dict[Reason, int]:
        """How many wait, by reason."""
        return {reason: count for reason, count in self._counts.items() if count}

    @property
    def masses(self) -> frozenset[str]:
        """The causes (of CAUSES) that wait since they condemn too many to be believed at once."""
        return self._masses.waiting

    @property
    def wants_list(self) -> bool:
        """Whether deletions wait for a whole list of ServiceAccounts."""
        return self._masses.wants_list

    def waiting(self, since: float) -> dict[Reason, int]:
        """Return how many wait since before this moment, by reason. Looks at all of them."""
        return dict(Counter(one.kick.reason for one in self._pending.values() if one.kick.since < since))

    def reason_of(self, key: Connection) -> Reason | None:
        """Return why a session is to end, None when it is not."""
        found = self._pending.get((key, False)) or self._pending.get((key, True))
        return found.kick.reason if found is not None else None

    def add(self, session: Session, reason: Reason, since: float) -> None:
        """Condemn a session for what happened at `since`. A renewal waits beside another reason, which may wait for long."""
        slot = _slot(session, reason)
        old = self._pending.get(slot)
        if old is None or old.kick.reason is not reason:
            self._forget(slot)
            self._put(Kick(session, reason, since), self._ready_at(session, reason))

    def defer(self, kick: Kick, now: float) -> None:
        """Put back a kick that was not made."""
        if _slot(kick.session, kick.reason) not in self._pending:
            self._put(kick, now + AGAIN_SECONDS)

    def again(self, kick: Kick, now: float) -> None:
        """Put back a kick that nobody answered."""
        self._silent = {server: until for server, until in self._silent.items() if until > now}
        self._silent[kick.session.server] = now + AGAIN_SECONDS
        self.defer(kick, now)

    def spare(self, key: Connection) -> None:
        """Forget what condemned a session that fits again. A renewal that is due, and a kick by hand, stay."""
        found = self._pending.get((key, False))
        if found is not None and found.kick.reason is not Reason.MANUAL:
            self._forget((key, False))

    def drop(self, key: Connection) -> None:
        """Forget a session that is gone."""
        self._forget((key, False))
        self._forget((key, True))

    def take(self, now: float, total: int, guards: Guards) -> Kick | None:
        """Return, and forget, the next session to kick of `total` live ones; None while there is none that may be."""
        self._wake(now)
        self._masses.weigh(self._counts, now, total, guards.listed_at)
        if self.held or not self._pending:
            return None
        may_renew = guards.allow(Reason.RENEWAL)
        if may_renew and self._renewals.has(now) and (found := self._next((Reason.RENEWAL,), now, guards)):
            return self._taken(found, self._renewals, now)
        bucket = self._others
        if not bucket.has(now):
            if (self._counts[Reason.RENEWAL] and may_renew) or not self._renewals.has(now):
                return None
            bucket = self._renewals
        found = self._next((*_ORDER, Reason.RENEWAL), now, guards)
        return None if found is None else self._taken(found, bucket, now)

    def _forget(self, slot: Slot) -> None:
        found = self._pending.pop(slot, None)
        if found is not None:
            self._counts[found.kick.reason] -= 1
            self._masses.count(found.kick.reason, found.kick.session.label.namespace, -1)

    def _lives(self, serial: int, slot: Slot) -> bool:
        found = self._pending.get(slot)
        return found is not None and found.serial == serial

    def _put(self, kick: Kick, ready_at: float) -> None:
        self._serial += 1
        slot = _slot(kick.session, kick.reason)
        self._pending[slot] = _Pending(kick, self._serial)
        self._counts[kick.reason] += 1
        self._masses.count(kick.reason, kick.session.label.namespace, 1)
        if math.isfinite(ready_at):
            heappush(self._later, (ready_at, self._serial, slot))
        else:
            self._queue(kick, self._serial)
        if len(self._later) > 2 * len(self._pending) + 64:
            self._later = [entry for entry in self._later if self._lives(*entry[1:])]
            heapify(self._later)

    def _queue(self, kick: Kick, serial: int) -> None:
        session, queue = kick.session, self._queues[kick.reason]
        order = binascii.crc32(f"{session.server}.{session.cid}".encode(), binascii.crc32(self._replica)) / (1 << 32)
        if kick.reason is Reason.RENEWAL:
            # Those that end together are shuffled, too: replicas share the work.
            order += session.label.expires // _TOGETHER_SECONDS
        queue.push(session.label.namespace, order, serial, _slot(session, kick.reason))
        if queue.entries > 2 * self._counts[kick.reason] + 64:
            queue.keep(self._lives)

    def _wake(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, serial, slot = heappop(self._later)
            if self._lives(serial, slot):
                self._queue(self._pending[slot].kick, serial)

    def _ready_at(self, session: Session, reason: Reason) -> float:
        """Return when a session may be kicked: later and later where kicks do not help, since we may be the one behind."""
        found = self._rounds.get(session.workload) if reason in _BACKING else None
        if found is None or session.seen <= found[1]:
            return -math.inf
        return found[1] + BACK_OFF_SECONDS[min(found[0], len(BACK_OFF_SECONDS)) - 1]

    def _note_round(self, session: Session, now: float) -> None:
        number, at = self._rounds.pop(session.workload, (0, -math.inf))
        if now - at > QUIET_SECONDS:
            number = 0
        # All that were there at the last kick are of its round.
        self._rounds[session.workload] = (number + 1, now) if session.seen > at or not number else (number, at)
        if len(self._rounds) > _WORKLOADS:
            self._rounds.popitem(last=False)

    def _next(self, reasons: Iterable[Reason], now: float, guards: Guards) -> Kick | None:
        for reason in reasons:
            if not self._counts[reason] or not guards.allow(reason) or self._masses.stops(reason):
                continue
            found = self._first(reason, now, guards)
            if found is not None:
                return found
        return None

    def _first(self, reason: Reason, now: float, guards: Guards) -> Kick | None:
        """Return the first session of the namespace whose turn it is."""
        queue = self._queues[reason]
        for _ in range(len(queue.namespaces)):
            namespace, heap = queue.namespaces.popitem(last=False)
            while heap and not self._heads(heap[0], now):
                heappop(heap)
                queue.entries -= 1
            if not heap:
                continue
            queue.namespaces[namespace] = heap
            kick = self._pending[heap[0][2]].kick
            if reason in CAUSE_OF and not guards.settled and now - kick.since < SETTLE_SECONDS:
                continue
            if self._masses.holds(reason, namespace) or (
                reason in _TENANTS and not self._namespaces.of(namespace).has(now)
            ):
                continue
            heappop(heap)
            queue.entries -= 1
            return kick
        return None

    def _heads(self, entry: tuple[float, int, Slot], now: float) -> bool:
        """Say whether the first of a queue may be next. One of a silent server waits elsewhere."""
        _, serial, slot = entry
        if not self._lives(serial, slot):
            return False
        until = self._silent.get(slot[0][0], -math.inf)
        if until > now:
            heappush(self._later, (until, serial, slot))
        return until <= now

    def _taken(self, kick: Kick, bucket: Bucket, now: float) -> Kick:
        bucket.take()
        self._forget(_slot(kick.session, kick.reason))
        if kick.reason in _TENANTS:
            self._namespaces.of(kick.session.label.namespace).take()
        if kick.reason in _BACKING:
            self._note_round(kick.session, now)
        return kick


def _slot(session: Session, reason: Reason) -> Slot:
    return session.key, reason is Reason.RENEWAL
