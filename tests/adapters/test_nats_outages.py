"""What the link to NATS survives: ends, silences and restarts of real servers, and broken ones."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest

from nats_k8s_oidc_callout.adapters.nats import (
    Timing,
)
from tests.fakes.hostile_server import hostile_server
from tests.fakes.nats_desk import PLAIN, QUICK, REQUESTS, linked, nkey, yes
from tests.fakes.nats_modes import config_mode
from tests.fakes.nats_tls import mint_tls
from tests.fakes.nats_world import NatsServer, free_port, knock, settled, until
from tests.fakes.stalls import awake


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_server_that_ends_is_found_again(end: str) -> None:
    """After a crash or a restart of the server, with another id, the same link answers again."""
    mode = config_mode()
    with NatsServer(mode.text) as server:
        async with linked(server.url, login=nkey(mode.responder), answer=yes(mode.issuer)) as desk:
            await until(lambda: desk.link.subscribed)
            getattr(server, end)()
            await until(lambda: not desk.link.connected)
            assert not desk.link.subscribed
            server.start()
            await until(lambda: desk.link.subscribed)
            assert (await knock(server.url, auth_token="t")).let_in


async def test_paused_server_is_noticed_and_found_again() -> None:
    """A server that stops answering, its sockets open, is given up after heartbeat + patience, and used again later."""
    mode = config_mode()
    with NatsServer(mode.text) as server:
        async with linked(server.url, login=nkey(mode.responder), answer=yes(mode.issuer)) as desk:
            await until(lambda: desk.link.subscribed)
            server.pause()
            await until(lambda: not desk.link.connected, 3 * (QUICK.heartbeat + QUICK.patience))
            server.resume()
            await until(lambda: desk.link.subscribed)
            assert (await knock(server.url, auth_token="t")).let_in


async def test_paused_server_is_left_for_another() -> None:
    """
    A connection to a server that does not read is cut, not closed politely, which would take the connect time-out.
    """
    patient = Timing(connect=30.0, heartbeat=0.1, patience=0.3, first_retry=0.02, longest_retry=0.2)
    with NatsServer(PLAIN) as one, NatsServer(PLAIN) as two:
        async with linked(one.url, two.url, timing=patient) as desk:
            await until(lambda: desk.link.subscribed)
            one.pause()

            def arrived() -> bool:
                # More than the socket takes, so that a polite close would wait for the server to read.
                desk.link.send([("r", b"x" * 1_000_000)])
                return desk.link.subscribed and any("subscriptions_list" in each for each in two.connz())

            await until(arrived, 3)


async def test_drain_of_a_gone_server_ends() -> None:
    """`drain` returns once the connection is given up, however long the server says nothing."""
    with NatsServer(PLAIN) as server:
        async with linked(server.url) as desk:
            await until(lambda: desk.link.subscribed)
            server.pause()
            began = awake()
            await asyncio.wait_for(desk.link.drain(), 30)
            assert awake() - began < 3 * (QUICK.heartbeat + QUICK.patience)


async def test_end_of_a_connection_is_noticed_at_once() -> None:
    """No heartbeat is needed to see that the server has closed the socket, not even with answers on their way."""
    with NatsServer(PLAIN) as server:
        async with linked(server.url, timing=Timing(heartbeat=60.0)) as desk:
            await until(lambda: desk.link.subscribed)
            server.kill()
            desk.link.send([("r", b"x" * 1_000_000)])
            server.start()
            await until(lambda: not desk.link.connected, 2)
            await until(lambda: desk.link.subscribed, 5)


async def test_answer_of_a_dead_connection_is_dropped() -> None:
    """
    An answer whose request came by an earlier connection goes nowhere, and does no harm, noticed dead or not; others of
    the same turn are sent.
    """
    with NatsServer(PLAIN) as server:
        async with linked(server.url) as desk:
            await until(lambda: desk.link.subscribed)
            client = await nats.connect(server.url)
            await client.publish(REQUESTS, b"?", reply="r")
            await until(lambda: desk.requests)
            await client.close()
            server.kill()
            desk.link.send([(desk.requests[0][1], b"!")])
            await until(lambda: not desk.link.connected)
            assert not desk.link.send([(desk.requests[0][1], b"!")])
            server.start()
            await until(lambda: desk.link.subscribed)
            listener = await nats.connect(server.url)
            heard = await listener.subscribe("*")
            await settled(listener)
            assert not desk.link.send([(desk.requests[0][1], b"!"), ("s", b"!")])
            await until(lambda: heard.pending_msgs)
            assert ["s"] == [(await heard.next_msg()).subject for _ in range(heard.pending_msgs)]
            await listener.close()


@pytest.mark.parametrize("first", ["dead", "no such name", "hanging"])
async def test_one_bad_url_does_not_matter(first: str) -> None:
    """A server that refuses the socket, a name that does not resolve or a server that says nothing is passed over."""
    async with _mute_server() as mute:
        bad = {
            "dead": f"nats://127.0.0.1:{free_port()}",
            "no such name": "nats://no-such-host.invalid",
            "hanging": mute,
        }
        with NatsServer(PLAIN) as server:
            async with linked(bad[first], server.url) as desk:
                await until(lambda: desk.link.subscribed)


@asynccontextmanager
async def _mute_server() -> AsyncIterator[str]:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"nats://{host}:{port}"
    server.close()


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_server_that_the_cluster_tells_of_is_used(tmp_path: Path, scheme: str) -> None:
    """
    When the one configured server dies, the link goes on with another that it had told us of.

    Clusters tell addresses, certificates carry names: the name is the one that we were given.
    """
    files = mint_tls(tmp_path, "localhost")
    tls = files.server_text() if scheme == "tls" else ""
    ports = [free_port(), free_port()]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    texts = [f'{tls}\ncluster {{ name: c, host: "127.0.0.1", port: {port}, routes: [{routes}] }}' for port in ports]
    with NatsServer(texts[0]) as one, NatsServer(texts[1]) as two:
        await until(lambda: one.monitor("varz").get("connect_urls"), what="the cluster to form")
        context = files.context if scheme == "tls" else lambda: None
        async with linked(f"{scheme}://localhost:{one.port}", tls=context) as desk:
            await until(lambda: desk.link.subscribed)
            one.kill()
            await until(lambda: [each for each in two.connz() if REQUESTS in each.get("subscriptions_list", [])])
            await until(lambda: desk.link.subscribed)


async def test_undecided_login_is_no_connection() -> None:
    """A server whose PING comes before its verdict (nats-py then returns as if all were well) is tried again."""
    async with hostile_server(answer=b"PING\r\n") as server, linked(server.url) as desk:
        await until(lambda: server.connections >= 2)
        assert not desk.link.connected
        assert "did not decide" in desk.link.last_error


@pytest.mark.parametrize(
    "after",
    [
        b"",
        b"GARBAGE\r\n",
        b"-ERR\r\n",
        b"-ERR 'Authorization Violation'\r\n",
        b"-ERR 'Stale Connection'\r\n",
        b"INFO {\r\n",
    ],
    ids=["hang up", "garbage", "empty error", "error", "stale", "half an INFO"],
)
async def test_connection_that_breaks_is_made_anew(after: bytes) -> None:
    """However a server ends a connection that it had accepted, the link comes back."""
    async with hostile_server(after=after, drop=not after) as server, linked(server.url):
        await until(lambda: server.connections >= 3)


@pytest.mark.parametrize(
    ("after", "reason"),
    [(b"", "unexpected EOF"), (b"-ERR 'User Authentication Expired'\r\n", "user authentication expired")],
    ids=["hang up", "error"],
)
async def test_end_right_behind_the_login_is_noticed_at_once(after: bytes, reason: str) -> None:
    """A server that lets us in and ends it before it says more costs no time-out, and its reason is told."""
    patient = Timing(connect=30.0, first_retry=0.02, longest_retry=0.2)
    async with hostile_server(after=after, drop=not after) as server, linked(server.url, timing=patient) as desk:
        await until(lambda: server.connections >= 3, 3)
        assert reason == desk.link.last_error


async def test_accepting_and_dropping_server_is_not_hammered() -> None:
    """A server that lets us in only to hang up is tried at the pace of one that refuses us."""
    async with hostile_server(drop=True) as server, linked(server.url):
        await until(lambda: server.connections >= 3)
        began, before = time.monotonic(), server.connections
        await until(lambda: server.connections >= before + 5)

    assert time.monotonic() - began > 5 * QUICK.longest_retry / 2 * 0.8
