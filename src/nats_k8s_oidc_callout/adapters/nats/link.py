"""The connection to NATS that never gives up.

nats-py reconnects too, but closes for good on authorization errors and on expiry, so there is one reconnect logic and
it is this one: a fresh client for every attempt.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Coroutine, Sequence

import nats.errors
import structlog

from nats_k8s_oidc_callout.adapters.nats.addresses import AddressBook
from nats_k8s_oidc_callout.adapters.nats.client import Connection
from nats_k8s_oidc_callout.adapters.nats.logins import Login
from nats_k8s_oidc_callout.adapters.nats.service import (
    SUBSCRIPTION_REFUSED,
    USUAL,
    Duty,
    Service,
    Timing,
    Wish,
    until_set,
    words,
)
from nats_k8s_oidc_callout.core.nats.address import Address
from nats_k8s_oidc_callout.errors import Unreachable

# Before the first INFO nobody knows better: nats-server's default.
DEFAULT_MAX_PAYLOAD = 1 << 20
LOGIN_REFUSED = "nats refused our login"

log = structlog.get_logger("nats")


class _Misplaced(Unreachable):
    """A server let us in where we must not serve."""


class Link:
    """One login to NATS, kept alive by `run`, and what it is for, its duty.

    `login` and `tls` are asked again at each connect, so that rotated files count.
    """

    def __init__(
        self,
        servers: Sequence[Address],
        *,
        login: Callable[[], Login],
        tls: Callable[[], ssl.SSLContext | None],
        duty: Duty,
        doubt: Callable[[], str] = str,
        misplaced: Callable[[str], str] = lambda _: "",
        timing: Timing = USUAL,
    ) -> None:
        """`servers` are tried in turn, at least one.

        `doubt` says what may be wrong with the login, once the server has refused it, or gives it no right to listen;
        empty for no idea. `misplaced` says why we must not serve from the account that a server puts us into, or nothing;
        it is asked before the subscription, of servers that tell the account.
        """
        self._book = AddressBook(servers)
        self._login = login
        self._tls = tls
        self._duty = duty
        self._doubt = doubt
        self._misplaced = misplaced
        self._timing = timing
        self._service: Service | None = None
        self._wish = Wish()
        self._running = False
        self._stopped = asyncio.Event()
        self._trouble = ""
        self._told: dict[tuple[str, str], str] = {}
        self.connects = 0
        """How many times a server has let us in."""

    @property
    def connected(self) -> bool:
        """We are logged in, as far as we know."""
        return self._service is not None and self._service.connection.is_connected

    @property
    def subscribed(self) -> bool:
        """The server has confirmed the subscription, and has not refused it since."""
        return self._service is not None and self._service.subscribed and self.connected

    @property
    def account(self) -> str:
        """The account that we are in, as the server names it; empty where it does not tell."""
        return self._service.connection.account if self._service is not None else ""

    @property
    def max_payload(self) -> int:
        """The longest message in bytes that the server takes."""
        return self._service.connection.max_payload if self._service is not None else DEFAULT_MAX_PAYLOAD

    @property
    def last_error(self) -> str:
        """What was wrong last, in one line; empty while we are subscribed, or connected and not meant to be."""
        return "" if self.subscribed or (self.connected and not self._wish.serving) else self._trouble

    def set_serving(self, wanted: bool) -> None:
        """Ask for the subscription, or for its end: what is in flight is still delivered, the connection stays."""
        self._wish.serving = wanted
        self._wish.changed.set()

    def send(self, answers: Sequence[tuple[str, bytes]]) -> bool:
        """Send answers to their reply subjects, where their requests came from.

        Say False when one of them was not sent: its connection is gone, or does not take so long a message.
        """
        service = self._service
        if service is None or service.connection.ended.is_set():
            return False
        connection = service.connection
        most = connection.max_payload
        fit = [one for one in answers if len(one[1]) <= most and getattr(one[0], "origin", connection) is connection]
        try:
            connection.answer(fit)
        except nats.errors.Error as error:
            self._tell("nats message not sent", connection.address, words(error))
            return False
        return len(fit) == len(answers)

    async def run(self) -> None:
        """Connect and serve for ever, whatever happens, until `close`; then what was sent is flushed."""
        self._running = True
        failures = 0
        try:
            while not self._wish.stopping:
                address = self._book.next()
                began = time.monotonic()
                try:
                    await self._live(address)
                except Exception as error:  # noqa: BLE001  # the supervision boundary: the next one may be better
                    self._trouble = words(error)
                    event = self._event(error)
                    self._tell(event, address, self._trouble)
                self._service = None
                # A server that lets us in and throws us out at once is no success.
                failures = 1 if time.monotonic() - began > self._timing.longest_retry else failures + 1
                await self._pause(failures)
        finally:
            self._running = False
            self._stopped.set()

    async def drain(self) -> None:
        """End the subscription; return once the duty has heard all that the server has sent."""
        self.set_serving(False)
        if self._service is not None:
            await self._service.idle.wait()

    async def close(self) -> None:
        """Flush, close, and let `run` return."""
        self._wish.stopping = True
        self._wish.changed.set()
        if self._running:
            await self._stopped.wait()

    async def _live(self, address: Address) -> None:
        """Connect to one server and stay; return when we are to stop, raise when the connection has ended."""
        connection = Connection(address, self._login(), self._tls())
        service = Service(connection, self._wish, self._duty, self._on_refusal, self._timing)
        last: list[Exception] = []

        async def on_error(error: Exception) -> None:
            last[:] = [error]
            service.error(error)

        try:
            try:
                await connection.open(self._timing.connect, on_error)
            except nats.errors.NoServersError:
                # What really happened went to on_error only.
                raise Unreachable(words(last[0]) if last else "no connection") from None
            finished = await _until_ended(connection, self._serve(service))
            if not finished and not self._wish.stopping:
                reason = connection.last_error or (last[0] if last else None)
                raise Unreachable(words(reason) if reason is not None else "connection closed")
        finally:
            # First, since nothing more will be delivered and nothing can be sent.
            service.subscribed = False
            service.idle.set()
            await connection.shut(self._timing.connect, politely=self._wish.stopping)

    async def _serve(self, service: Service) -> None:
        """Learn where the server has put us, then live there until we are to stop."""
        connection = service.connection
        # The server names our account behind its first PONG, where nats-py's `connect` has stopped listening.
        await connection.rtt(self._timing.connect)  # type: ignore[arg-type]  # wait_for takes fractions
        if why := self._misplaced(connection.account):
            raise _Misplaced(why)
        self._welcome(service)
        await service.run()

    def _welcome(self, service: Service) -> None:
        connection = service.connection
        self._service = service
        self.connects += 1
        self._told.clear()
        self._book.discovered(connection.cluster())
        log.info(
            "nats connected",
            server=str(connection.address),
            version=connection.version,
            client_id=connection.client_id,
        )

    async def _pause(self, failures: int) -> None:
        """Wait when each server had its turn, longer each time."""
        rounds, rest = divmod(failures, len(self._book))
        if rest:
            return
        longest = min(self._timing.longest_retry, self._timing.first_retry * 2.0 ** min(rounds - 1, 16))
        ends = time.monotonic() + longest * random.uniform(0.5, 1.0)  # spreads replicas, hides nothing
        while not self._wish.stopping and (left := ends - time.monotonic()) > 0:
            self._wish.changed.clear()
            await until_set(self._wish.changed, left)

    def _event(self, error: Exception) -> str:
        if self._service is not None:
            return "nats connection lost"
        if isinstance(error, _Misplaced):
            return "nats login lands in the wrong account"
        # nats-server's words: 'Authorization Violation', 'User Authentication Expired', 'Authentication Timeout'…
        text = str(error).lower()
        if isinstance(error, nats.errors.Error) and ("authorization" in text or "authentication" in text):
            return LOGIN_REFUSED
        return "nats unreachable"

    def _on_refusal(self, event: str, reason: str) -> None:
        if self._service is not None:
            self._trouble = reason
            self._tell(event, self._service.connection.address, reason)

    def _tell(self, event: str, address: Address, reason: str) -> None:
        """Log a trouble when it begins, not at each attempt."""
        key = (event, str(address))
        if self._told.get(key) == reason:
            log.debug(event, server=str(address), reason=reason)
            return
        self._told[key] = reason
        hint = self._doubt() if event in (LOGIN_REFUSED, SUBSCRIPTION_REFUSED) else ""
        log.warning(event, server=str(address), reason=reason, **({"hint": hint} if hint else {}))


async def _until_ended(connection: Connection, work: Coroutine[None, None, None]) -> bool:
    """Do `work`; say False when the connection ended before it was done. Raises what it raises on a live one."""
    working = asyncio.create_task(work, name="nats service")
    ended = asyncio.create_task(connection.ended.wait(), name="nats connection end")
    try:
        await asyncio.wait({working, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
        working.cancel()
        outcome = (await asyncio.gather(working, ended, return_exceptions=True))[0]
    if connection.ended.is_set():
        return False
    if isinstance(outcome, BaseException):
        raise outcome
    return True
