"""Clients of a world: stock nats-py, and a bare socket for what nats-py hides."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.aio.subscription import Subscription

from tests.fakes.stalls import awake, stalled

if TYPE_CHECKING:
    from tests.e2e.worlds import World

REFUSED = "-ERR 'Authorization Violation'"
WAIT_SECONDS = 20.0


@dataclass
class Login:
    """A logged-in nats-py client, and what the server complained about since."""

    client: Client
    problems: list[str] = field(default_factory=list)

    async def publish(self, subject: str, payload: bytes = b"") -> str:
        """Publish and return the server's complaint about it, or nothing."""
        return await self._complaint_about(lambda: self.client.publish(subject, payload))

    async def subscribe(self, subject: str) -> str:
        """Subscribe, for nothing but the server's complaint about it."""
        return await self._complaint_about(lambda: self.client.subscribe(subject))

    async def listen(self, subject: str) -> Subscription:
        """Subscribe, and return once the server has taken it."""
        subscription = await self.client.subscribe(subject)
        await self.settle()
        return subscription

    async def settle(self) -> None:
        """Return once the server has dealt with all that was sent, and what it said to that has been heard."""
        # nats-py's PING overtakes what still waits to be written, so only the second one comes after it.
        await self.client.flush()
        await self.client.flush()
        # A complaint comes before the answer, but nats-py reports it in a task of its own.
        for _ in range(5):
            await asyncio.sleep(0)

    async def _complaint_about(self, act: Callable[[], Awaitable[object]]) -> str:
        before = len(self.problems)
        await act()
        await self.settle()
        return " ".join(self.problems[before:])


@asynccontextmanager
async def logged_in(world: "World", token: str, name: str = "", inbox: str = "_INBOX") -> AsyncIterator[Login]:
    """Be a stock client with this token until the block ends."""
    login = Login(Client())

    async def complain(error: Exception) -> None:
        login.problems.append(str(error))

    await login.client.connect(
        servers=[world.client_url],
        name=name or None,
        inbox_prefix=inbox,
        allow_reconnect=False,
        connect_timeout=3,
        error_cb=complain,
        **world.nats_options(token),
    )
    try:
        yield login
    finally:
        await login.client.close()


@dataclass
class Raw:
    """A socket that has sent CONNECT and PING; `said` is the answer, after `seconds`."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    said: str = ""
    seconds: float = 0.0
    stood_still: float = 0.0
    """For how much of that the machine stood still."""

    @property
    def let_in(self) -> bool:
        return self.said == "PONG"

    @property
    def turned_away(self) -> bool:
        """Say whether it was refused, but for stalls: a server gives a login 1.5 s, whoever could use them."""
        return not self.let_in and self.stood_still < 0.5

    async def line(self, seconds: float = WAIT_SECONDS) -> str:
        """Return the next line that is neither INFO nor PING, or nothing when the server has closed."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    line = (await self.reader.readline()).decode().strip()
                except ConnectionError:
                    return ""
                if line == "PING":
                    self.writer.write(b"PONG\r\n")
                elif not line.startswith("INFO "):
                    return line


@asynccontextmanager
async def connected(world: "World", url: str = "", **connect: object) -> AsyncIterator[Raw]:
    """Send exactly these CONNECT options, and be whoever that makes us until the block ends."""
    address = urlsplit(url or world.client_url)
    began, moment = time.monotonic(), time.time()
    awake()
    raw = Raw(*await asyncio.open_connection(address.hostname, address.port, limit=1 << 20))
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await raw.reader.readline()
            if world.tls is not None:
                await raw.writer.start_tls(world.tls, server_hostname=address.hostname)
        options = {"verbose": False, "pedantic": False, "protocol": 1, "lang": "fake", "version": "0"} | connect
        raw.writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        raw.said = await raw.line()
        raw.seconds, raw.stood_still = time.monotonic() - began, stalled(moment, time.time())
        yield raw
    finally:
        # At once, whatever the peer does; the loop's next turn closes the socket.
        raw.writer.transport.abort()
        await asyncio.sleep(0)


async def ask(world: "World", url: str = "", **connect: object) -> Raw:
    """Try to log in with exactly these CONNECT options, and leave."""
    async with connected(world, url, **connect) as raw:
        return raw
