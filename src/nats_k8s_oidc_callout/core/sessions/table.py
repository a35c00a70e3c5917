"""All live sessions that carry our label, by connection and by workload, and when each is due for renewal."""

import binascii
import heapq
from collections import Counter
from collections.abc import Iterator

import msgspec

from nats_k8s_oidc_callout.core.model import ConnectionKind
from nats_k8s_oidc_callout.core.nats.connz import LEAFNODE, Row
from nats_k8s_oidc_callout.core.sessions.label import Label, named, parse, shared

_SHORTEST_WINDOW, _LONGEST_WINDOW = 20.0, 120.0

_KINDS = {kind.value: kind.value for kind in ConnectionKind if kind is not ConnectionKind.LEAFNODE}

Connection = tuple[str, int]
"""A server's id and the number of a connection there: never the same again, for a server that restarts has a new id."""


SESSIONS_MAX = 40_000
"""So many are held, of 0.8 to 1.3 KB each. Others end by their time."""


class Session(msgspec.Struct, frozen=True, gc=False):
    """One live client connection that was let in. All but the label is the server's word, or the client's."""

    server: str
    cid: int
    account: str
    label: Label
    start: float
    """When the connection began, by the server's clock (Unix seconds)."""
    host: str = ""
    connection: str = ""
    """Its name, as the client chose it."""
    lang: str = ""
    version: str = ""
    kind: str = ""
    """A ConnectionKind's word; empty for one that we do not know."""
    seen: float = 0.0
    """When we first heard of it, by our clock (Unix seconds): the servers' may be wrong."""

    @property
    def key(self) -> Connection:
        return self.server, self.cid

    @property
    def workload(self) -> tuple[str, str]:
        return self.label.namespace, self.label.name

    @property
    def window(self) -> float:
        """How long before its end a renewal may come (seconds): 5 % of its length, from 20 s to 2 minutes."""
        return min(max((self.label.expires - self.start) / 20, _SHORTEST_WINDOW), _LONGEST_WINDOW)

    @property
    def due(self) -> float | None:
        """When it is renewed (Unix seconds), spread over half the window; None for one that is short from its start.

        The other half is for another try. A client that came back with a token that ends no later would be renewed at
        once, and again: so a session that began within two windows of its end ends by itself.
        """
        window = self.window
        if not self.label.release or self.label.expires - self.start < 2 * window + 1:
            return None
        return self.label.expires - window + share(self.server, self.cid) * window / 2


def share(server: str, cid: int) -> float:
    """Return a number from 0 to 1 that every replica finds for a connection, and that spreads connections."""
    return binascii.crc32(f"{server}.{cid}".encode()) % 1000 / 1000


def session_of(row: Row, seen: float, *, by_name: bool = False) -> Session | None:
    """Return the session that a connection is, first heard of at `seen`; None when its name is no label.

    `by_name` takes the plain name of a ServiceAccount for one: all that there is without labels.
    """
    label = parse(row.user) or (named(row.user, row.start) if by_name else None)
    if label is None:
        return None
    kind = ConnectionKind.LEAFNODE.value if row.kind == LEAFNODE else _KINDS.get(row.type, "")
    return Session(
        shared(row.server),
        row.cid,
        shared(row.account),
        label,
        row.start,
        row.host,
        row.connection,
        shared(row.lang),
        shared(row.version),
        kind,
        seen,
    )


class Table:
    """The sessions. Whoever holds it tells it what the servers tell."""

    def __init__(self) -> None:
        self._sessions: dict[Connection, Session] = {}
        self._of: dict[tuple[str, str], set[Connection]] = {}
        self._due: list[tuple[float, Connection]] = []
        self._in_namespace: Counter[str] = Counter()
        self.left_out = 0
        """How many were not taken in, or had to go, since there are too many."""

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def find(self, key: Connection) -> Session | None:
        """Return the session of a connection, if it is one of ours."""
        return self._sessions.get(key)

    def of(self, workload: tuple[str, str]) -> list[Session]:
        """Return the sessions of a ServiceAccount (namespace, name)."""
        return [self._sessions[key] for key in self._of.get(workload, ())]

    def has(self, workload: tuple[str, str]) -> bool:
        """Say whether a ServiceAccount (namespace, name) has any."""
        return workload in self._of

    def workloads(self) -> tuple[tuple[str, str], ...]:
        """Return the ServiceAccounts (namespace, name) that have any."""
        return tuple(self._of)

    def put(self, session: Session, ahead: float = 0.0) -> bool:
        """Take in a live session; say whether it is new. What a server says of a connection does not change.

        When there are too many, the namespace that has the most loses one, or this one is not taken in: a tenant who opens
        connections must not hide others' sessions.

        `ahead` is by how many seconds the server's clock is ahead of ours: it ends sessions by its own.
        """
        key = session.key
        if key in self._sessions or (len(self._sessions) >= SESSIONS_MAX and not self._make_room(session)):
            return False
        self._sessions[key] = session
        self._in_namespace[session.label.namespace] += 1
        self._of.setdefault(session.workload, set()).add(key)
        due = session.due
        if due is not None:
            heapq.heappush(self._due, (due - ahead, key))
        return True

    def remove(self, key: Connection) -> Session | None:
        """Forget a session that is gone, and return it."""
        session = self._sessions.pop(key, None)
        if session is None:
            return None
        namespace, keys = session.label.namespace, self._of[session.workload]
        self._in_namespace[namespace] -= 1
        if not self._in_namespace[namespace]:
            del self._in_namespace[namespace]
        keys.discard(key)
        if not keys:
            del self._of[session.workload]
        # What is gone stays in the heap until it is due: an hour of sessions at most, and half of it at the worst.
        if len(self._due) > 2 * len(self._sessions) + 64:
            self._due = [entry for entry in self._due if entry[1] in self._sessions]
            heapq.heapify(self._due)
        return session

    def forget_server(self, server: str) -> list[Session]:
        """Forget the sessions of a server that is gone, and return them: it sends no word of them."""
        gone = [session for session in self if session.server == server]
        for session in gone:
            self.remove(session.key)
        return gone

    def _make_room(self, session: Session) -> bool:
        """Forget a session of the namespace that has the most; say False when that is the new one's own."""
        self.left_out += 1
        fullest = max(self._in_namespace, key=lambda namespace: self._in_namespace[namespace])
        if fullest == session.label.namespace:
            return False
        workload = max((one for one in self._of if one[0] == fullest), key=lambda one: len(self._of[one]))
        self.remove(next(iter(self._of[workload])))
        return True

    def take_due(self, now: float) -> list[Session]:
        """Return the sessions whose renewal has come by `now` (Unix seconds), each once."""
        found = []
        while self._due and self._due[0][0] <= now:
            _, key = heapq.heappop(self._due)
            session = self._sessions.get(key)
            if session is not None:
                found.append(session)
        return found
