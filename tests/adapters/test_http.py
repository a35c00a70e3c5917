import asyncio
import contextlib
import itertools
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from nats_k8s_oidc_callout.adapters.http import Check, HttpServer, connections, door
from nats_k8s_oidc_callout.adapters.http import server as answers

GOOD = (Check("nats", ok=True), Check("cache", ok=True, detail="3 ServiceAccounts"))
BAD = (Check("nats", ok=True), Check("cache", ok=False, detail="not synced\nsince 5 s"))
METRICS = b"# HELP x y\n# TYPE x gauge\nx 1.0\n"

Serve = Callable[..., Awaitable[HttpServer]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[HttpServer] = []

    async def start(
        checks: Callable[[], Sequence[Check]] = lambda: GOOD,
        metrics: Callable[[], bytes] = lambda: METRICS,
        host: str = "127.0.0.1",
    ) -> HttpServer:
        server = HttpServer(host, 0, checks, metrics)
        await server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        await server.close()


async def ask(server: HttpServer, target: str, method: str = "GET", headers: str = "") -> tuple[int, str, str]:
    """Return status, head and body of one answer, read raw from the socket."""
    return await exchange(
        server, f"{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n".encode()
    )


async def exchange(server: HttpServer, sent: bytes) -> tuple[int, str, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    answer = (await asyncio.wait_for(reader.read(), 10)).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), head, body


@pytest.mark.parametrize(
    ("checks", "expected"),
    [(GOOD, {"status": "ok"}), (BAD, {"status": "degraded", "failing": ["cache"]})],
    ids=["ready", "degraded"],
)
async def test_health_is_always_200_and_tells_its_state(
    serve: Serve, checks: Sequence[Check], expected: dict[str, object]
) -> None:
    """Old charts use /health as liveness: a NATS outage shows in the body and never in the status."""
    status, head, body = await ask(await serve(lambda: checks), "/health")

    assert (200, expected) == (status, json.loads(body))
    assert "Content-Type: application/json" in head


@pytest.mark.parametrize(
    ("checks", "target", "status", "body"),
    [
        (GOOD, "/readyz", 200, "ok\n"),
        (BAD, "/readyz", 503, "not ready: cache\n"),
        (GOOD, "/readyz?verbose", 200, "[+]nats ok\n[+]cache ok: 3 ServiceAccounts\nreadyz check passed\n"),
        (BAD, "/readyz?verbose", 503, "[+]nats ok\n[-]cache failed: not synced\\u000asince 5 s\nreadyz check failed\n"),
        (BAD, "/livez", 200, "ok\n"),
    ],
)
async def test_probes(serve: Serve, checks: Sequence[Check], target: str, status: int, body: str) -> None:
    """/readyz follows the checks and lists each on its own line with ?verbose; /livez does not depend on them."""
    got_status, _, got_body = await ask(await serve(lambda: checks), target)

    assert (status, body) == (got_status, got_body)


@pytest.mark.parametrize("accept", ["", "Accept: application/openmetrics-text; version=1.0.0\r\n"])
async def test_metrics_are_text_0_0_4_whatever_is_asked_for(serve: Serve, accept: str) -> None:
    """OpenMetrics would rename the guide's metrics, so it is never spoken."""
    status, head, body = await ask(await serve(), "/metrics", headers=accept)

    assert (200, METRICS.decode()) == (status, body)
    assert "Content-Type: text/plain; version=0.0.4; charset=utf-8" in head


@pytest.mark.parametrize("target", ["/", "/readyz/", "/metrics/x", "/debug", "/%2e%2e/metrics"])
async def test_anything_else_is_404(serve: Serve, target: str) -> None:
    """Only the four paths exist."""
    assert 404 == (await ask(await serve(), target))[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_only_get_and_head_are_served(serve: Serve, method: str) -> None:
    """Other methods are refused with what is allowed."""
    status, head, _ = await ask(await serve(), "/health", method)

    assert 405 == status
    assert "Allow: GET, HEAD" in head


async def test_head_has_no_body(serve: Serve) -> None:
    """HEAD is answered as GET, without the body."""
    status, head, body = await ask(await serve(), "/metrics", "HEAD")

    assert (200, "") == (status, body)
    assert f"Content-Length: {len(METRICS)}" in head


@pytest.mark.parametrize(
    ("target", "status"), [("/readyz", 500), ("/metrics", 500), ("/health", 200)], ids=["readyz", "metrics", "health"]
)
async def test_failing_check_tells_the_caller_nothing(serve: Serve, target: str, status: int) -> None:
    """The text of an exception stays inside, and /health stays 200."""

    def fail() -> bytes:
        raise ValueError("hunter2")

    got, head, body = await ask(await serve(fail, fail), target)

    assert status == got
    assert "hunter2" not in head + body


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET /hunter2 HTTP/9.9.9\r\n\r\n", b"GET / HTTP/1.1\r\nhunter2\r\n\r\n"],
    ids=["tls", "version", "header"],
)
async def test_bad_request_is_not_quoted_back(serve: Serve, sent: bytes) -> None:
    """What is no HTTP gets 400 and a fixed text."""
    status, head, body = await exchange(await serve(), sent)

    assert (400, "bad request\n") == (status, body)
    assert "hunter2" not in head


async def test_answers_name_no_versions(serve: Serve) -> None:
    """Neither Python's nor aiohttp's version is told."""
    server = await serve()
    for answer in [
        await ask(server, "/health"),
        await ask(server, "/nope"),
        await exchange(server, b"rubbish\r\n\r\n"),
    ]:
        assert "Server: nats-k8s-oidc-callout\r\n" in answer[1] + "\r\n"
        assert "ython" not in answer[1]


@pytest.mark.parametrize(
    "head",
    [
        "GET /" + "x" * 3000 + " HTTP/1.1\r\n",
        "GET /health HTTP/1.1\r\nX: " + "x" * 9000 + "\r\n",
        "GET /health HTTP/1.1\r\n" + "X: y\r\n" * 200,
    ],
    ids=["long line", "long header", "many headers"],
)
async def test_huge_heads_are_refused(serve: Serve, head: str) -> None:
    """Request line, header length and number of headers are bounded."""
    assert 400 == (await exchange(await serve(), f"{head}Host: x\r\nConnection: close\r\n\r\n".encode()))[0]


async def test_slow_head_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends its head drop by drop loses its connection when the time for a head is over."""
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.3)
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    began = asyncio.get_running_loop().time()

    async def drip() -> None:
        writer.write(b"GET /health HTTP/1.1\r\n")
        while True:
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.2)

    dripping = asyncio.create_task(drip(), name="drip")
    rest = b""
    with contextlib.suppress(ConnectionResetError):
        rest = await asyncio.wait_for(reader.read(), 10)
    dripping.cancel()
    writer.close()

    assert b"" == rest
    assert 0.2 < asyncio.get_running_loop().time() - began < 5


async def test_body_is_not_waited_for(serve: Serve) -> None:
    """A client that announces a body and sends none is answered and let go."""
    status, _, _ = await exchange(await serve(), b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")

    assert 200 == status


async def test_probe_is_served_beside_a_crowd_of_idle_connections(serve: Serve) -> None:
    """Beyond the bound the oldest connection goes, so that a probe always has room."""
    server = await serve()
    crowd = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(connections.MAX_CONNECTIONS + 6)]

    assert 200 == (await ask(server, "/readyz"))[0]
    for reader, _ in crowd[:6]:
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
    crowd[-1][1].write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP/1.1 200 OK\r\n" == await crowd[-1][0].readline()
    for _, writer in crowd:
        writer.close()


@pytest.mark.parametrize(
    ("target", "times"),
    [("/livez", 500), ("/metrics", 200), ("/readyz", 500), ("/nope", 500)],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_connection_is_for_one_request(serve: Serve, method: str, target: str, times: int) -> None:
    """Of what is pipelined the first is answered, saying so; the rest is not even read as HTTP."""
    one = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", (await serve()).port)
    writer.write(one * times)
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := await asyncio.wait_for(reader.read(1 << 16), 10):
            said += piece
    writer.close()

    assert 1 == said.count(b"HTTP/1.1 ")
    assert b"\r\nConnection: close\r\n" in said


@pytest.mark.parametrize("pipelined", [1, 200], ids=["short connections", "pipelined"])
async def test_the_loop_gets_a_turn_between_answers(serve: Serve, pipelined: int) -> None:
    """
    However many call, and however much each sends at once: other tasks of the loop have a turn after each answer. On
    Python 3.12 and later aiohttp answers all that is pipelined in one.
    """
    turn, answered = 0, Counter[int]()

    def checks() -> Sequence[Check]:
        answered[turn] += 1
        return GOOD

    server = await serve(checks)

    async def call() -> None:
        for _ in range(4):
            with contextlib.suppress(ConnectionError):
                await exchange(server, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n" * pipelined)

    async with asyncio.timeout(30):
        calls = asyncio.gather(*(call() for _ in range(30)))
        while not calls.done():
            turn += 1
            await asyncio.sleep(0)

    assert {1} == set(answered.values())
    assert sum(answered.values()) == 120


async def test_callers_come_in_one_after_the_other(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two of them REST_SECONDS pass, so that all together have a small part of the processor's time."""
    monkeypatch.setattr(door, "REST_SECONDS", 0.1)
    server = await serve()
    began = asyncio.get_running_loop().time()

    assert [200] * 5 == [status for status, _, _ in await asyncio.gather(*(ask(server, "/livez") for _ in range(5)))]
    assert asyncio.get_running_loop().time() - began >= 0.4


async def test_metrics_are_rendered_once_a_second_and_probes_are_asked_each_time(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All callers together have the metrics rendered once in RENDER_SECONDS; probes are never answered from memory."""
    rendered, checked = itertools.count(), itertools.count()
    server = await serve(lambda: [Check(str(next(checked)), ok=False)], lambda: str(next(rendered)).encode())

    assert {"0"} == {(await ask(server, "/metrics"))[2] for _ in range(5)}
    assert "0" == (await ask(server, "/metrics", headers="Accept: application/openmetrics-text\r\n"))[2]
    for path in ("/readyz", "/readyz?verbose", "/health"):
        assert 3 == len({(await ask(server, path))[2] for _ in range(3)})
    monkeypatch.setattr(answers, "RENDER_SECONDS", 0.0)
    assert ["1", "2"] == [(await ask(server, "/metrics"))[2] for _ in range(2)]


async def test_metrics_that_fail_are_tried_once_a_second_too(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in the rendering costs as little as rendering, and is over when the fault is."""
    tried = itertools.count()

    def render() -> bytes:
        if next(tried) == 0:
            raise ValueError("hunter2")
        return METRICS

    server = await serve(metrics=render)

    assert [500, 500] == [(await ask(server, "/metrics"))[0] for _ in range(2)]
    monkeypatch.setattr(answers, "RENDER_SECONDS", 0.0)
    assert 200 == (await ask(server, "/metrics"))[0]


async def test_who_does_not_read_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that asks for a large page and does not read it holds its connection no longer than any other."""
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.3)
    size = 64 << 20
    server = await serve(metrics=lambda: bytes(size))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP" == await reader.readexactly(4)
    await asyncio.sleep(0.5)
    got = 0
    with contextlib.suppress(ConnectionError):
        while piece := await asyncio.wait_for(reader.read(1 << 20), 10):
            got += len(piece)
    writer.close()

    assert got < size


async def test_a_head_in_crumbs_is_cut_off(serve: Serve) -> None:
    """
    Each piece of a head costs a turn of the loop: after HEAD_PIECES_MAX of them the connection ends. A few are fine.
    """
    server = await serve()
    for pieces, ended in ((6, False), (connections.HEAD_PIECES_MAX, True)):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(pieces):
                await asyncio.sleep(0.005)
                writer.write(b"y")
            writer.write(b"\r\n\r\n")
        said = b""
        with contextlib.suppress(ConnectionError):
            said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert ended == (said == b"")


@pytest.mark.parametrize("cut", range(-4, 0))
async def test_the_end_of_a_head_may_come_in_two_pieces(serve: Serve, cut: int) -> None:
    """Wherever a head is torn, what follows it is not read."""
    head, more = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", (await serve()).port)
    writer.write(head[:cut])
    await asyncio.sleep(0.02)
    writer.write(head[cut:] + more)
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := await asyncio.wait_for(reader.read(1 << 16), 10):
            said += piece
    writer.close()

    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.endswith(b"\r\n\r\nok\n")


async def test_each_source_has_its_turn() -> None:
    """One source's crowd waits for itself only, and it is that crowd which is thinned out, its oldest first."""
    waiting = door.Waiting()
    crowd = [socket.socket() for _ in range(door.WAITING_MAX + 5)]
    probe, scrape = socket.socket(), socket.socket()
    for one in crowd[: door.WAITING_MAX]:
        waiting.add(one, ("10.0.0.9", 1))
    waiting.add(probe, ("10.0.0.1", 1))
    for one in crowd[door.WAITING_MAX :]:
        waiting.add(one, ("10.0.0.9", 1))
    waiting.add(scrape, ("10.0.0.2", 1))

    assert [probe, scrape, crowd[7], crowd[8]] == [await waiting.next() for _ in range(4)]
    assert {-1} == {one.fileno() for one in crowd[:7]}
    waiting.close()
    assert {-1} == {one.fileno() for one in crowd[9:]}
    for one in (probe, scrape, *crowd):
        one.close()


async def test_empty_host_serves_both_address_families(serve: Serve) -> None:
    """Without HOST every address answers, IPv6 too where the machine has it."""
    server = await serve(host="")

    assert 200 == (await ask(server, "/livez"))[0]
    if socket.has_dualstack_ipv6():
        _, writer = await asyncio.open_connection("::1", server.port)
        writer.close()


async def test_taken_port_is_an_error_at_start(serve: Serve) -> None:
    """A port in use is an OSError that the caller can report."""
    server = await serve()

    with pytest.raises(OSError, match="(?i)address already in use"):
        await HttpServer("127.0.0.1", server.port, lambda: GOOD, lambda: b"").start()


async def test_closed_server_answers_no_more(serve: Serve) -> None:
    """After close the port is free and open connections are gone, without waiting for idle ones."""
    server = await serve()
    port = server.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0)
    await asyncio.wait_for(server.close(), 5)

    assert b"" == await asyncio.wait_for(reader.read(), 5)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    writer.close()
