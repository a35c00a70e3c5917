"""nats-py's client for exactly one connection: it never reconnects, says when it ended, and signs nothing but nonces.

It reaches into nats-py 2.16 at nine places, each pinned by a test in tests/adapters/test_nats*.py or tests/attack:

- `_public_nkey`: nats-py takes an nkey only as a seed, and only with the `nkeys` package
- `_connect_command`, with `_server_info`: the last moment before a login leaves
- `_send_ping`, with `_pongs`, `_send_command`, `_flush_pending`: the order of a PING and what went before it
- `_close`: every ending goes through it, and the public callbacks miss some
- `_process_info`: the server's word for the account that we are in, which comes after the login
- `_process_msg`, with `_remove_sub`: its own raises on headers that any publisher may send, and then its reader ends without a
  word; and it hands each message to another task, which costs more than reading it
- `_read_loop`: should the reader end for another reason, the connection is over at once and not a heartbeat later
- `MSG_RE` and `HMSG_RE` of its parser: to them a vertical tab or a form feed ends a word, and the reader, too
- `_transport`, with `_io_writer`: the answers of a turn leave in one write, and a peer that is gone cannot be closed politely
"""

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import nats.errors
import structlog
from nats.aio.client import PING_PROTO, Client
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.protocol import parser

from nats_k8s_oidc_callout.adapters.nats.logins import (
    CredsLogin,
    Login,
    NkeyLogin,
    NoLogin,
    PasswordLogin,
    TokenLogin,
    guarded,
)
from nats_k8s_oidc_callout.adapters.nats.wire import Message, read_headers
from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.core.nats.address import DEFAULT_PORT, Address
from nats_k8s_oidc_callout.errors import Unreachable

# nats-py's own heartbeat is switched off by being this rare: ours (Client.rtt) also notices a dead reader.
NEVER = 365 * 24 * 3600

# As a server writes them, and as it reads: what else is white space may stand in a reply subject.
parser.MSG_RE = re.compile(rb"\AMSG +([^ \r\n]+) +([^ \r\n]+) +(([^ \r\n]+) +)?([0-9]+)\r\n")
parser.HMSG_RE = re.compile(rb"\AHMSG +([^ \r\n]+) +([^ \r\n]+) +(([^ \r\n]+) +)?([0-9]+) +([0-9]+)\r\n")

# A server takes lines of 4,096 bytes from us and ends the connection for a longer one, but a leaf node may hand it a reply
# subject of 60,000. An inbox has 30.
_REPLY_MAX = 4000

Hear = Callable[[Message], None]
"""Takes a message of a subscription. It must not wait: until it returns, nothing else is read."""

log = structlog.get_logger("nats")


class Connection(Client):
    """One connection to one server. `ended` is set at the first sign that it is over."""

    def __init__(self, address: Address, login: Login, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self.address = address
        self.ended = asyncio.Event()
        self.account = ""
        """Where we are logged in, as the server names it; nats-server before 2.12 does not tell. NATS_FACTS 8.7."""
        self._login = login
        self._context = context
        self._heard_by: dict[int, Hear] = {}

    async def open(self, timeout: float, on_error: Callable[[Exception], Awaitable[None]]) -> None:
        """Connect and log in, each step within `timeout` seconds.

        Raises what nats-py raises; `Unreachable` when the server is not to be trusted with the login, or when it
        did not decide on it in time. The caller closes in every case.
        """
        if isinstance(self._login, NkeyLogin):
            self._public_nkey = self._login.public
        async with asyncio.timeout(5 * timeout):
            await self.connect(
                servers=str(self.address),
                name=PROGRAM,
                error_cb=on_error,
                allow_reconnect=False,
                # Two tries at the socket, at once: nats-py reads 0 as "for ever".
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=timeout,  # type: ignore[arg-type]  # given to asyncio.wait_for, where fractions are fine
                ping_interval=NEVER,
                # 0 = publish never waits for the socket, so `post` can be synchronous. What piles up is bounded: a
                # server that does not read sends no requests either, and the heartbeat ends it.
                pending_size=0,
                **self._credentials(),
            )
        if not self.is_connected:
            # nats-py takes the server's first PING (2 s after CONNECT) for success while the login is undecided.
            raise Unreachable("the server did not decide on our login in time")

    def _credentials(self) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self._context is not None:
            options["tls"] = self._context
        if self.address.tls_name:
            options["tls_hostname"] = self.address.tls_name
        match self._login:
            case CredsLogin(jwt=jwt, sign=sign):
                options |= {"user_jwt_cb": jwt.encode, "signature_cb": guarded(sign)}
            case NkeyLogin(sign=sign):
                options |= {"signature_cb": guarded(sign)}
            case PasswordLogin(user=user, password=password):
                options |= {"user": user, "password": password}
            case TokenLogin(token=token):
                options |= {"token": token}
            case NoLogin():
                pass
        return options

    def _connect_command(self) -> bytes:
        # nats-py upgrades only if the server's INFO, which comes in clear, says so: whoever sits between could
        # leave that out and read the login.
        if (self.address.must_tls or self._context is not None) and not self._server_info.get("tls_required"):
            raise Unreachable("TLS is configured but the server does not ask for it")
        return super()._connect_command()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        self.account = str(info.get("remote_account", self.account))
        await super()._process_info(info, initial_connection)

    async def listen(self, subject: str, queue_group: str, hear: Hear) -> Subscription:
        """Subscribe; return what ends the subscription by `drain` or `unsubscribe`."""
        subscription = await self.subscribe(subject, queue=queue_group)
        # In time: nothing was waited for since the SUB was handed over.
        self._heard_by[subscription._id] = hear
        return subscription

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._heard_by.pop(sid, None)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        hear = self._heard_by.get(sid)
        if hear is None:
            # It has ended.
            return
        try:
            # Any publisher chooses the reply's bytes. As many go back: a line that grew past the server's limit would end us.
            told = read_headers(headers) if headers else {}
            answerable = reply if len(reply) <= _REPLY_MAX else b""
            hear(Message(subject.decode("latin-1"), answerable.decode("latin-1"), told, data))
        except Exception:
            log.exception("nats message could not be taken")

    async def _read_loop(self) -> None:
        try:
            await super()._read_loop()
        finally:
            self.ended.set()

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        self.ended.set()
        # nats-py flushes first, which raises when the peer has reset the socket.
        with suppress(OSError):
            await super()._close(status, do_cbs)

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        # nats-py writes a PING past all that is still pending. Its `flush` then returns before the server has seen the
        # SUB, or the UNSUB of a drain, that was sent before: it would confirm a subscription that is refused a moment
        # later. In its place in the line the answer means what `flush` and `drain` promise.
        self._pongs.append(future if future is not None else asyncio.get_running_loop().create_future())
        await self._send_command(PING_PROTO)
        await self._flush_pending()

    def answer(self, answers: Sequence[tuple[str, bytes]]) -> None:
        """Write answers to their reply subjects. They leave with this turn of the event loop, before what was posted.

        Raises nats.errors.Error when they cannot be (closed).
        """
        writer = self._open_writer()
        parts: list[bytes] = []
        for subject, payload in answers:
            parts += (b"PUB %b %d\r\n" % (subject.encode("latin-1"), len(payload)), payload, b"\r\n")
        writer.write(b"".join(parts))

    def post(self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Hand a message to the connection; it leaves with the next turn of the event loop.

        Raises nats.errors.Error when it cannot be (closed, over the server's max_payload).
        """
        self._open_writer()
        publishing = self.publish(subject, payload, reply, headers)
        try:
            # publish is a coroutine that has nothing to wait for here (pending_size=0): one step finishes it.
            publishing.send(None)
        except StopIteration:
            return
        publishing.close()
        raise RuntimeError("nats-py's publish waited")

    @property
    def version(self) -> str:
        """What the server says it is: its word, for the log only."""
        return str(self._server_info.get("version", ""))[:32]

    def cluster(self) -> list[Address]:
        """The other servers that this one has told us of."""
        told = []
        for uri in self.discovered_servers:
            host = uri.hostname
            if not host:
                continue
            # A cluster advertises addresses, its certificates carry names.
            name = (self.address.tls_name or self.address.host) if _is_ip(host) else None
            told.append(Address(host, uri.port or DEFAULT_PORT, self.address.must_tls, name))
        return told

    async def shut(self, timeout: float, *, politely: bool) -> None:
        """Close within `timeout` seconds. Politely: what was posted is written first, if the peer still reads."""
        self.ended.set()
        if not (politely and self.is_connected):
            # A gone peer, or one stuck in a TLS handshake, would keep a polite close waiting for the whole time.
            self._abort()
        try:
            async with asyncio.timeout(timeout):
                await self.close()
        except TimeoutError:
            pass
        finally:
            self._abort()

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        return self._transport._io_writer if isinstance(self._transport, TcpTransport) else None

    def _open_writer(self) -> asyncio.StreamWriter:
        """Return where to write. Raises ConnectionClosedError from the end of the socket on: the reader learns it later."""
        writer = self._writer
        if not self.is_connected or writer is None or writer.is_closing():
            raise nats.errors.ConnectionClosedError
        return writer

    def _abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
