"""The Python connection that outlives its sessions, against a real nats-server."""

import asyncio
import contextlib
import logging

import nats.errors
import pytest
from nats.aio.msg import Msg

from nats_k8s_oidc_callout.client import NotConnected, connect, inbox_prefix
from tests.clients.connections import OTHER, TOKEN, Box, TokenFile, accepting, settled, to
from tests.fakes.nats_world import NatsServer, free_port, until
from tests.leaks import Secrets

pytestmark = pytest.mark.usefixtures("no_task_is_left")


async def test_subscription_and_publisher_go_on_after_a_restart(server: NatsServer, tokens: TokenFile) -> None:
    """
    What is subscribed before the server restarts hears what is published afterwards, and while it was away.
    """
    box = Box()
    async with to(server, tokens) as nc:
        await nc.subscribe("shop.>", cb=box.put)
        await nc.publish("shop.a", b"before")
        await box.holds("before")
        await asyncio.to_thread(server.stop)
        await until(lambda: not nc.connected)
        waiting = asyncio.create_task(nc.publish("shop.a", b"while it was away"))
        await asyncio.to_thread(server.start)
        await waiting
        await nc.publish("shop.a", b"after")
        await box.holds("while it was away", "after")


async def test_queue_group_goes_on_after_a_restart(server: NatsServer, tokens: TokenFile) -> None:
    """
    Two members of a queue group share the messages in every session.
    """
    one, other = Box(), Box()
    async with to(server, tokens) as nc, to(server, tokens) as second:
        await nc.subscribe("shop.work", "workers", cb=one.put)
        await second.subscribe("shop.work", "workers", cb=other.put)
        await asyncio.to_thread(server.restart)
        await until(lambda: not nc.connected or not second.connected)
        await settled(nc)
        await settled(second)
        for number in range(40):
            await nc.publish("shop.work", b"%d" % number)
        await until(lambda: len(one.texts) + len(other.texts) >= 40)

    assert sorted(one.texts + other.texts, key=int) == [str(number) for number in range(40)]


async def test_client_comes_in_once_its_token_is_good(server: NatsServer, tokens: TokenFile) -> None:
    """
    A refused client asks again, with what the token file holds by then.
    """
    tokens.write(OTHER)
    nc = to(server, tokens)
    opening = asyncio.create_task(nc.open())
    await until(lambda: "Authorization Violation" in repr(nc))
    tokens.write(TOKEN)
    await opening

    assert nc.connected
    await nc.close()


async def test_token_file_may_be_late(server: NatsServer, tokens: TokenFile) -> None:
    """
    A file that is missing, empty or no text is a login that failed, nothing worse.
    """
    for content in (None, b"", b"\xff\xfe"):
        tokens.write(content)
        nc = to(server, tokens)
        with pytest.raises(NotConnected, match=r"no session within 0\.3 s: login failed"):
            await nc.open(0.3)
        tokens.write(TOKEN)


async def test_each_login_reads_the_token_again(server: NatsServer, tokens: TokenFile) -> None:
    """
    After the token was rotated the next session begins with the new one.
    """
    async with to(server, tokens) as nc:
        tokens.write(OTHER)
        await asyncio.to_thread(server.restart, accepting(OTHER))
        await until(lambda: not nc.connected)
        await nc.client()

        assert nc.connected


async def test_client_waits_for_a_server_that_is_not_there_yet(tokens: TokenFile) -> None:
    """
    `open` returns as soon as there is a server.
    """
    with NatsServer(accepting(TOKEN), started=False) as server:
        nc = to(server, tokens)
        opening = asyncio.create_task(nc.open())
        await until(lambda: "login failed" in repr(nc))
        await asyncio.to_thread(server.start)
        await opening
        await nc.close()


async def test_publish_without_a_session_says_so(tokens: TokenFile) -> None:
    """
    Publishing and asking wait no longer than they are told to, and then say why.
    """
    with NatsServer(accepting(TOKEN)) as server:
        nc = await to(server, tokens).open()
        await asyncio.to_thread(server.stop)
        await until(lambda: not nc.connected)
        with pytest.raises(NotConnected, match=r"no session within 0\.1 s"):
            await nc.publish("shop.a", b"", timeout=0.1)
        with pytest.raises(NotConnected, match=r"no session within 0\.1 s"):
            await nc.request("shop.a", b"", timeout=0.1)
        await nc.close()


async def test_closed_is_closed(server: NatsServer, tokens: TokenFile) -> None:
    """
    After `close` nothing is sent and nothing comes back, and closing twice does nothing.
    """
    nc = await to(server, tokens).open()
    await nc.close()
    await nc.close()

    assert nc.closed
    assert not nc.connected
    for use in (nc.publish("shop.a"), nc.request("shop.a"), nc.subscribe("shop.a", cb=Box().put), nc.jetstream()):
        with pytest.raises(NotConnected, match="closed"):
            await use


async def test_close_while_there_is_no_session(server: NatsServer, tokens: TokenFile) -> None:
    """
    A connection that is on its way back can be closed at once.
    """
    nc = await to(server, tokens).open()
    await nc.subscribe("shop.>", cb=Box().put)
    await asyncio.to_thread(server.stop)
    await until(lambda: not nc.connected)
    async with asyncio.timeout(1):
        await nc.close()

    assert nc.closed


async def test_cancelled_open_leaves_nothing(tokens: TokenFile) -> None:
    """
    Who is cancelled while waiting for the first session leaves no task and no socket behind.
    """
    nc = connect(f"nats://127.0.0.1:{free_port()}", namespace="shop", service_account="web", token_file=tokens.path)
    opening = asyncio.create_task(nc.open())
    await until(lambda: "login failed" in repr(nc))
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    assert nc.closed


async def test_cancelled_publish_is_nobody_elses_business(server: NatsServer, tokens: TokenFile) -> None:
    """
    Cancelling one who waits for a session cancels only that one.
    """
    async with to(server, tokens) as nc:
        await asyncio.to_thread(server.stop)
        await until(lambda: not nc.connected)
        one, other = (asyncio.create_task(nc.publish("shop.a")) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.to_thread(server.start)
        await other

        assert one.cancelled() or one.cancelling()


async def test_mistake_in_the_options_is_told(server: NatsServer, tokens: TokenFile) -> None:
    """
    An option that nats-py does not know is an error at once, not something to try again.
    """
    with pytest.raises(TypeError, match="nonsense"):
        await to(server, tokens, nonsense=1).open(5)


async def test_nothing_tells_the_token(server: NatsServer, tokens: TokenFile, caplog: pytest.LogCaptureFixture) -> None:
    """
    Neither logs nor errors nor what the object shows have a part of a token in them.
    """
    secrets = Secrets()
    secrets.register("token", OTHER)
    tokens.write(OTHER)
    caplog.set_level(logging.DEBUG)
    nc = to(server, tokens)
    with pytest.raises(NotConnected) as refused:
        await nc.open(0.5)

    said = f"{caplog.text}\n{refused.value!r}\n{nc!r}\n{vars(nc)}"
    assert "Authorization Violation" in said
    assert [] == secrets.scan(said.encode())


def test_private_inbox_has_no_dots_of_the_name() -> None:
    """
    The prefix is what the responder permits.
    """
    assert inbox_prefix("shop", "web.v2") == "_INBOX_SA.shop.web_v2"


async def test_requests_use_the_private_inbox(server: NatsServer, tokens: TokenFile) -> None:
    """
    An answer comes to the inbox that only this workload may read, in each session.
    """
    async with to(server, tokens) as nc:
        await nc.subscribe("shop.echo", cb=_echo)
        for _ in range(2):
            answer = await nc.request("shop.echo", b"hello")
            assert (answer.data, answer.subject.startswith("_INBOX_SA.shop.web_v2.")) == (b"hello", True)
            await asyncio.to_thread(server.restart)
            await until(lambda: not nc.connected)
            await settled(nc)


async def test_request_without_anybody_to_answer(server: NatsServer, tokens: TokenFile) -> None:
    """
    A question that nobody listens to is told at once.
    """
    async with to(server, tokens) as nc:
        with pytest.raises(nats.errors.NoRespondersError):
            await nc.request("shop.nobody")


async def _echo(message: Msg) -> None:
    with contextlib.suppress(nats.errors.Error):
        await message.respond(message.data)
