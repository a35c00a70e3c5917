"""A NATS connection for pods that outlives its sessions. It needs nats-py alone: import this file, or copy it.

    async with connect("nats://nats.nats-system.svc.cluster.local:4222", namespace="shop", service_account="web") as nc:
        await nc.subscribe("shop.orders.>", cb=handle)
        await nc.publish("shop.started", b"web")

A session ends with its token. nats-py then closes for good, so every session here is a nats-py client of its own, with
the token that the file holds by then, and your subscriptions move from one to the next. Between two sessions:

- `publish` and `request` wait for the next one, at most as long as you let them, then raise `NotConnected`.
- What others publish to your subjects is lost, as with any reconnect of NATS; so may be what you published in the last
  instant of a session. What must not be lost belongs into a stream: `(await nc.jetstream()).publish(…)` waits until the
  server has it.
- Messages that arrived before the end are still handed to your callbacks, but can no longer be answered.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as LiveSubscription
from nats.js import JetStreamContext

TOKEN_FILE = Path("/var/run/secrets/nats/token")
Callback = Callable[[Msg], Awaitable[object]]
ErrorCallback = Callable[[Exception], Awaitable[None]]

_log = logging.getLogger(__name__)
# How long a step of a login may take. A network that swallows everything is noticed after three pings.
_LOGIN_SECONDS, _PING_SECONDS = 5.0, 20
# Waits are drawn between 0 and the first, twice as much after each failure; a session that short is a failure, too.
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS, _SHORTEST_SESSION_SECONDS = 0.25, 3.0, 1.0
_BACKLOG = 1024  # messages that wait for their callback; beyond that nats-py's own limits hold


class NotConnected(ConnectionError):
    """There was no session within the time given, or there will be none any more."""


def inbox_prefix(namespace: str, service_account: str) -> str:
    """Return the inbox prefix that everybody can answer, and no other workload can read."""
    return f"_INBOX_SA.{namespace}.{service_account.replace('.', '_')}"


@dataclass(eq=False)
class Subscription:
    """Interest in a subject, in every session. Made by `Connection.subscribe`."""

    subject: str
    queue: str
    _callback: Callback = field(repr=False)
    _backlog: "asyncio.Queue[Msg]" = field(default_factory=lambda: asyncio.Queue(_BACKLOG), repr=False)
    _live: LiveSubscription | None = field(default=None, repr=False)
    _wanted: bool = field(default=True, repr=False)

    def __post_init__(self) -> None:
        # A task of our own: nats-py cancels a callback in the middle when its session ends.
        self._task = asyncio.create_task(self._hand_over(), name=f"nats subscription {self.subject}")

    async def unsubscribe(self) -> None:
        """Give it up; what has not been handed to the callback yet is dropped."""
        self._wanted = False
        if self._live is not None:
            with contextlib.suppress(nats.errors.Error):
                await self._live.unsubscribe()
        if self._task is not asyncio.current_task():
            self._task.cancel()

    async def _enter(self, client: Client) -> None:
        async def arrived(message: Msg) -> None:
            await self._backlog.put(message)

        self._live = await client.subscribe(self.subject, self.queue, cb=arrived)
        if not self._wanted:
            await self.unsubscribe()

    async def _hand_over(self) -> None:
        while self._wanted:
            message = await self._backlog.get()
            try:
                await self._callback(message)
            except Exception:  # noqa: BLE001  # not ours: the next message comes all the same
                _log.exception("the callback for %s failed", self.subject)
            finally:
                self._backlog.task_done()

    async def _finish(self) -> None:
        if self._live is not None:
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._live.drain()  # type: ignore[no-untyped-call]
        await self._backlog.join()


class Connection:
    """What `connect` returns. Use it as an async context manager, or `open` and `close` it yourself."""

    def __init__(self, token_file: Path, error_cb: ErrorCallback | None, options: Mapping[str, Any]) -> None:
        self._token_file, self._error_cb, self._options = token_file, error_cb, options
        self._subscriptions: list[Subscription] = []
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._closing = False
        self._reason = "not opened"

    def __repr__(self) -> str:
        return f"<Connection: {'connected' if self.connected else self._reason}>"

    @property
    def connected(self) -> bool:
        """Whether there is a session at this moment: for a readiness probe."""
        return self._client is not None and self._client.is_connected

    @property
    def closed(self) -> bool:
        """Whether you closed it; nothing else does."""
        return self._closing

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self, timeout: float | None = None) -> Self:
        """Return with the first session; without a timeout wait for it as long as it takes (failures are logged)."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="nats connection")
            self._task.add_done_callback(lambda _: self._changed.set())
        try:
            await self.client(timeout)
        except BaseException:
            await self.close(0)
            raise
        return self

    async def close(self, drain_seconds: float = 5.0) -> None:
        """Let callbacks finish what has arrived, send what was published, at most so long; then close for good."""
        if self._closing or self._task is None:
            return
        self._closing = True
        draining = asyncio.create_task(self._drain(), name="nats drain")
        try:
            # The session may end first: then nothing more can be sent.
            await asyncio.wait({draining, self._task}, timeout=drain_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Whoever closes it from a callback cannot wait for that callback.
            tasks = {draining, self._task, *(one._task for one in self._subscriptions)} - {asyncio.current_task()}
            for one in self._subscriptions:
                one._wanted = False
            for task in tasks:
                task.cancel()
            self._reason = "closed"
            await asyncio.wait(tasks)

    async def _drain(self) -> None:
        client = self._client
        if client is not None and client.is_connected:
            with contextlib.suppress(nats.errors.Error, OSError):
                await asyncio.gather(*(one._finish() for one in self._subscriptions if one._wanted))
                await client.flush()

    async def client(self, timeout: float | None = 10.0) -> Client:
        """Return the nats-py client of this session, for all that is not here. It ends with the session: ask again."""
        try:
            async with asyncio.timeout(timeout):
                while (client := self._client) is None or not client.is_connected:
                    if self._task is None or self._task.done():
                        if self._task is not None and not self._task.cancelled():
                            self._task.result()  # raises a mistake in the options as it is
                        raise NotConnected(self._reason)
                    self._changed.clear()
                    await self._changed.wait()
                return client
        except TimeoutError:
            raise NotConnected(f"no session within {timeout} s: {self._reason}") from None

    async def jetstream(self, timeout: float | None = 10.0) -> JetStreamContext:
        """Return JetStream by this session; a loop that pulls asks again on nats.errors.ConnectionClosedError."""
        return (await self.client(timeout)).jetstream()

    async def publish(
        self, subject: str, payload: bytes = b"", *, headers: dict[str, str] | None = None, timeout: float | None = 10.0
    ) -> None:
        """Hand a message to the session. Without one wait for it until the timeout, then raise NotConnected."""
        while True:
            client = await self.client(timeout)
            try:
                return await client.publish(subject, payload, headers=headers)
            except nats.errors.ConnectionClosedError:
                continue  # not sent: once more in the next session

    async def request(
        self, subject: str, payload: bytes = b"", *, timeout: float = 2.0, headers: dict[str, str] | None = None
    ) -> Msg:
        """Return the answer, or raise as nats-py does, or NotConnected. If its session ends it times out, not asks again."""
        until = time.monotonic() + timeout
        client = await self.client(timeout)
        try:
            return await client.request(subject, payload, timeout=max(0.0, until - time.monotonic()), headers=headers)
        except nats.errors.ConnectionClosedError as ended:
            raise NotConnected("the session ended") from ended

    async def subscribe(self, subject: str, queue: str = "", *, cb: Callback) -> Subscription:
        """Have `cb` called for each message, one at a time. Without a session it begins with the next one."""
        if self._closing:
            raise NotConnected("closed")
        subscription = Subscription(subject, queue, cb)
        self._subscriptions = [*(one for one in self._subscriptions if one._wanted), subscription]
        if self._client is not None:
            with contextlib.suppress(nats.errors.ConnectionClosedError):
                await subscription._enter(self._client)
        return subscription

    async def _keep(self) -> None:
        failures = 0
        while True:
            client, ended = Client(), asyncio.Event()
            try:
                await self._log_in(client, ended)
                began = time.monotonic()
                self._client = client
                self._changed.set()
                _log.info("connected to NATS")
                await ended.wait()
                self._reason = f"session ended: {client.last_error or 'closed by the server'}"
                failures = 0 if time.monotonic() - began >= _SHORTEST_SESSION_SECONDS else failures + 1
            except (OSError, nats.errors.Error, TimeoutError) as refused:
                failures += 1
                self._reason = f"login failed: {refused if str(refused) else type(refused).__name__}"
            finally:
                self._client = None
                if client.is_connected or client.is_connecting:
                    with contextlib.suppress(OSError, nats.errors.Error, TimeoutError):
                        async with asyncio.timeout(_LOGIN_SECONDS):
                            await client.close()
            if self._closing:
                return
            wait = random.uniform(0, min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** min(failures, 8)))
            _log.warning("NATS: %s; again in %.2f s", self._reason, wait)
            await asyncio.sleep(wait)

    async def _log_in(self, client: Client, ended: asyncio.Event) -> None:
        last: list[Exception] = []

        async def heard(error: Exception) -> None:
            last.append(error)
            if client.is_connected and not isinstance(error, nats.errors.UnexpectedEOF):
                await self._error_cb(error) if self._error_cb else _log.warning("NATS: %s", error)

        async def closed() -> None:
            ended.set()

        try:
            await client.connect(**self._options, token=self._token, error_cb=heard, closed_cb=closed)
        except nats.errors.NoServersError:
            raise NotConnected(str(last[-1]) if last else "no server") from None
        if not client.is_connected:
            # nats-py takes the server's first PING for a yes, before the login is decided.
            raise NotConnected("the server did not decide in time")
        entered: set[Subscription] = set()
        while missing := {one for one in self._subscriptions if one._wanted} - entered:
            await asyncio.gather(*(one._enter(client) for one in missing))
            entered |= missing

    def _token(self) -> str:
        if token := self._token_file.read_text(encoding="utf-8", errors="replace").strip():
            return token
        raise NotConnected(f"{self._token_file} is empty")


def connect(
    servers: str | list[str],
    *,
    namespace: str,
    service_account: str,
    token_file: str | Path = TOKEN_FILE,
    error_cb: ErrorCallback | None = None,
    **options: Any,  # noqa: ANN401  # nats-py's
) -> Connection:
    """Return a connection of this ServiceAccount, to be opened by `async with`. `options` are nats-py's (`tls`, …).

    `error_cb` hears what does not end a session, such as a permissions violation, instead of the log.
    """
    inbox = inbox_prefix(namespace, service_account).encode()
    ours = {"servers": servers, "name": f"{namespace}/{service_account}", "inbox_prefix": inbox}
    times = {"connect_timeout": _LOGIN_SECONDS, "ping_interval": _PING_SECONDS}
    # nats-py goes over the servers once; when it does so again is decided in `_keep`.
    once = {"allow_reconnect": False, "max_reconnect_attempts": 1, "reconnect_time_wait": 0}
    return Connection(Path(token_file), error_cb, {**ours, **times, **options, **once})
