"""A NATS connection made of a bare socket: for asking a server one thing, and hearing its own words for it.

nats-py hides three things that these checks need: the text and delay of the server's `-ERR`, the INFO sent after a
login, and which command a permission error belongs to. So the self-test and doctor speak the protocol themselves. Nothing here
reconnects, and nothing that is meant to stay uses it.
"""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from nats_k8s_oidc_callout.adapters.nats.logins import Login, WorkloadLogin, connect_fields
from nats_k8s_oidc_callout.adapters.nats.wire import (
    Message,
    Refused,
    ServerInfo,
    Untrusted,
    read_headers,
    read_info,
)
from nats_k8s_oidc_callout.core import spelling
from nats_k8s_oidc_callout.core.nats.address import Address
from nats_k8s_oidc_callout.errors import Unreachable

# An INFO with the addresses of a large cluster, or a request with the largest token, sealed.
_LINE_MAX = 1 << 20
_PAYLOAD_MAX = 8 << 20


@dataclass(slots=True)
class Probe:
    """One live connection; `open_probe` makes it."""

    address: Address
    info: ServerInfo
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)
    account: str = ""
    """Where the login landed, as the server tells it: 2.12 and later; else empty."""
    words: list[str] = field(default_factory=list)
    """Every `-ERR` so far, without its quotes."""
    closed: bool = False
    tls: bool = False
    trouble: str = ""
    """How the connection broke, when the server did not simply close it."""
    _pongs: list[asyncio.Future[None]] = field(default_factory=list)
    _subscriptions: dict[str, Callable[[Message], None]] = field(default_factory=dict)
    _reading: asyncio.Task[None] | None = None

    async def log_in(self, login: Login | WorkloadLogin, name: str, timeout: float) -> float:
        """Log in under a connection name and return the seconds it took.

        Raises Refused, or Unreachable when the server says nothing for `timeout` seconds.
        """
        connect = {
            "verbose": False,
            "pedantic": False,
            "protocol": 1,
            "headers": True,
            "no_responders": True,
            "lang": "python",
            "version": "0",
            "name": name,
            **connect_fields(login, self.info.nonce),
        }
        began = time.monotonic()
        # The INFO that answers a login comes after the answer to the first PING, and before the one to the second.
        line = b"CONNECT " + json.dumps(connect).encode() + b"\r\n" + b"PING\r\n"
        try:
            await self._exchange(line, timeout)
            took = time.monotonic() - began
            await self._exchange(b"", timeout)
        except _Ended:
            raise Refused(self.words[-1] if self.words else "", time.monotonic() - began) from None
        except TimeoutError:
            raise Unreachable(f"no answer to the login within {timeout:g} s") from None
        return took

    async def say(self, *lines: bytes, timeout: float) -> list[str]:
        """Send protocol lines in one write and return the server's complaints about them."""
        before = len(self.words)
        try:
            await self._exchange(b"".join(line + b"\r\n" for line in lines), timeout)
        except _Ended:
            raise Unreachable(self.words[-1] if self.words else "the server closed the connection") from None
        except TimeoutError:
            raise Unreachable("the server stopped answering") from None
        return self.words[before:]

    async def subscribe(self, subject: str, take: Callable[[Message], None], timeout: float) -> str:
        """Subscribe, in no queue group; return the server's complaint, or nothing once it has taken it."""
        number = str(len(self._subscriptions) + 100)
        self._subscriptions[number] = take
        said = await self.say(f"SUB {subject} {number}".encode(), timeout=timeout)
        return " ".join(said)

    async def silence(self, timeout: float) -> float | None:
        """Say nothing, and return after how many seconds the server ends that; None when it does not in time."""
        began = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.ended()
                return time.monotonic() - began
        return None

    async def ended(self) -> None:
        """Return once the connection is over."""
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def _exchange(self, data: bytes, timeout: float) -> None:
        """Write and wait for the answer to a PING behind it. Raises _Ended or TimeoutError."""
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        if self.closed:
            raise _Ended
        self.writer.write(data if data.endswith(b"PING\r\n") else data + b"PING\r\n")
        async with asyncio.timeout(timeout):
            await pong

    async def _read(self) -> None:
        try:
            while line := await self.reader.readline():
                await self._take(line.rstrip(b"\r\n"))
        except (OSError, ValueError, IndexError, EOFError, Unreachable) as error:
            # It broke, or brought what no server sends: either way it is over.
            self.trouble = str(getattr(error, "reason", "") or type(error).__name__)
        finally:
            self.closed = True
            for pong in self._pongs:
                if not pong.done():
                    pong.set_exception(_Ended())
                    pong.exception()  # nobody may be left to hear it

    async def _take(self, line: bytes) -> None:
        verb, _, rest = line.partition(b" ")
        match verb.upper():
            case b"PONG":
                if self._pongs and not (first := self._pongs.pop(0)).done():
                    first.set_result(None)
            case b"PING":
                self.writer.write(b"PONG\r\n")
            case b"-ERR":
                self.words.append(spelling.line(rest.decode("utf-8", "replace").strip().strip("'")))
            case b"INFO":
                self._hear(read_info(rest))
            case b"MSG" | b"HMSG":
                await self._message(rest.decode("utf-8", "replace").split(), headers=verb.upper() == b"HMSG")

    def _hear(self, info: ServerInfo) -> None:
        if info.connect_info:
            self.account = info.remote_account

    async def _message(self, words: list[str], *, headers: bool) -> None:
        # subject sid [reply] [bytes of headers] bytes
        *middle, total = words
        head = int(middle.pop()) if headers else 0
        size = int(total)
        if len(middle) < 2 or not 0 <= head <= size <= _PAYLOAD_MAX:
            raise ValueError("no message")
        body = (await self.reader.readexactly(size + 2))[:size]
        take = self._subscriptions.get(middle[1])
        if take is not None:
            take(Message(middle[0], middle[2] if len(middle) > 2 else "", read_headers(body[:head]), body[head:]))


@asynccontextmanager
async def open_probe(address: Address, context: ssl.SSLContext | None, timeout: float) -> AsyncIterator[Probe]:
    """Connect to one server, TLS included where it or we want it, and read what it says of itself.

    Raises Unreachable: no connection, Untrusted: no TLS.
    """
    reader, writer = await _connect(address, timeout)
    probe: Probe | None = None
    try:
        try:
            async with asyncio.timeout(timeout):
                info = await _greeting(reader)
                tls = info.tls_required or address.must_tls or context is not None
                if tls:
                    await _secure(writer, info, address, context)
        except TimeoutError:
            raise Unreachable("connected, but no greeting of a NATS server in time") from None
        probe = Probe(address, info, reader, writer, tls=tls)
        probe._reading = asyncio.create_task(probe._read(), name="nats probe")
        yield probe
    finally:
        # At once: nothing that was sent is worth waiting for.
        writer.transport.abort()
        # The loop's next turn closes the socket.
        await asyncio.sleep(0)
        if probe is not None and probe._reading is not None:
            probe._reading.cancel()
            await asyncio.gather(probe._reading, return_exceptions=True)


class _Ended(Exception):
    """The connection is over; never leaves this file."""


async def _connect(address: Address, timeout: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.open_connection(address.host, address.port, limit=_LINE_MAX)
    except TimeoutError:
        raise Unreachable(f"no connection to {address} within {timeout:g} s") from None
    except OSError as error:
        raise Unreachable(f"no connection to {address}: {error.strerror or type(error).__name__}") from None


async def _greeting(reader: asyncio.StreamReader) -> ServerInfo:
    try:
        verb, _, rest = (await reader.readline()).strip().partition(b" ")
    except (OSError, ValueError) as error:
        raise Unreachable(f"connected, but no greeting of a NATS server ({type(error).__name__})") from None
    if verb.upper() != b"INFO":
        raise Unreachable("connected, but what answers is no NATS server")
    return read_info(rest)


async def _secure(
    writer: asyncio.StreamWriter, info: ServerInfo, address: Address, context: ssl.SSLContext | None
) -> None:
    if not info.tls_required:
        # The link says the same: what is only offered can be left out by whoever sits between.
        raise Untrusted("TLS is configured but the server does not ask for it")
    try:
        await writer.start_tls(
            context or ssl.create_default_context(), server_hostname=address.tls_name or address.host
        )
    except ssl.SSLCertVerificationError as error:
        raise Untrusted(f"its certificate is not trusted: {spelling.line(error.verify_message)}") from None
    except (OSError, ssl.SSLError) as error:
        raise Untrusted(f"no TLS handshake ({getattr(error, 'reason', '') or type(error).__name__})") from None
