"""Which connections an account has, by the word of all its servers, and how one is ended (NATS_FACTS 8)."""

import asyncio
import time
from collections.abc import Callable, Collection
from enum import StrEnum
from typing import NamedTuple

import msgspec
import structlog

from nats_k8s_oidc_callout.adapters.nats.conversation import Answer, Conversation
from nats_k8s_oidc_callout.bounded.compressed import gunzip
from nats_k8s_oidc_callout.core.nats import connz
from nats_k8s_oidc_callout.core.nats.connz import Page, Row
from nats_k8s_oidc_callout.errors import Unreachable, Unreadable

PAGE_BYTES = 2 << 20
"""What a page of a list aims at: it is read in one turn of the event loop, in 10 to 15 ms."""
ANSWER_BYTES = 32 << 20
"""What is read of an answer, unpacked."""
LIST_SECONDS = 2.0
KICK_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""So long nobody waits again for a server that was silent."""
# What a first question asks for: for most accounts that is all.
_FIRST = 256
# A row has about 460 bytes, and up to 16 KB where a tenant wants it so.
_ROW_BYTES = 460
# Rows between two turns of others: to take in a session of a workload that nobody judged yet costs 0.1 ms.
_SLICE = 50
# On a new connection we do not know which servers there are: so long after an answer others may come.
_QUIET_SECONDS = 0.5

Take = Callable[[Row], object]
"""What is done with each connection of a list. It may be told twice of one."""

log = structlog.get_logger("sessions")


class Kicked(StrEnum):
    """What became of a kick."""

    DONE = "done"
    GONE = "gone"
    """The server has no such client."""
    NO_SERVER = "no_server"
    SILENT = "silent"
    """No answer: the server is out of reach, or we may not ask."""


class Listing(NamedTuple):
    """Who told of the connections of one account."""

    servers: frozenset[str]
    """Those that told all."""
    silent: frozenset[str]
    """Those that should have, and did not."""
    gone: frozenset[str]
    """Those that are no more, and their connections with them."""


class TooLong(Unreadable):
    """An answer of more bytes than are read."""


class Lister:
    """Asks all servers, and remembers which there are."""

    def __init__(
        self, conversation: Conversation, connz_of: Callable[[str], str], kick_of: Callable[[str], str]
    ) -> None:
        self._conversation = conversation
        self._connz_of = connz_of
        self._kick_of = kick_of
        self._silent: dict[str, float] = {}
        self._learned = 0
        self.servers: set[str] = set()
        """Ids of those that are expected to answer: they did, or told of a connection."""

    async def list(self, account: str, take: Take) -> Listing:
        """Hand over all connections of an account as they come, and none is kept: a tenant decides how many there are.

        Raises Unreachable when no server answers, or we may not ask.
        """
        now = time.monotonic()
        late = {server for server, since in self._silent.items() if now < since + SILENT_SECONDS}
        grows = _Growing(self._connz_of(account), self.servers - late, take)
        connects = self._conversation.connects
        await self._first(grows)
        self._learned = connects
        high = grows.longest
        while high > 0:
            # From the end on: rows only shift to the left when earlier ones close, and new ones come as events.
            low = max(0, high - grows.step)
            try:
                await self._page(grows, low, high - low)
            except TooLong:
                grows.shorten(high - low)
            else:
                high = low
        for server in grows.whole:
            self._silent.pop(server, None)
        silent = frozenset(self.servers - grows.whole)
        return Listing(frozenset(grows.whole), silent, frozenset(grows.gone))

    async def ping(self, account: str) -> str:
        """Return the id of a server that answers for an account. Raises Unreachable when none does, or we may not ask."""
        with self._conversation.ask(self._connz_of(account), _page_of(0, 1)) as question:
            answer = await question.answer(LIST_SECONDS)
        if answer is None:
            raise Unreachable("no server answers")
        try:
            return _read(answer)[0].server
        except Unreadable as error:
            raise Unreachable(f"the answer {error}") from None

    async def mute(self, account: str) -> set[str]:
        """Return the ids of servers that live, and do not answer for an account. Raises Unreachable as `list` does."""
        grows = _Growing(self._connz_of(account), set(self.servers), lambda _: None)
        await self._page(grows, 0, 1)
        silent = sorted(self.servers - grows.whole)
        states = await asyncio.gather(*map(self._state, silent))
        return {server for server, state in zip(silent, states, strict=True) if state is Kicked.GONE}

    async def kick(self, server: str, cid: int) -> Kicked:
        """End a connection. Raises Unreachable when we cannot or may not ask."""
        with self._conversation.ask(self._kick_of(server), msgspec.json.encode({"cid": cid})) as question:
            answer = await question.answer(KICK_SECONDS)
        if answer is None:
            return Kicked.SILENT
        if not answer.payload:
            return Kicked.NO_SERVER
        try:
            return Kicked.DONE if connz.read_kick(answer.payload) else Kicked.GONE
        except Unreadable as error:
            log.debug("nats kick not readable", server=server, reason=str(error))
            return Kicked.SILENT

    def stray(self, answer: Answer) -> bool:
        """Take in an answer that came too late; say whether its server is one that we did not know."""
        try:
            server = _read(answer)[0].server
        except (Unreadable, Unreachable):
            return False
        known = server in self.servers
        self.servers.add(server)
        return not known

    async def _first(self, grows: "_Growing") -> None:
        """Ask for the beginning, and how much there is."""
        limit = _FIRST
        while True:
            try:
                await self._page(grows, 0, limit)
            except TooLong:
                grows.shorten(limit)
                limit = min(limit, grows.step)
            else:
                return

    async def _page(self, grows: "_Growing", offset: int, limit: int) -> None:
        """Ask all servers for a page; learn which are silent, and which are gone."""
        body = _page_of(offset, limit)
        answered = await self._ask_all(grows, body, grows.expected)
        missing = sorted(grows.expected - answered)
        if missing:
            states = dict(zip(missing, await asyncio.gather(*map(self._state, missing)), strict=True))
            gone = {server for server, state in states.items() if state is Kicked.NO_SERVER}
            alive = {server for server, state in states.items() if state is Kicked.GONE}
            if alive:
                answered |= await self._ask_all(grows, body, alive)
            grows.gone |= gone
            self.servers -= gone
            for server in set(missing) - gone - answered:
                self._silent[server] = time.monotonic()
        if not answered:
            raise Unreachable("no server answers")
        grows.answered(answered)

    async def _state(self, server: str) -> Kicked:
        """Ask for the end of nobody: GONE is a sign of life."""
        try:
            return await self.kick(server, 0)
        except Unreachable:
            return Kicked.SILENT

    async def _ask_all(self, grows: "_Growing", body: bytes, expected: Collection[str]) -> set[str]:
        """Ask, and take in answers until all that are expected are there; return who answered."""
        answered: set[str] = set()
        learning = self._learned != self._conversation.connects
        ends = time.monotonic() + LIST_SECONDS
        with self._conversation.ask(grows.subject, body, {"Accept-Encoding": "gzip"}) as question:
            while not answered or learning or not answered.issuperset(expected):
                left = ends - time.monotonic()
                all_there = answered and answered.issuperset(expected)
                answer = await question.answer(min(left, _QUIET_SECONDS) if all_there else left)
                if answer is None:
                    break
                try:
                    page, size = _read(answer)
                except TooLong:
                    raise
                except Unreadable as error:
                    # As if it were silent.
                    log.debug("nats list not readable", subject=grows.subject, reason=str(error))
                    continue
                self.servers.add(page.server)
                answered.add(page.server)
                began = time.monotonic()
                await grows.take(page, size)
                # The time that we take is not the servers'.
                ends += time.monotonic() - began
        return answered


class _Growing:
    """A list, page by page."""

    def __init__(self, subject: str, expected: set[str], take: Take) -> None:
        self.subject, self._take = subject, take
        self.expected = expected
        """Who is waited for: at first who is known, then who has told all so far."""
        self.whole: set[str] = set()
        self.gone: set[str] = set()
        self.longest = 0
        """How many rows the longest list has, 0 when the first page has all."""
        self._row_bytes = _ROW_BYTES
        self._pages = 0
        # Their first page had all. Of the others it is read once more, at the end.
        self._short: set[str] = set()

    @property
    def step(self) -> int:
        """How many rows the next page may have."""
        return max(1, PAGE_BYTES // self._row_bytes)

    def shorten(self, limit: int) -> None:
        """Take in that a page of so many rows is too long."""
        if limit == 1:
            raise Unreachable("a row is longer than is read")
        self._row_bytes = ANSWER_BYTES // limit + 1

    async def take(self, page: Page, size: int) -> None:
        """Hand over the rows of one server, and let others have their turn meanwhile."""
        if page.listed:
            self._row_bytes = max(self._row_bytes, size // page.listed)
        if page.server in self._short:
            return
        if not self._pages:
            if page.total > page.listed:
                self.longest = max(self.longest, page.total)
                return
            self._short.add(page.server)
        for number, row in enumerate(page.rows):
            self._take(row)
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)

    def answered(self, servers: set[str]) -> None:
        """Take in who gave a page."""
        self.whole = self.whole & servers if self._pages else servers
        self.expected = self.whole
        self._pages += 1


def _page_of(offset: int, limit: int) -> bytes:
    return msgspec.json.encode({"auth": True, "sort": "cid", "offset": offset, "limit": limit})


def _read(answer: Answer) -> tuple[Page, int]:
    """Return a page, and how many bytes it was."""
    if not answer.payload:
        raise Unreachable("nobody listens: the account has no such import, or the login is not in the system account")
    text = gunzip(answer.payload, ANSWER_BYTES) if answer.gzipped else answer.payload
    if len(text) > ANSWER_BYTES:
        raise TooLong("is too long")
    return connz.read_page(text), len(text)
