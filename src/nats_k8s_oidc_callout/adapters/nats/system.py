"""The system side of the servers: lists of connections, events of them, and kicks (NATS_FACTS 8).

Two ways lead there. By imports: the callout account imports what is needed from the system account, and the responder's
own login uses it. By a login: a user of the system account, which needs a link of its own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec
import structlog
from nats.aio.subscription import Subscription

from nats_k8s_oidc_callout.adapters.nats.conversation import Answer, Conversation
from nats_k8s_oidc_callout.adapters.nats.events import Events
from nats_k8s_oidc_callout.adapters.nats.service import Duty, Ear
from nats_k8s_oidc_callout.bounded.compressed import gunzip
from nats_k8s_oidc_callout.core.nats import connz
from nats_k8s_oidc_callout.core.nats.connz import Left, Page, Row
from nats_k8s_oidc_callout.errors import Unreachable, Unreadable

log = structlog.get_logger("sessions")

PAGE_BYTES = 4 << 20
"""What a page of a list aims at: it is read in one turn of the event loop, in about 10 ms."""
ANSWER_BYTES = 32 << 20
LIST_SECONDS = 2.0
KICK_SECONDS = 1.0
# What a first question asks for: nearly always all. A row has 460 bytes, and up to 16 KB where a tenant wants it so.
_FIRST = 1024
_ROW_BYTES = 460
_SLICE = 500
# While we do not know which servers there are, so long after an answer others may come.
_QUIET_SECONDS = 0.5
_CHECKED = 50
_NOBODY = b'{"cid":0}'


class Kicked(StrEnum):
    """What became of a kick."""

    DONE = "done"
    GONE = "gone"
    """The server has no such client."""
    NO_SERVER = "no_server"
    SILENT = "silent"
    """No answer: the server is out of reach, or we may not ask."""


class Listing(NamedTuple):
    """All connections of one account, as far as the servers told."""

    rows: list[Row]
    servers: frozenset[str]
    """Those that told all."""
    silent: frozenset[str]
    """Those that should have, and did not."""
    gone: frozenset[str]
    """Those that are no more, and their connections with them."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """What the system account's subjects are called where we are. `{}` stands for an account, or a server's id."""

    connz: str
    kick: str
    connect: str
    disconnect: str
    by_account: bool
    """Whether events are subscribed account by account: our permissions may name each."""

    @classmethod
    def imports(cls, prefix: str) -> "Subjects":
        """Return the names of the imports."""
        events = f"{prefix}.ev.{{}}.CONNECT", f"{prefix}.ev.{{}}.DISCONNECT"
        return cls(f"{prefix}.connz.{{}}", f"{prefix}.kick.{{}}", *events, by_account=False)

    @classmethod
    def system(cls) -> "Subjects":
        """Return the names in the system account."""
        events = "$SYS.ACCOUNT.{}.CONNECT", "$SYS.ACCOUNT.{}.DISCONNECT"
        return cls("$SYS.REQ.ACCOUNT.{}.CONNZ", "$SYS.REQ.SERVER.{}.KICK", *events, by_account=True)


class System:
    """Asks and hears the servers. Times out by itself, and never raises for what a server says."""

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = subjects
        self._conversation = Conversation()
        self._conversation.on_stray = self._stray
        self._servers: set[str] = set()
        self._events = Events()
        self._refused: set[str] = set()
        self._listening: dict[str, list[Subscription]] = {}
        self._listening_on = 0
        events = (
            [] if subjects.by_account else [Ear(one.format("*"), "", self._events.hear) for one in self._event_subjects]
        )
        self.ears = (*events, self._conversation.ear)
        """What the link that we talk over must hear for us."""

    @property
    def _event_subjects(self) -> tuple[str, str]:
        return self._subjects.connect, self._subjects.disconnect

    @property
    def heard(self) -> asyncio.Event:
        """Set while there are events to take."""
        return self._events.heard

    @property
    def connected(self) -> bool:
        return self._conversation.connection is not None

    @property
    def connects(self) -> int:
        """How many connections we have had: events were missed between two."""
        return self._conversation.connects

    def duty(self) -> Duty:
        """Return the duty of a link of our own."""
        return Duty(
            self._conversation.ear,
            started=lambda connection: log.info("nats system account connected", server=str(connection.address)),
            stopped=lambda _: None,
            beside=self.ears[:-1],
            refused=self.refuse,
        )

    def refuse(self, said: str) -> bool:
        """Take in that the server refused something, in its words in lower case; say whether it was ours."""
        subjects = self._subjects
        names = (subjects.connz, subjects.kick, *self._event_subjects, self._conversation.ear.subject)
        for name in names:
            start = name.partition("{}")[0].lower()
            if f'to "{start}' in said:
                self._refused.add(name)
                return True
        return False

    def take_events(self, most: int) -> tuple[list[Row | Left], bool]:
        """Return so many events at the most, in their order, and whether some were lost before them."""
        found, overflowed = self._events.take(most)
        self._servers |= {event.server for event in found}
        return found, overflowed

    async def hear(self, accounts: Collection[str]) -> None:
        """Hear the events of these accounts from now on, where each is subscribed by itself."""
        connection = self._conversation.connection
        if not self._subjects.by_account or connection is None:
            return
        if self._listening_on != self.connects:
            self._listening, self._listening_on = {}, self.connects
        for account in set(accounts) - set(self._listening):
            self._listening[account] = [
                await connection.subscribe(subject.format(account), cb=self._events.hear(connection))
                for subject in self._event_subjects
            ]
        for account in set(self._listening) - set(accounts):
            for subscription in self._listening.pop(account):
                await subscription.unsubscribe()

    async def list(self, account: str) -> Listing:
        """Return all connections of an account. Raises Unreachable when no server answers, or we may not ask."""
        totals: dict[str, int] = {}
        rows: list[Row] = []

        async def take(page: Page) -> None:
            totals.setdefault(page.server, page.total)
            for number, row in enumerate(page.rows):
                rows.append(row)
                if number % _SLICE == _SLICE - 1:
                    await asyncio.sleep(0)

        silent, gone = await self._pages(account, 0, _FIRST, take)
        longest = max(totals.values(), default=0)
        if longest > _FIRST:
            # From the end on: rows only shift to the left when earlier ones close, and new ones come as events.
            step = _step(rows)
            for offset in range((longest - 1) // step * step, -1, -step):
                late, lost = await self._pages(account, offset, step, take)
                silent, gone = silent | late, gone | lost
        whole = frozenset(totals) - silent - gone
        return Listing(rows, whole, frozenset(silent), frozenset(gone))

    async def kick(self, server: str, cid: int) -> Kicked:
        """End a connection."""
        try:
            return await self._kick(server, msgspec.json.encode({"cid": cid}), KICK_SECONDS)
        except Unreachable:
            return Kicked.SILENT

    async def check(self, accounts: Collection[str]) -> Sequence[str]:
        """Return what is missing for all of this, a sentence each; nothing when all is there."""
        self._refused.clear()
        missing = []
        await self.hear(accounts)
        for account in sorted(accounts)[:_CHECKED]:
            try:
                await self.list(account)
            except Unreachable as error:
                missing.append(f"connections of account {account} cannot be listed: {error}")
        server = min(self._servers, default="")
        if server and await self.kick(server, 0) is not Kicked.GONE:
            missing.append(f"clients cannot be ended: no answer on {self._subjects.kick.format(server)}")
        missing += [f"the server refused {name.format('*')}" for name in sorted(self._refused)]
        return missing

    def _stray(self, answer: Answer) -> None:
        """Take in an answer that came too late: its server may be one that we do not know."""
        try:
            page = self._read(answer)
        except (Unreadable, Unreachable):
            return
        if page.server not in self._servers:
            self._servers.add(page.server)
            self._events.lost()

    async def _pages(
        self, account: str, offset: int, limit: int, take: Callable[[Page], Awaitable[None]]
    ) -> tuple[set[str], set[str]]:
        """Ask all servers for a page; return the servers that are silent, and those that are gone."""
        answered = await self._ask_all(account, offset, limit, take, set(self._servers))
        missing = self._servers - answered
        self._servers |= answered
        states = dict(zip(missing, await asyncio.gather(*map(self._state, missing)), strict=True))
        gone = {server for server, state in states.items() if state is Kicked.NO_SERVER}
        self._servers -= gone
        alive = {server for server, state in states.items() if state is Kicked.GONE}
        if alive:
            answered |= await self._ask_all(account, offset, limit, take, alive)
        if not answered:
            raise Unreachable("no server answers")
        return missing - gone - answered, gone

    async def _state(self, server: str) -> Kicked:
        try:
            return await self._kick(server, _NOBODY, KICK_SECONDS)
        except Unreachable:
            return Kicked.SILENT

    async def _ask_all(
        self, account: str, offset: int, limit: int, take: Callable[[Page], Awaitable[None]], expected: set[str]
    ) -> set[str]:
        """Ask, and take in answers until all that are expected are there; return who answered."""
        subject = self._subjects.connz.format(account)
        body = msgspec.json.encode({"auth": True, "sort": "cid", "offset": offset, "limit": limit})
        answered: set[str] = set()
        ends = time.monotonic() + LIST_SECONDS
        with self._conversation.ask(subject, body, {"Accept-Encoding": "gzip"}) as question:
            while not expected or not expected <= answered:
                left = ends - time.monotonic()
                answer = await question.answer(left if expected or not answered else min(left, _QUIET_SECONDS))
                if answer is None:
                    break
                try:
                    page = self._read(answer)
                except Unreadable as error:
                    log.debug("nats list not readable", account=account, reason=str(error))
                    continue
                answered.add(page.server)
                await take(page)
        return answered

    def _read(self, answer: Answer) -> Page:
        if not answer.payload:
            raise Unreachable(
                "nobody listens: the account has no such import, or the login is not in the system account"
            )
        if len(answer.payload) > ANSWER_BYTES:
            raise Unreadable("is too large")
        return connz.read_page(gunzip(answer.payload, ANSWER_BYTES) if answer.gzipped else answer.payload)

    async def _kick(self, server: str, body: bytes, seconds: float) -> Kicked:
        with self._conversation.ask(self._subjects.kick.format(server), body) as question:
            answer = await question.answer(seconds)
        if answer is None:
            return Kicked.SILENT
        if not answer.payload:
            return Kicked.NO_SERVER
        try:
            return Kicked.DONE if connz.read_problem(answer.payload) is None else Kicked.GONE
        except Unreadable:
            return Kicked.SILENT


def _step(rows: Collection[Row]) -> int:
    """Return how many rows a page may have, by those that were seen: what is cut here was long there."""
    return _FIRST if any(len(row.connection) >= 128 for row in rows) else PAGE_BYTES // _ROW_BYTES
