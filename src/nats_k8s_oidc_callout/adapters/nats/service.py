"""One connection while it lasts: it keeps the subscriptions of a duty as wanted, and asks for signs of life."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import nats.errors
import structlog
from nats.aio.subscription import Subscription

from nats_k8s_oidc_callout.adapters.nats.client import Connection, Hear
from nats_k8s_oidc_callout.core import spelling
from nats_k8s_oidc_callout.errors import CalloutError, Unreachable

SUBSCRIPTION_REFUSED = "nats refused our subscription"

log = structlog.get_logger("nats")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A peer that is gone without a word is noticed within `heartbeat` + `patience`."""

    connect: float = 3.0
    """For each step of a connect. A login that the server does not know is delegated (to us): it is refused after
    `authorization.timeout`, 2 s by default, and only who still listens then learns that."""
    heartbeat: float = 5.0
    """How often the server is asked for a sign of life, and a refused subscription tried again."""
    patience: float = 10.0
    """How long a sign of life may take: a storm of requests stands before it in the same socket."""
    first_retry: float = 0.1
    longest_retry: float = 2.0


USUAL = Timing()


class Reply(str):
    """A reply subject that remembers its connection, since it means nothing on another."""

    __slots__ = ("origin",)
    origin: Connection


@dataclass(slots=True)
class Wish:
    """What the rest of the process wants of whichever session lives."""

    serving: bool = False
    stopping: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Ear:
    """What to subscribe, and in which queue group (empty: in none)."""

    subject: str
    queue_group: str
    hear: Callable[[Connection], Hear]
    """Makes the callback for the messages of one connection."""


@dataclass(frozen=True, slots=True)
class Duty:
    """What a link is for. Link and Service know nothing else of it."""

    ear: Ear
    """Subscribed while we serve."""
    started: Callable[[Connection], None]
    """A server has confirmed that subscription."""
    stopped: Callable[[Connection], None]
    """We have ended it, and `ear` has heard all that was sent for it."""
    beside: tuple[Ear, ...] = ()
    """Subscribed on each connection, serving or not, where our permissions let us."""
    refused: Callable[[str], bool] = lambda _: False
    """Told of each permission that we lack, in the server's words; says whether it is somebody else's concern."""


class Service:
    """A duty on one connection. `subscribed` is true from the server's confirmation on, until it refuses or we end it.

    `on_refusal` hears of a permission that we lack: the event for the log, and the server's words.
    """

    def __init__(
        self, connection: Connection, wish: Wish, duty: Duty, on_refusal: Callable[[str, str], None], timing: Timing
    ) -> None:
        self.connection = connection
        self.subscribed = False
        self.idle = asyncio.Event()
        """There is no subscription, and the duty has heard all that the server had sent for one."""
        self.idle.set()
        self._wish = wish
        self._duty = duty
        self._on_refusal = on_refusal
        self._timing = timing
        self._subscription: Subscription | None = None
        self._refused = False

    async def run(self) -> None:
        """Live until `wish.stopping`; raise `Unreachable` when the server stops answering."""
        for ear in self._duty.beside:
            await self.connection.listen(ear.subject, ear.queue_group, ear.hear(self.connection))
        while not self._wish.stopping:
            await self._beat()
            await self._prove()
        await self._unsubscribe()
        # What was answered last has been read, too, once the server answers this. (Closing over unread input resets the
        # socket, and a reset overtakes what the server has not read yet.)
        await self._prove()

    async def _beat(self) -> None:
        """Follow every wish for the time of one heartbeat."""
        # The heartbeat also sets the pace for a refused subscription: permissions are not repaired in milliseconds.
        self._refused = False
        ends = time.monotonic() + self._timing.heartbeat
        while not self._wish.stopping and (left := ends - time.monotonic()) > 0:
            self._wish.changed.clear()
            if self._subscription is not None and not (self._wish.serving and self.subscribed):
                await self._unsubscribe()
            if self._subscription is None and self._wish.serving and not self._refused:
                await self._subscribe()
            await until_set(self._wish.changed, left)

    async def _subscribe(self) -> None:
        self.idle.clear()
        ear = self._duty.ear
        self._subscription = await self.connection.listen(ear.subject, ear.queue_group, ear.hear(self.connection))
        # The server says nothing about a SUB that it takes, and a refusal comes before the answer to a later PING.
        await self._prove()
        if self._refused:
            await self._unsubscribe()
            return
        self.subscribed = True
        self._duty.started(self.connection)

    async def _unsubscribe(self) -> None:
        if self._subscription is None:
            return
        self.subscribed = False
        # What other servers of a cluster still send for us reaches the group's other members: ours hands it on. So no
        # second subscription covers for this one. It would double answers, and the third to one login stops a route
        # (docs/decisions/0010-one-answer-to-a-login.md).
        await self._drain(self._subscription)
        self._subscription = None
        self.idle.set()
        if not self._refused:
            self._duty.stopped(self.connection)

    async def _drain(self, subscription: Subscription) -> None:
        """UNSUB and a round trip: all that came before its end was heard by then."""
        try:
            async with asyncio.timeout(self._timing.patience):
                await subscription.drain()  # type: ignore[no-untyped-call]
        except TimeoutError:
            raise Unreachable("the server stopped answering") from None

    async def _prove(self) -> None:
        """Ask for a sign of life. (nats-py's `flush` comes back without one when its reader has died.)"""
        try:
            await self.connection.rtt(self._timing.patience)  # type: ignore[arg-type]  # wait_for takes fractions
        except nats.errors.TimeoutError:
            raise Unreachable("the server stopped answering") from None

    def error(self, error: Exception) -> None:
        """Take what nats-py tells beside its exceptions. It writes what the server said in lower case."""
        said = str(error).lower()
        if "permissions violation" not in said:
            log.debug("nats error", server=str(self.connection.address), reason=words(error))
        elif self._duty.refused(said):
            log.debug("nats refused what is optional", reason=words(error))
        elif _names(self._duty.ear, said):
            self._refused = True
            self.subscribed = False
            self._wish.changed.set()
            self._on_refusal(SUBSCRIPTION_REFUSED, words(error))
        elif any(_names(ear, said) for ear in self._duty.beside):
            log.debug("nats refused an optional subscription", reason=words(error))
        else:
            # Each answer has another subject; that our permissions lack the reply is one trouble.
            self._on_refusal("nats refused our publish", "permissions violation for publish")


def _names(ear: Ear, said: str) -> bool:
    return f'subscription to "{ear.subject.lower()}"' in said


async def until_set(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set, or after this time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def words(error: BaseException) -> str:
    """Return what a failure says in one printable line.

    Of exceptions that are neither ours, nats-py's nor the system's only the type is told: anything may be in their text.
    """
    if isinstance(error, TimeoutError) and not str(error):
        return "timed out"
    if not isinstance(error, CalloutError | OSError | nats.errors.Error):
        return type(error).__name__
    text = str(error).removeprefix("nats: ").strip("'") or type(error).__name__
    return spelling.line(text)
