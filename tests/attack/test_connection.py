"""What a message's bytes can do to the connection itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import nats.errors
import pytest

from nats_k8s_oidc_callout.adapters.nats.client import Connection
from nats_k8s_oidc_callout.adapters.nats.logins import NoLogin
from nats_k8s_oidc_callout.adapters.nats.wire import Message, read_headers
from nats_k8s_oidc_callout.app.sessions.hold import Hold
from nats_k8s_oidc_callout.core.nats.address import Address
from nats_k8s_oidc_callout.core.sessions.kicks import Kicks


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"NATS/1.0\r\nA: b\r\n\r\n", {"A": "b"}, id="one"),
        pytest.param(b"NATS/1.0 503\r\nA: b\r\n\r\n", {"A": "b"}, id="behind-a-status"),
        pytest.param(b"NATS/1.0\r\nA:b\r\na: c\r\nA: d\r\n\r\n", {"A": "d", "a": "c"}, id="twice"),
        pytest.param(b"NATS/1.0\r\nno colon\r\n: nameless\r\n\r\n", {"": "nameless"}, id="no-header"),
        pytest.param(b"\xff\xfe\r\n\r\n", {}, id="rubbish"),
        pytest.param(b"NATS/1.0\r\n\xe9: \xff\r\n\r\n", {"\xe9": "\xff"}, id="not-ascii"),
        pytest.param(b"", {}, id="nothing"),
        pytest.param(b"\r\n", {}, id="only-an-end"),
    ],
)
def test_any_headers_are_read(raw: bytes, expected: dict[str, str]) -> None:
    """
    Headers are read as they are written, and whatever else stands there is left out; nothing raises.
    """
    assert expected == read_headers(raw)


@asynccontextmanager
async def _server(then: bytes, heard: bytearray | None = None) -> AsyncIterator[int]:
    """Be a NATS server that greets, lets everybody in and then says this; what it hears goes into `heard`."""
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(b'INFO {"server_id":"N","version":"2.15.1","max_payload":1048576,"headers":true}\r\n')
        while line := await reader.readline():
            if heard is not None:
                heard.extend(line)
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
            if line.startswith(b"SUB"):
                writer.write(then)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            # From 3.12 on a server that closes waits for its connections: a failing test would hang here.
            for writer in writers:
                writer.transport.abort()
            # The handlers see the end, and then the sockets are closed.
            await asyncio.sleep(0.01)


async def _ignore(_: Exception) -> None:
    """Nobody is interested."""


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        pytest.param(b"MSG a 1 2\r\nhi", "", id="no-reply"),
        # So a server writes the empty one of a publisher.
        pytest.param(b"MSG a 1  2\r\nhi", "", id="empty-reply"),
        pytest.param(b"MSG a 1 \x0br\x0c 2\r\nhi", "\x0br\x0c", id="odd-reply"),
        pytest.param(b"HMSG a 1  12 14\r\nNATS/1.0\r\n\r\nhi", "", id="empty-reply-with-headers"),
        pytest.param(b"HMSG a 1 \x0br\x0c 12 14\r\nNATS/1.0\r\n\r\nhi", "\x0br\x0c", id="odd-reply-with-headers"),
    ],
)
async def test_a_messages_line_is_read_as_servers_write_it(line: bytes, reply: str) -> None:
    """
    Spaces part the words of a line, and nothing else does.
    """
    heard: list[Message] = []
    async with _server(line + b"\r\n") as port:
        connection = Connection(Address("127.0.0.1", port), NoLogin(), None)
        await connection.open(2.0, _ignore)
        await connection.listen("a", "", heard.append)
        await connection.rtt(2)
        await connection.shut(1.0, politely=False)

    assert [Message("a", reply, {}, b"hi")] == heard


class _Broken(Connection):
    """A connection whose next message meets a bug."""

    async def _process_msg(self, *_: object) -> None:
        raise ZeroDivisionError


async def test_a_reader_that_ends_ends_the_connection() -> None:
    """
    Should nats-py's reader end for any reason, the connection is over at once: nobody waits for a heartbeat to learn
    that nothing is heard any more.
    """
    async with _server(b"MSG a 1 2\r\nhi\r\n") as port:
        connection = _Broken(Address("127.0.0.1", port), NoLogin(), None)
        await connection.open(2.0, _ignore)
        await connection.subscribe("a")
        try:
            async with asyncio.timeout(2):
                await connection.ended.wait()
        finally:
            await connection.shut(1.0, politely=False)


@pytest.mark.parametrize(("reply", "told"), [(b"\xff" * 3000, 1), (b"x" * 5000, 0)], ids=["bytes", "too-long"])
async def test_a_word_to_hold_is_answered_byte_for_byte_or_not_at_all(reply: bytes, told: int) -> None:
    """
    Whoever says `hold` in the callout account cannot have us write a line that is longer than the server takes.
    """
    heard = bytearray()
    async with _server(b"MSG c 1 " + reply + b" 4\r\nhold\r\n", heard) as port:
        connection = Connection(Address("127.0.0.1", port), NoLogin(), None)
        await connection.open(2.0, _ignore)
        kicks = Kicks("a", 50)
        await connection.listen("c", "", Hold("c", kicks, "a").ear.hear(connection))
        await connection.rtt(2)
        await connection.rtt(2)
        await connection.shut(1.0, politely=True)

    assert kicks.held
    assert [b"PUB " + reply + b" 27"] * told == [line for line in heard.split(b"\r\n") if line.startswith(b"PUB")]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_whoever_writes_to_a_connection_that_is_just_gone_finds_it_closed(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    From the end of a socket on the event loops refuse what is written, each in its own way, a turn before the reader
    learns of the end. Whoever answers or posts in that turn is told that the connection is closed, as later.
    """
    found: list[Exception] = []

    async def reset() -> None:
        async with _server(b"") as port:
            connection = Connection(Address("127.0.0.1", port), NoLogin(), None)
            await connection.open(2.0, _ignore)
            await connection.rtt(2)
            writes: list[Callable[[], None]] = [
                lambda: connection.answer([("a", b"x")]),
                lambda: connection.post("a", b"x"),
            ]
            connection._abort()
            while not connection.ended.is_set():
                for write in writes:
                    try:
                        write()
                    except Exception as error:  # noqa: BLE001  # any of them is looked at below
                        found.append(error)
                await asyncio.sleep(0)
            await connection.shut(1.0, politely=False)

    with asyncio.Runner(loop_factory=pytest.importorskip(loop).new_event_loop) as runner:
        runner.run(reset())

    assert {nats.errors.ConnectionClosedError} == {type(error) for error in found}
    assert [] == [record.message for record in caplog.records if record.name.startswith("nats")]


async def test_a_subscription_that_has_ended_holds_nothing() -> None:
    """
    Once a subscription has ended, its messages are heard no more, and the connection keeps nothing of it.
    """
    heard: list[Message] = []
    async with _server(b"MSG a 1 2\r\nhi\r\n") as port:
        connection = Connection(Address("127.0.0.1", port), NoLogin(), None)
        await connection.open(2.0, _ignore)
        ended = await connection.listen("a", "", heard.append)
        await ended.drain()  # type: ignore[no-untyped-call]  # nats-py has no types here
        await connection._process_msg(1, b"a", b"", b"late", None)
        try:
            assert ([b"hi"], {}) == ([message.payload for message in heard], connection._heard_by)
        finally:
            await connection.shut(1.0, politely=False)
