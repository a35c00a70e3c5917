"""Leaving a cluster: each request has one answer, given by who stays or by who leaves. Why one: what a third does."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from nats_k8s_oidc_callout.adapters.nats import Timing
from tests.fakes.nats_desk import PLAIN, REQUESTS, Desk, linked
from tests.fakes.nats_modes import PASSWORD, config_mode
from tests.fakes.nats_world import NatsServer, free_port, knock, settled, until

NODES = 3
LOGINS = 20
# Those who stay and who leave, by their servers: beside each other, and apart in both directions.
PLACES = [(0, 0), (0, 1), (1, 0), (2, 1), (0, 2), (1, 1)]


@contextlib.contextmanager
def cluster(text: str) -> Iterator[Sequence[NatsServer]]:
    """Run nats-servers with this configuration that know each other."""
    ports = [free_port() for _ in range(NODES)]
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(
                NatsServer(f"{text}\ncluster {{ name: c, listen: 127.0.0.1:{port}, routes: [ {routes} ] }}\n")
            )
            for port in ports
        ]
        yield servers


@contextlib.asynccontextmanager
async def in_each(servers: Sequence[NatsServer], **login: str) -> AsyncIterator[Sequence[Client]]:
    """Have a client at each server, as soon as what any of them publishes reaches all of them."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await nats.connect(server.url, **login) for server in servers]
        for client in clients:
            stack.push_async_callback(client.close)
        await acquainted(clients)
        yield clients


async def acquainted(clients: Sequence[Client]) -> None:
    heard: set[tuple[int, bytes]] = set()

    def ear(number: int) -> object:
        async def hear(message: Msg) -> None:
            heard.add((number, message.data))

        return hear

    for number, client in enumerate(clients):
        await client.subscribe("hello", cb=ear(number))  # type: ignore[arg-type]  # a callback, made by a function
    deadline = asyncio.get_running_loop().time() + 10
    while len(heard) < NODES * NODES:
        assert asyncio.get_running_loop().time() < deadline, "the cluster did not form"
        for number, client in enumerate(clients):
            await client.publish("hello", str(number).encode())
        await asyncio.sleep(0.05)


async def test_leaving_loses_and_doubles_nothing() -> None:
    """
    While requests come in at each server one of two links drains and closes: every request is handed on exactly once.
    """
    with cluster(PLAIN) as servers:
        async with in_each(servers) as clients:
            for staying, leaving in PLACES:
                sent, handed_on = await one_leaves(servers[staying], servers[leaving], clients)
                assert sent > 100
                assert {1: sent} == Counter(handed_on.values())


async def one_leaves(staying: NatsServer, leaving: NatsServer, clients: Sequence[Client]) -> tuple[int, Counter[bytes]]:
    """Return how many requests were sent, and how often each was handed on."""
    sent = 0
    enough = asyncio.Event()

    async def publish(client: Client) -> None:
        nonlocal sent
        while not enough.is_set():
            for _ in range(5):
                sent += 1
                await client.publish(REQUESTS, str(sent).encode(), reply="r")
            await client.flush()

    async with linked(staying.url, timing=Timing()) as first:
        async with linked(leaving.url, timing=Timing()) as second:
            await until(lambda: first.link.subscribed and second.link.subscribed)
            # The servers tell each other of a subscription when it is made, in no time that they promise.
            await asyncio.sleep(0.1)
            load = [asyncio.create_task(publish(client)) for client in clients]
            await until(lambda: len(second.requests) > 20)
            await second.link.drain()
            left = len(second.requests)
        before = len(first.requests)
        await until(lambda: len(first.requests) > before + 20)
        enough.set()
        await asyncio.gather(*load)
        await quiet(first)
    assert left == len(second.requests)
    return sent, Counter(data for desk in (first, second) for data, _, _ in desk.requests)


async def quiet(desk: Desk) -> None:
    """Return when nothing has come in for a while."""
    before = -1
    while before != len(desk.requests):
        before = len(desk.requests)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(("answers", "passes"), [(2, True), (3, False)])
async def test_third_answer_to_one_login_stops_a_route(answers: int, passes: bool) -> None:
    """
    nats-server takes one answer, keeps one, and waits with a third for a reader that is gone: for 90 s, until its
    peers call the route stale, nothing that comes by it is heard. (2.11 and 2.15, auth_callout.go: `respCh`.)
    """
    mode = config_mode(permissions="{}")
    with cluster(mode.text) as servers:
        async with in_each(servers, user="responder", password=PASSWORD) as (responder, witness, _):

            async def answer(message: Msg) -> None:
                for _ in range(answers):
                    await responder.publish(message.reply, b"no")

            await responder.subscribe(REQUESTS, cb=answer)
            probe = await witness.subscribe("probe")
            await settled(responder, witness)
            await asyncio.sleep(0.2)
            heard = 0
            # A third answer is lost, not waited with, when the login ends before it comes.
            for _ in range(LOGINS):
                assert not (await knock(servers[1].url, auth_token="t")).let_in
                await responder.publish("probe", b"do you hear me?")
                await responder.flush()
                try:
                    await probe.next_msg(1)
                except nats.errors.TimeoutError:
                    break
                heard += 1

    assert passes == (LOGINS == heard)
