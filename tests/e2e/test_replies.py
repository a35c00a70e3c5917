"""How a workload may answer in each REPLY_MODE, and what no answer reaches; JetStream and a second account are there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import NotFoundError

from tests.attack.test_reply_permission import by_reply
from tests.clients import world as clients
from tests.e2e.clients import Login, logged_in
from tests.e2e.plans import Plan, with_other
from tests.e2e.worlds import BINARIES, PUBLISH, World, world_of
from tests.fakes.nats_modes import PASSWORD

pytestmark = pytest.mark.e2e

ECHO = "team-a.echo"
PLAIN, PRIVATE, GUIDE = "_INBOX", "_INBOX_SA.team-b.web", "_INBOX_team-b_web"
MODES = {
    "inbox-shared": {"REPLY_MODE": "inbox", "INBOX_MODE": "shared"},
    "inbox-private": {"REPLY_MODE": "inbox", "INBOX_MODE": "private"},
    "responses": {"REPLY_MODE": "responses", "INBOX_MODE": "private"},
    "none": {"REPLY_MODE": "none", "INBOX_MODE": "shared"},
}
ANSWERED = {
    "inbox-shared": {PLAIN, PRIVATE},
    "inbox-private": {PRIVATE},
    "responses": {PRIVATE, GUIDE},
    "none": set[str](),
}
"""By mode, the inbox prefixes by which a request gets its answer. (Without the shared inbox nobody hears it.)"""

Question = Callable[[World, Login], Awaitable[Msg]]


def two_accounts(folder: Path) -> Plan:
    """The clients' world, in which another account may ask on ECHO, too."""
    plan = clients.plan(folder)
    text = with_other(plan.texts[0])
    for found, wanted in (
        ("  APP { ", f"  APP {{ exports: [ {{ service: {ECHO} }} ], "),
        ("  OTHER { ", f"  OTHER {{ imports: [ {{ service: {{ account: APP, subject: {ECHO} }} }} ], "),
    ):
        assert text.count(found) == 1
        text = text.replace(found, wanted)
    return Plan([text], plan.target, {}, plan.variables)


@dataclass
class Place:
    """A running world, and how its responder lets workloads answer."""

    world: World
    mode: str


@pytest.fixture(scope="module", params=[pytest.param("2.11", marks=pytest.mark.slow), "2.15"])
def server(request: pytest.FixtureRequest) -> Iterator[World]:
    """One of both ends of what is supported."""
    binary = BINARIES[request.param]()
    if binary is None:
        pytest.skip(f"nats-server {request.param} is not built (make tools)")
    with world_of(two_accounts, str(binary)) as world:
        world.accounts.write("team-b", "web", {PUBLISH: ECHO})
        yield world


@pytest.fixture(scope="module", params=list(MODES))
def place(request: pytest.FixtureRequest, server: World) -> Iterator[Place]:
    """The server with a responder in one mode."""
    variables = {**server.environment(), "SESSION_MAX_SECONDS": "600", **MODES[request.param]}
    responder = server.start_responder(exactly=variables)
    yield Place(server, request.param)
    responder.stop()


@asynccontextmanager
async def observer(world: World) -> AsyncIterator[Client]:
    """Somebody in the workloads' account who may do everything."""
    client = await clients.stranger(world, "observer")
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def echoing(world: World) -> AsyncIterator[Login]:
    """Be the service team-a/worker, which answers on ECHO."""

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    async with logged_in(world, world.token(name="worker")) as service:
        await service.client.subscribe(ECHO, cb=answer)
        await service.settle()
        yield service


async def answered(client: Client) -> bool:
    """Say whether a request to the service gets its answer."""
    try:
        return (await client.request(ECHO, b"hello", timeout=0.5)).data == b"hello"
    except nats.errors.TimeoutError:
        return False


@pytest.mark.parametrize("prefix", [PLAIN, PRIVATE, GUIDE])
async def test_request_across_namespaces(place: Place, prefix: str) -> None:
    """
    A workload that may publish to another namespace's subject gets its answer by the private prefix in both inbox modes,
    by the plain one where it is shared, and by the guide's with the reply permission only.
    """
    world = place.world
    async with echoing(world), logged_in(world, world.token("team-b", "web"), inbox=prefix) as asking:
        assert (prefix in ANSWERED[place.mode]) == await answered(asking.client)


@pytest.mark.parametrize("subject", ["$JS.API.STREAM.DELETE.X", "team-b.orders"])
async def test_answering_oneself(place: Place, subject: str) -> None:
    """
    By answering itself a workload deletes somebody's stream, and publishes to another namespace, with the reply permission
    only.
    """
    async with observer(place.world) as everything, logged_in(place.world, place.world.token()) as client:
        stream = everything.jetstream()
        await stream.add_stream(StreamConfig(name="X", subjects=["team-b.orders"]))
        said = await by_reply(client, subject)
        try:
            done = (await stream.stream_info("X")).state.messages == 1
        except NotFoundError:
            done = True
        else:
            await stream.delete_stream("X")

    assert ("", True) == (said, done) if place.mode == "responses" else "permissions violation" in said and not done


async def _from_another_account(world: World, service: Login) -> Msg:
    asking = await nats.connect(world.client_url, user="other", password=PASSWORD)
    heard = await service.listen(ECHO)
    await asking.publish(ECHO, b"", reply="_INBOX.of.the.other")
    await asking.flush()
    message = await heard.next_msg(5)
    await asking.close()
    return message


async def _to_any_subject(world: World, service: Login) -> Msg:
    async with observer(world) as asking:
        heard = await service.listen(ECHO)
        await asking.publish(ECHO, b"", reply="elsewhere.reply")
        return await heard.next_msg(5)


async def _from_a_stream(world: World, service: Login) -> Msg:
    return await _delivered(world, service, "$JS.ACK.")


async def _with_flow_control(world: World, service: Login) -> Msg:
    return await _delivered(world, service, "$JS.FC.", flow_control=True, idle_heartbeat=5)


async def _delivered(world: World, service: Login, reply: str, **how: object) -> Msg:
    """Return the first message that a stream pushes to the service and wants such an answer to."""
    async with observer(world) as everything:
        stream = everything.jetstream(timeout=10)
        heard = await service.client.subscribe("team-a.pushed", pending_bytes_limit=-1)
        await service.settle()
        await stream.add_stream(StreamConfig(name="PUSHED", subjects=["pushed"]))
        config = ConsumerConfig(durable_name="c", deliver_subject="team-a.pushed", max_ack_pending=-1, **how)  # type: ignore[arg-type]
        await stream.add_consumer("PUSHED", config)
        try:
            # Flow control begins after a megabyte.
            for _ in range(25):
                await stream.publish("pushed", bytes(100_000))
            while not (message := await heard.next_msg(5)).reply.startswith(reply):
                pass
            return message
        finally:
            await stream.delete_stream("PUSHED")


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        pytest.param(_from_another_account, "_R_.", id="another-account"),
        pytest.param(_to_any_subject, "elsewhere.reply", id="reply-elsewhere"),
        pytest.param(_from_a_stream, "$JS.ACK.PUSHED.c.", id="acknowledgement"),
        pytest.param(_with_flow_control, "$JS.FC.PUSHED.c.", id="flow-control"),
    ],
)
async def test_what_only_the_reply_permission_answers(place: Place, question: Question, reply: str) -> None:
    """
    Answers to other accounts, to reply subjects that are neither inboxes nor granted, and JetStream's acknowledgements and
    flow control without their entries go with `responses` only.
    """
    async with logged_in(place.world, place.world.token(name="worker")) as service:
        message = await question(place.world, service)
        said = await service.publish(message.reply, b"")

    assert message.reply.startswith(reply)
    assert (place.mode != "responses") == ("permissions violation for publish" in said.lower())


@dataclass
class Asking:
    """A client that asks all the time, by whatever session it has at the moment, and counts what got no answer."""

    client: Client
    answers: int = 0
    lost: int = 0

    async def ask(self) -> None:
        while True:
            if await answered(self.client):
                self.answers += 1
            else:
                self.lost += 1
            await asyncio.sleep(0.01)


async def test_the_order_that_loses_no_request() -> None:
    """
    Clients to the new prefix under `responses`, then `inbox`: of the requests of a client that asks all the time each has
    its answer, also while sessions of both kinds are about. With the old prefix none has one in the end.
    """
    with world_of(two_accounts) as world:
        world.accounts.write("team-b", "web", {PUBLISH: ECHO})
        usual = {**world.environment(), "SESSION_MAX_SECONDS": "600"}
        token = world.token("team-b", "web")
        before = world.start_responder(exactly=usual | {"REPLY_MODE": "responses"})
        async with contextlib.AsyncExitStack() as stack:

            async def session(prefix: str) -> Client:
                return (await stack.enter_async_context(logged_in(world, token, inbox=prefix))).client

            async with echoing(world):
                asking = Asking(await session(GUIDE))
                task = asyncio.create_task(asking.ask())
                await more(asking)
                asking.client = await session(PRIVATE)
                await more(asking)
                world.start_responder(exactly=usual | {"REPLY_MODE": "inbox"})
                await asyncio.to_thread(before.stop)
                await more(asking)
                # The asking session is of `inbox` first, the answering one after it, beside the old one for a while.
                asking.client = await session(PRIVATE)
                await more(asking)
                await stack.enter_async_context(echoing(world))
                await more(asking)
            await more(asking)
            task.cancel()
            in_vain = await answered(await session(GUIDE))

    assert (0, False) == (asking.lost, in_vain)


async def more(asking: Asking) -> None:
    """Return after ten more answers."""
    wanted = asking.answers + asking.lost + 10
    async with asyncio.timeout(30):
        while asking.answers + asking.lost < wanted:
            await asyncio.sleep(0.01)
