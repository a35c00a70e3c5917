"""The system side of the servers: lists of connections, events of them, and kicks (NATS_FACTS 8).

Two ways lead there. By imports: the callout account imports what is needed from the system account, and the responder's
own login uses it. By a login: a user of the system account, which needs a link of its own.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import nats.errors
import structlog
from nats.aio.subscription import Subscription

from nats_k8s_oidc_callout.adapters.nats.conversation import Answer, Conversation
from nats_k8s_oidc_callout.adapters.nats.events import Events
from nats_k8s_oidc_callout.adapters.nats.listing import Kicked, Lister, Listing, Take
from nats_k8s_oidc_callout.adapters.nats.service import Duty, Ear, words
from nats_k8s_oidc_callout.core import spelling
from nats_k8s_oidc_callout.core.nats.connz import Left, Row
from nats_k8s_oidc_callout.errors import Unreachable

__all__ = ["Kicked", "Listing", "Subjects", "System", "Take"]

# How many accounts are asked for at once, to see whether we may.
_TOGETHER = 16

log = structlog.get_logger("sessions")


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
        self._conversation.on_begin = self._begin
        self._conversation.on_stray = self._stray
        self._lister = Lister(self._conversation, subjects.connz.format, subjects.kick.format)
        self._events = Events()
        self._refused: set[str] = set()
        self._listening: dict[str, list[Subscription]] = {}
        self._turn = asyncio.Lock()
        events = (
            [] if subjects.by_account else [Ear(one.format("*"), "", self._events.hear) for one in self._event_subjects]
        )
        # The inbox is the first: with it a connection begins for us.
        self.ears = (self._conversation.ear, *events)
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
            beside=self.ears[1:],
            refused=self.refuse,
        )

    def refuse(self, said: str) -> bool:
        """Take in that the server refused something, in its words in lower case; say whether it was ours."""
        heard = [ear.subject for ear in self.ears]
        heard += [subject.format(account) for account in self._listening for subject in self._event_subjects]
        refused = {subject for subject in heard if f'subscription to "{subject.lower()}"' in said}
        self._refused |= refused
        asks = any(
            f'publish to "{one.partition("{}")[0].lower()}' in said
            for one in (self._subjects.connz, self._subjects.kick)
        )
        return self._conversation.refuse(said) or bool(refused) or asks

    def take_events(self, most: int) -> tuple[Sequence[Row | Left], bool]:
        """Return so many events at the most, in their order, and whether some were lost before them."""
        found, overflowed = self._events.take(most)
        self._lister.servers |= {event.server for event in found}
        return found, overflowed

    async def hear(self, accounts: Collection[str]) -> None:
        """Hear the events of these accounts from now on, where each is subscribed by itself.

        It holds for the connection that there is: on the next one it must be asked for again, before a list.
        """
        async with self._turn:
            connection = self._conversation.connection
            if not self._subjects.by_account or connection is None:
                return
            listening = self._listening
            try:
                for account in sorted(set(filter(_is_token, accounts)) - set(listening)):
                    listening[account] = []
                    for subject in self._event_subjects:
                        hearing = await connection.listen(subject.format(account), "", self._events.hear(connection))
                        listening[account].append(hearing)
                for account in set(listening) - set(accounts):
                    for subscription in listening.pop(account):
                        await subscription.unsubscribe()
            except nats.errors.Error as error:
                # It has ended.
                log.debug("nats events not subscribed", reason=words(error))

    async def list(self, account: str, take: Take) -> Listing:
        """Hand over all connections of an account as they come; some may come twice.

        Raises Unreachable when no server answers, or we may not ask.
        """
        if not _is_token(account):
            raise Unreachable("its name cannot stand in a subject")
        return await self._lister.list(account, take)

    async def kick(self, server: str, cid: int) -> Kicked:
        """End a connection."""
        try:
            return await self._lister.kick(server, cid)
        except Unreachable:
            return Kicked.SILENT

    async def check(self, accounts: Collection[str]) -> Sequence[str]:
        """Return what is missing for all of this, a sentence each; nothing when all is there."""
        connection = self._conversation.connection
        if connection is None:
            return ["there is no connection to the servers"]
        await self.hear(accounts)
        try:
            # What the server refuses it says before it answers this.
            await connection.rtt(2)
        except nats.errors.Error as error:
            return [f"the server does not answer: {words(error)}"]
        missing = [f"the server refused {subject}" for subject in sorted(self._refused)]
        if self._conversation.ear.subject in self._refused:
            # No answer would arrive.
            return missing
        names = sorted(accounts)
        answered: dict[str, str] = {}
        for first in range(0, len(names), _TOGETHER):
            some = names[first : first + _TOGETHER]
            found = await asyncio.gather(*map(self._ask_for, some))
            missing += [problem for problem, _ in found if problem]
            answered |= {account: server for account, (_, server) in zip(some, found, strict=True) if server}
            if not answered:
                # It is not about one account, and each costs seconds.
                break
        for account, server in [*answered.items()][:1]:
            missing += [*await self._ask_to_end(server), *await self._ask_all(account)]
        return missing

    async def _ask_for(self, account: str) -> tuple[str, str]:
        """Return why an account's connections cannot be listed, or a server that would."""
        if not _is_token(account):
            return (
                f"connections of account {spelling.line(account)} cannot be listed: its name cannot stand in a subject",
                "",
            )
        try:
            return "", await self._lister.ping(account)
        except Unreachable as error:
            return f"connections of account {account} cannot be listed: {error}", ""

    async def _ask_to_end(self, server: str) -> Sequence[str]:
        """Return why clients cannot be ended."""
        try:
            kicked = await self._lister.kick(server, 0)
        except Unreachable as error:
            return [f"clients cannot be ended: {error}"]
        nobody = f"clients cannot be ended: no answer on {self._subjects.kick.format(server)}"
        return [] if kicked is Kicked.GONE else [nobody]

    async def _ask_all(self, account: str) -> Sequence[str]:
        """Return why lists would lack servers: of an export with a single response only the first one's arrives."""
        try:
            mute = ", ".join(sorted(await self._lister.mute(account)))
        except Unreachable as error:
            return [f"connections of account {account} cannot be listed: {error}"]
        return [f"live servers do not list connections: {mute}; is the export's response_type Stream?"] if mute else []

    def _begin(self) -> None:
        self._refused.clear()
        self._listening = {}

    def _stray(self, answer: Answer) -> None:
        if self._lister.stray(answer):
            # It may have connections of which no event told.
            self._events.lost()


def _is_token(account: str) -> bool:
    """Say whether a name can be a part of a subject. An account in a server's file may have any."""
    return account.isprintable() and bool(account) and not set(account) & set(" .*>")
