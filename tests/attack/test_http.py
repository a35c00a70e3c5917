"""Any pod may connect to the port of health and metrics: what it can hold there, and what it learns."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.clients import ask
from tests.e2e.responder import DECISIONS
from tests.e2e.worlds import World, world_of
from tests.fakes.stalls import awake

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def _socket(world: World) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.responder.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def _all(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        try:
            return await reader.read(1 << 20)
        except ConnectionError:
            return b""


async def _still_good(world: World) -> None:
    status, _ = await asyncio.to_thread(world.responder.get, "/readyz")
    assert 200 == status
    assert (await ask(world, auth_token=world.token())).let_in


def _not_about_logins(world: World) -> int:
    return sum(line["event"] not in (*DECISIONS, "suppressed") for line in world.responder.lines())


RUBBISH: dict[str, bytes] = {
    "not-http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "nul": b"GET /health\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "line-of-a-mebibyte": b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
    "header-of-a-mebibyte": b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n",
    "10000-headers": b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    "two-lengths": b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length-and-chunks": (
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    ),
    "odd-chunks": b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\nzz\r\n",
    "header-folded": b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\r\n c: d\r\n\r\n",
    "header-with-line-break": b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\rX: y\r\n\r\n",
    "upgrade": b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "escape-codes-in-the-path": b"GET /\x1b[31m%0a{} HTTP/1.1\r\nHost: x\r\n\r\n",
    "path-up": b"GET /metrics/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute-form": b"GET http://169.254.169.254/latest HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64),
}


@pytest.mark.parametrize("case", RUBBISH)
async def test_rubbish_is_answered_shortly_or_not_at_all(attacked: World, case: str) -> None:
    """
    Whatever is sent, the answer is short, quotes nothing of it and names no version; probes and logins go on, and the
    log has at most one line more.
    """
    lines = _not_about_logins(attacked)
    async with _socket(attacked) as (reader, writer):
        writer.write(RUBBISH[case])
        with contextlib.suppress(OSError):  # what is too much may be cut off already
            writer.write_eof()
        said = await _all(reader)

    assert len(said) < 4096
    assert not any(
        word in said.lower() for word in (b"aiohttp", b"python", b"traceback", b"169.254", b"\x1b", b"smuggled")
    )
    await _still_good(attacked)
    assert _not_about_logins(attacked) <= lines + 1


async def test_hundreds_of_slow_callers_keep_no_probe_out(attacked: World) -> None:
    """
    Beside 300 connections that send a byte now and then, a probe is answered at once and logins go on; the process
    holds no more than its 64.
    """
    sockets = [await asyncio.open_connection("127.0.0.1", attacked.responder.port) for _ in range(300)]
    try:
        for _, writer in sockets:
            writer.write(b"GET /health HTTP/1.1\r\nX")
        await asyncio.sleep(0.05)
        began = awake()
        await _still_good(attacked)
        took = awake() - began
        ended = 0
        for reader, _ in sockets:
            try:
                async with asyncio.timeout(0.002):
                    ended += await reader.read(1) == b""
            except ConnectionError:
                ended += 1
            except TimeoutError:
                pass
    finally:
        for _, writer in sockets:
            writer.transport.abort()
        await asyncio.sleep(0)

    assert took < 1
    assert ended >= 300 - 64


@pytest.fixture(scope="module")
def shipped() -> Iterator[World]:
    """A world whose responder renders its metrics no more often than the shipped one."""
    with world_of("config-creds") as world:
        world.start_responder(as_shipped=True, LOG_LEVEL="info")
        yield world


async def _call(world: World, sent: bytes) -> None:
    """Connect, send, read to the end, and again, until cancelled. The end may be a reset: not all was read there."""
    while True:
        with contextlib.suppress(ConnectionError):
            async with _socket(world) as (reader, writer):
                writer.write(sent)
                while await reader.read(1 << 16):
                    pass


@pytest.mark.parametrize("callers", [1, 4, 60])
@pytest.mark.parametrize(
    ("request_line", "times"),
    [("GET /metrics", 200), ("GET /livez", 500), ("GET /readyz", 1), ("HEAD /metrics", 200), ("GET /nope", 500)],
)
async def test_logins_go_on_beside_callers(shipped: World, request_line: str, times: int, callers: int) -> None:
    """
    However many callers send however much at once, and come again as soon as they are let go: each of 40 logins is let
    in, and probes are answered.
    """
    sent = f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * times
    calls = [asyncio.create_task(_call(shipped, sent), name="caller") for _ in range(callers)]
    try:
        for _ in range(4):
            assert [True] * 10 == [(await ask(shipped, auth_token=shipped.token())).let_in for _ in range(10)]
            assert (200, "ok\n") == await asyncio.to_thread(shipped.responder.get, "/livez")
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_pages_hold_no_secret_and_no_name(attacked: World) -> None:
    """
    After all that this suite did, no page holds anything that a client chose: no token, namespace, name or host.
    """
    await ask(attacked, auth_token=attacked.token(), name='evil",x="1')
    pages = [attacked.responder.get(path)[1] for path in ("/metrics", "/health", "/readyz?verbose", "/livez")]

    for page in pages:
        assert not any(word in page for word in ("team-a", "orders", "eyJ", "SU", 'evil"', "127.0.0.1"))


async def test_no_label_is_a_clients_word(attacked: World) -> None:
    """
    The series of the metrics are the same before and after a hundred refused clients with names of their own.
    """
    before = set(attacked.responder.metrics())
    for number in range(100):
        await ask(attacked, auth_token=f"x.{number}.y", name=f"n{number}", user=f"u{number}")

    assert before == set(attacked.responder.metrics())
