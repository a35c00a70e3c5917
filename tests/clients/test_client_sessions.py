"""What the Python connection does at the two ends of a session: callbacks, subscriptions, JetStream, a login."""

import asyncio
import logging
from collections.abc import AsyncIterator

import nats.errors
import pytest
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from nats_k8s_oidc_callout.client import Connection, connect
from tests.clients.connections import Box, TokenFile, settled, to
from tests.fakes.nats_world import NatsServer, until

pytestmark = pytest.mark.usefixtures("no_task_is_left")


@pytest.fixture
async def nc(server: NatsServer, tokens: TokenFile) -> AsyncIterator[Connection]:
    async with to(server, tokens) as connection:
        yield connection


async def restart(server: NatsServer, nc: Connection) -> None:
    """Return in the next session, once the server knows its subscriptions."""
    await asyncio.to_thread(server.restart)
    await until(lambda: not nc.connected)
    await settled(nc)


async def test_callback_is_not_cut_short_by_the_end_of_a_session(server: NatsServer, nc: Connection) -> None:
    """
    A message in work when its session ends is worked on to the end, and those behind it follow.
    """
    begun, go_on, box = asyncio.Event(), asyncio.Event(), Box()

    async def slow(message: Msg) -> None:
        begun.set()
        await go_on.wait()
        await box.put(message)

    await nc.subscribe("shop.a", cb=slow)
    await nc.publish("shop.a", b"in work")
    await nc.publish("shop.a", b"behind it")
    await begun.wait()
    await restart(server, nc)
    go_on.set()
    await box.holds("in work", "behind it")


async def test_failing_callback_is_logged_and_the_next_message_comes(
    nc: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """
    What a callback raises ends neither its subscription nor the connection.
    """
    box = Box()

    async def picky(message: Msg) -> None:
        if message.data == b"bad":
            raise ValueError("no")
        await box.put(message)

    await nc.subscribe("shop.a", cb=picky)
    await nc.publish("shop.a", b"bad")
    await nc.publish("shop.a", b"good")
    await box.holds("good")

    assert ["the callback for shop.a failed"] == [one.message for one in caplog.records if one.levelno == logging.ERROR]


async def test_unsubscribed_stays_unsubscribed(server: NatsServer, nc: Connection) -> None:
    """
    What was given up does not come back with the next session.
    """
    gone, kept = Box(), Box()
    subscription = await nc.subscribe("shop.a", cb=gone.put)
    await nc.subscribe("shop.a", cb=kept.put)
    await nc.publish("shop.a", b"first")
    await gone.holds("first")
    await subscription.unsubscribe()
    await restart(server, nc)
    await nc.publish("shop.a", b"second")
    await kept.holds("second")

    assert ["first"] == gone.texts


async def test_callback_may_unsubscribe_itself(nc: Connection) -> None:
    """
    A callback that gives up its own subscription runs to its end and is not called again.
    """
    box = Box()

    async def once(message: Msg) -> None:
        await subscription.unsubscribe()
        await asyncio.sleep(0)
        await box.put(message)

    subscription = await nc.subscribe("shop.a", cb=once)
    await nc.publish("shop.a", b"first")
    await box.holds("first")
    await nc.publish("shop.a", b"second")
    await settled(nc)

    assert ["first"] == box.texts


async def test_subscribed_without_a_session_begins_with_the_next(server: NatsServer, nc: Connection) -> None:
    """
    Subscribing waits for nothing: while there is no session it is remembered.
    """
    box = Box()
    await asyncio.to_thread(server.stop)
    await until(lambda: not nc.connected)
    await nc.subscribe("shop.a", cb=box.put)
    await asyncio.to_thread(server.start)
    await nc.publish("shop.a", b"hello")
    await box.holds("hello")


async def test_close_finishes_what_has_arrived(server: NatsServer, tokens: TokenFile) -> None:
    """
    On the way out callbacks get all that arrived, and may still publish.
    """
    heard = Box()
    async with to(server, tokens) as other, to(server, tokens) as nc:
        await other.subscribe("shop.b", cb=heard.put)

        async def forward(message: Msg) -> None:
            await asyncio.sleep(0.01)
            await nc.publish("shop.b", message.data)

        await nc.subscribe("shop.a", cb=forward)
        await settled(nc)
        for number in range(20):
            await other.publish("shop.a", b"%d" % number)
        await settled(other)
        await nc.close()
        await heard.holds(*(str(number) for number in range(20)))


async def test_pull_loop_goes_on_after_a_restart(server: NatsServer, nc: Connection) -> None:
    """
    A loop that pulls hears that its connection is closed, asks for JetStream again, and misses nothing.
    """
    await (await nc.jetstream()).add_stream(StreamConfig(name="ORDERS", subjects=["shop.orders.*"]))
    got: list[bytes] = []

    async def pull() -> None:
        while True:
            try:
                orders = await (await nc.jetstream()).pull_subscribe("shop.orders.*", durable="web")
                while True:
                    for message in await orders.fetch(10, timeout=30):
                        got.append(message.data)
                        await message.ack()
            except (nats.errors.Error, OSError):
                await asyncio.sleep(0.05)

    pulling = asyncio.create_task(pull())
    await (await nc.jetstream()).publish("shop.orders.1", b"before")
    await until(lambda: b"before" in got)
    await restart(server, nc)
    await (await nc.jetstream()).publish("shop.orders.2", b"after")
    await until(lambda: b"after" in got)
    pulling.cancel()
    await asyncio.wait([pulling])

    assert [b"before", b"after"] == got


async def test_undecided_login_is_no_session(tokens: TokenFile) -> None:
    """
    A server whose first PING comes before it decides about the login has let nobody in, whatever nats-py says.
    """

    async def undecided(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b'INFO {"server_id":"S","version":"2.15.1","max_payload":1048576,"proto":1,"auth_required":true}\r\n'
        )
        await reader.readuntil(b"PING\r\n")
        writer.write(b"PING\r\n")
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(undecided, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    nc = connect(f"nats://127.0.0.1:{port}", namespace="shop", service_account="web", token_file=tokens.path)
    opening = asyncio.create_task(nc.open())
    await until(lambda: "did not decide" in repr(nc))
    assert not opening.done()
    opening.cancel()
    await asyncio.wait([opening])
    listening.close()
