"""What passes over the link to NATS: requests, answers, drains and complaints."""

import asyncio
import json

import nats
import pytest
import structlog.testing

from nats_k8s_oidc_callout.adapters.nats import (
    Link,
    NoLogin,
    Timing,
    answer_requests,
)
from tests.fakes.hostile_server import hostile_server
from tests.fakes.nats_desk import PLAIN, REQUESTS, at, linked, nkey, yes
from tests.fakes.nats_modes import config_mode
from tests.fakes.nats_world import NatsServer, knock, settled, until


async def test_refused_answer_is_told() -> None:
    """A responder that may hear but not answer logs that, once."""
    mode = config_mode(permissions=f'{{ subscribe: ["{REQUESTS}"], publish: {{ deny: ">" }} }}', timeout=0.3)
    with NatsServer(mode.text) as server, structlog.testing.capture_logs() as logs:
        async with linked(server.url, login=nkey(mode.responder), answer=lambda _: b"") as desk:
            await until(lambda: desk.link.subscribed)
            await asyncio.gather(*(knock(server.url, auth_token="t") for _ in range(3)))

    assert 1 == len(
        [line for line in logs if line["event"] == "nats refused our publish" and line["log_level"] == "warning"]
    )


async def test_subscription_follows_the_wish() -> None:
    """Unwanted, the subscription ends and the connection stays; wanted again, it comes back on the same connection."""
    mode = config_mode()
    with NatsServer(mode.text) as server:
        async with linked(server.url, login=nkey(mode.responder), answer=yes(mode.issuer), serving=False) as desk:
            await until(lambda: desk.link.connected)
            (before,) = server.connz()
            assert REQUESTS not in before.get("subscriptions_list", [])
            for _ in range(2):
                desk.link.set_serving(True)
                await until(lambda: desk.link.subscribed)
                assert (await knock(server.url, auth_token="t")).let_in
                desk.link.set_serving(False)
                await desk.link.drain()
                assert not desk.link.subscribed
                (during,) = server.connz()
                assert REQUESTS not in during.get("subscriptions_list", [])
                assert before["cid"] == during["cid"]
                assert "" == desk.link.last_error


async def test_queue_group_shares_the_requests() -> None:
    """Of two links in one group each request reaches exactly one, and both get some."""
    mode = config_mode()
    with NatsServer(mode.text) as server:
        one = linked(server.url, login=nkey(mode.responder), answer=lambda _: b"")
        two = linked(server.url, login=nkey(mode.responder), answer=lambda _: b"")
        async with one as first, two as second:
            await until(lambda: first.link.subscribed and second.link.subscribed)
            await asyncio.gather(*(knock(server.url, auth_token="t") for _ in range(40)))

    assert 40 == len(first.requests) + len(second.requests)
    assert first.requests
    assert second.requests


async def test_drain_loses_nothing() -> None:
    """When `drain` returns, every message that the server sent for the subscription was handed on."""
    with NatsServer(PLAIN) as server:
        publisher = await nats.connect(server.url)
        async with linked(server.url, timing=Timing()) as desk:
            await until(lambda: desk.link.subscribed)

            async def publish() -> None:
                while True:
                    for _ in range(100):
                        await publisher.publish(REQUESTS, b"x" * 2000, reply="r")
                    await publisher.flush()

            publishing = asyncio.create_task(publish())
            await until(lambda: len(desk.requests) > 500)
            await asyncio.wait_for(desk.link.drain(), 5)
            received = len(desk.requests)
            publishing.cancel()
            ours = [each for each in server.connz() if each.get("name") == "nats-k8s-oidc-callout"]
            assert [received] == [each["out_msgs"] for each in ours]
        await publisher.close()


async def test_nothing_is_dropped_by_a_burst() -> None:
    """Ten thousand requests in one go all arrive: nats-py's own queue has no limit, ours is the responder's."""
    with NatsServer(PLAIN) as server:
        publisher = await nats.connect(server.url)
        async with linked(server.url, timing=Timing()) as desk:
            await until(lambda: desk.link.subscribed)
            for _ in range(10_000):
                await publisher.publish(REQUESTS, b"x" * 2000, reply="r")
            await publisher.flush()
            await until(lambda: 10_000 == len(desk.requests))
        await publisher.close()


async def test_answers_leave_before_the_close() -> None:
    """What was sent before `close` reaches the server."""
    with NatsServer(PLAIN) as server:
        listener = await nats.connect(server.url)
        heard = await listener.subscribe("r")
        await settled(listener)
        async with linked(server.url, timing=Timing()) as desk:
            await until(lambda: desk.link.subscribed)
            await listener.publish(REQUESTS, b"?", reply="r")
            await until(lambda: desk.requests)
            await desk.link.drain()
            for _ in range(100):
                assert desk.link.send([(desk.requests[0][1], b"!" * 10_000)])
            await desk.link.close()
        await until(lambda: 100 == heard.pending_msgs)
        await listener.close()


async def test_too_large_answer_is_not_sent() -> None:
    """`send` says False for more than the server's max_payload; others of the turn are sent, the connection lives on."""
    with NatsServer(PLAIN + "\nmax_payload: 65536") as server:
        listener = await nats.connect(server.url)
        heard = await listener.subscribe("*")
        await settled(listener)
        async with linked(server.url) as desk:
            await until(lambda: desk.link.subscribed)
            assert 65536 == desk.link.max_payload
            assert not desk.link.send([("r", b"x" * 65537), ("s", b"x" * 65536)])
            assert desk.link.send([("r", b"x" * 65536)])
            await until(lambda: 2 == heard.pending_msgs)
            assert ["s", "r"] == [(await heard.next_msg()).subject for _ in range(2)]
            assert desk.link.subscribed
        await listener.close()


async def test_subscription_is_proven_by_what_is_asked_after_it() -> None:
    """The PING whose answer confirms a subscription, or its end, goes out after it (nats-py would send it before)."""
    async with hostile_server() as server, linked(server.url, timing=Timing()) as desk:
        await until(lambda: desk.link.subscribed)
        await desk.link.drain()

    lines = [line.split()[0] for line in bytes(server.received).splitlines()]
    assert [b"CONNECT", b"PING", b"PING", b"SUB", b"SUB", b"PING", b"UNSUB", b"PING"] == lines[:8]


async def test_complaints_about_our_answers_are_heard() -> None:
    """The server's word on an answer that it did not accept reaches the ear."""
    mode = config_mode()
    with NatsServer(mode.text) as server:
        async with linked(server.url, login=nkey(mode.responder), answer=lambda _: b"nonsense") as desk:
            await until(lambda: desk.link.subscribed)
            await knock(server.url, auth_token="t")
            await until(lambda: desk.complaints)

    assert "chunks" in json.loads(desk.complaints[0])["reason"]


async def test_ear_is_optional() -> None:
    """Where permissions do not let us hear complaints, the link serves all the same."""
    mode = config_mode(permissions=f'{{ subscribe: ["{REQUESTS}"], allow_responses: true }}')
    with NatsServer(mode.text) as server:
        async with linked(server.url, login=nkey(mode.responder), answer=yes(mode.issuer)) as desk:
            await until(lambda: desk.link.subscribed)
            assert (await knock(server.url, auth_token="t")).let_in
            assert "" == desk.link.last_error


async def test_cancelled_link_leaves_nothing_behind() -> None:
    """Cancelling `run` closes the socket and ends every task of it."""
    before = asyncio.all_tasks()
    with NatsServer(PLAIN) as server:
        link = Link(
            [at(server.url)],
            login=NoLogin,
            tls=lambda: None,
            duty=answer_requests("q", lambda *_: None, lambda _: None),
        )
        link.set_serving(True)
        running = asyncio.create_task(link.run())
        await until(lambda: link.subscribed)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await until(lambda: not server.connz())
        await until(lambda: before == asyncio.all_tasks())
