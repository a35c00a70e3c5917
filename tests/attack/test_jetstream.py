"""What a tenant's annotations reach below `$` on a real server: their own stream, bucket or service, and what of others."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, KeyValueConfig, StreamConfig
from nats.js.errors import KeyNotFoundError, NotFoundError
from nats.micro import add_service
from nats.micro.service import ServiceConfig

from tests.attack.test_annotations import log_in
from tests.e2e.clients import Login, logged_in
from tests.e2e.worlds import PUBLISH, SUBSCRIBE, World
from tests.fakes.nats_modes import PASSWORD

pytestmark = pytest.mark.e2e

SERVICE = [f"$SRV.{verb}{rest}" for verb in ("PING", "INFO", "STATS") for rest in ("", ".orders", ".orders.*")]
TENANTS: Mapping[str, Mapping[str, str]] = {
    "eavesdropper": {
        SUBSCRIBE: "$JS.API.CONSUMER.MSG.NEXT.ORDERS.>,$JS.API.STREAM.INFO.ORDERS,$JS.API.DIRECT.GET.ORDERS.>,"
        "$JS.ACK.ORDERS.>,$JS.FC.ORDERS.>,$SRV.>,$SRV.PING.*,$JS.EVENT.ADVISORY.>"
    },
    "watcher": {SUBSCRIBE: "$KV.CFG.>"},
    "mover": {PUBLISH: "$JS.API.CONSUMER.CREATE.ORDERS.>"},
    "colleague": {PUBLISH: "$JS.API.CONSUMER.MSG.NEXT.ORDERS.>,$JS.API.CONSUMER.DELETE.ORDERS.>"},
    "key-writer": {PUBLISH: "$KV.CFG.mine"},
    "acknowledger": {PUBLISH: "$JS.ACK.MINE.>,$JS.ACK.*.*.MINE.>,$JS.ACK.*.*.MINE.*.*.*.*.*.>"},
    "of-no-domain": {PUBLISH: "$JS.ACK._.>"},
    "of-the-hub": {PUBLISH: "$JS.ACK.hub.>"},
    "undertaker": {
        SUBSCRIBE: ",".join(
            f"$JS.EVENT.ADVISORY.CONSUMER.{event}.{stream}.>"
            for event in ("MAX_DELIVERIES", "MSG_TERMINATED")
            for stream in ("ORDERS", "*")
        )
    },
    "service": {SUBSCRIBE: ",".join(SERVICE)},
    "star": {SUBSCRIBE: "prices.*"},
}


@pytest.fixture(scope="module", autouse=True)
def tenants(attacked: World) -> Iterator[None]:
    """The ServiceAccounts of this module."""
    for name, annotations in TENANTS.items():
        attacked.accounts.write("team-a", name, annotations)
    yield
    for name in TENANTS:
        (attacked.accounts.folder / f"team-a.{name}.yaml").unlink()


@pytest.fixture
async def platform(attacked: World) -> AsyncIterator[Client]:
    """The platform's own connection, with the streams ORDERS and MINE and the bucket CFG as if new."""
    client = await nats.connect(attacked.client_url, user="platform", password=PASSWORD)
    js = client.jetstream()
    for name in ("ORDERS", "MINE"):
        await js.add_stream(StreamConfig(name=name, subjects=[f"{name.lower()}.*"]))
        await js.publish(f"{name.lower()}.1", b"one")
    await js.create_key_value(KeyValueConfig(bucket="CFG"))
    yield client
    for stream in ("ORDERS", "MINE", "KV_CFG"):
        await js.delete_stream(stream)
    await client.close()


async def _pull(js: JetStreamContext, stream: str, **config: Any) -> Msg:
    """Return the message of a stream as a consumer `worker` gets it, not yet acknowledged."""
    consumer = ConsumerConfig(durable_name="worker", **config)
    worker = await js.pull_subscribe(f"{stream.lower()}.*", durable="worker", stream=stream, config=consumer)
    (message,) = await worker.fetch(1, timeout=5)
    return message


async def _unacknowledged(js: JetStreamContext, stream: str) -> int:
    return (await js.consumer_info(stream, "worker")).num_ack_pending or 0


async def _acknowledged(js: JetStreamContext, stream: str) -> bool:
    """Say whether nothing is pending any more; the stream takes an acknowledgement in after the server has it."""
    for _ in range(100):
        if not await _unacknowledged(js, stream):
            return True
        await asyncio.sleep(0.05)
    return False


async def _complaint(client: Login, subject: str, *, publish: bool = False) -> str:
    return (await (client.publish(subject) if publish else client.subscribe(subject))).lower()


@pytest.mark.parametrize(
    "subject",
    [
        *("$JS.API.CONSUMER.MSG.NEXT.ORDERS.>", "$JS.API.STREAM.INFO.ORDERS", "$JS.API.DIRECT.GET.ORDERS.>"),
        *("$JS.ACK.ORDERS.>", "$JS.FC.ORDERS.>", "$SRV.>", "$SRV.PING.orders", "$JS.EVENT.ADVISORY.API"),
    ],
)
async def test_nobody_hears_what_others_ask_jetstream(attacked: World, subject: str) -> None:
    """
    Requests to JetStream cannot be heard: they name the private inbox that the answer goes to, where whoever knows it
    forges messages into a pull.
    """
    async with logged_in(attacked, await log_in(attacked, "eavesdropper")) as client:
        assert "permissions violation for subscription" in await _complaint(client, subject)


async def test_who_hears_a_bucket_learns_its_writers_inboxes(attacked: World, platform: Client) -> None:
    """
    Not stopped: a put is a request, so who may hear `$KV.B.>` sees the inbox of its answer, and may answer first.
    """
    async with logged_in(attacked, await log_in(attacked, "watcher")) as client:
        heard = await client.listen("$KV.CFG.>")
        await (await platform.jetstream().key_value("CFG")).put("key", b"value")
        put = await heard.next_msg(timeout=5)

        assert put.reply.startswith("_INBOX.")
        assert "" == await client.publish(put.reply, b'{"stream":"KV_CFG","seq":1000}')


async def test_a_consumer_may_deliver_anywhere(attacked: World, platform: Client) -> None:
    """
    Not stopped: who may create a consumer of a stream may have its messages delivered to any subject of the account
    that somebody listens on literally.
    """
    async with (
        logged_in(attacked, attacked.token("team-b", "web")) as victim,
        logged_in(attacked, await log_in(attacked, "mover")) as client,
    ):
        heard = await victim.listen("team-b.secret")
        config = {"deliver_subject": "team-b.secret", "ack_policy": "none", "name": "c", "inactive_threshold": 10**9}
        request = json.dumps({"stream_name": "ORDERS", "config": config}).encode()

        assert "" == await client.publish("$JS.API.CONSUMER.CREATE.ORDERS.c", request)
        assert b"one" == (await heard.next_msg(timeout=5)).data


async def test_an_answer_of_jetstream_goes_where_its_asker_says(attacked: World, platform: Client) -> None:
    """
    Not stopped yet: the reply subject of a request is not checked, so whoever may pull can have the messages delivered to
    any subject of the account.
    """
    await platform.jetstream().add_consumer("ORDERS", ConsumerConfig(durable_name="worker"))
    async with (
        logged_in(attacked, attacked.token("team-b", "web")) as victim,
        logged_in(attacked, await log_in(attacked, "colleague")) as client,
    ):
        heard = await victim.listen("team-b.>")
        await client.client.publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.worker", b"1", reply="team-b.secret")

        assert b"one" == (await heard.next_msg(timeout=5)).data


async def test_the_consumers_of_a_stream_belong_to_all_who_may_use_it(attacked: World, platform: Client) -> None:
    """
    Not stopped yet: with the entries of a stream a tenant deletes, or changes, what another one made there.
    """
    js = platform.jetstream()
    await js.add_consumer("ORDERS", ConsumerConfig(durable_name="worker"))
    async with logged_in(attacked, await log_in(attacked, "colleague")) as client:
        assert "" == await client.publish("$JS.API.CONSUMER.DELETE.ORDERS.worker")

        with pytest.raises(NotFoundError):
            await js.consumer_info("ORDERS", "worker")


async def test_who_writes_one_key_may_empty_the_bucket(attacked: World, platform: Client) -> None:
    """
    Not stopped: a message with the roll-up header takes the place of all others of the bucket, whatever its key.
    """
    bucket = await platform.jetstream().key_value("CFG")
    await bucket.put("theirs", b"value")
    async with logged_in(attacked, await log_in(attacked, "key-writer")) as client:
        assert "permissions violation for publish" in await _complaint(client, "$KV.CFG.theirs", publish=True)
        await client.client.publish("$KV.CFG.mine", b"", headers={"Nats-Rollup": "all"})
        await client.settle()

        assert [] == client.problems[1:]
    with pytest.raises(KeyNotFoundError):
        await bucket.get("theirs")


async def test_acknowledgements_of_the_second_form_are_for_one_stream(attacked: World, platform: Client) -> None:
    """
    With js_ack_fc_v2 an entry for the stream MINE acknowledges MINE, and nothing of ORDERS in either form.
    """
    js = platform.jetstream()
    mine, theirs = await _pull(js, "MINE"), await _pull(js, "ORDERS")
    assert mine.reply.startswith("$JS.ACK.hub.")
    async with logged_in(attacked, await log_in(attacked, "acknowledger")) as client:
        # The server does not look at the number in which MINE stands here.
        for subject in (theirs.reply, "$JS.ACK.ORDERS.worker.MINE.1.1.0.0", "$JS.ACK.ORDERS.worker.1.1.1.0.0"):
            assert "permissions violation for publish" in await _complaint(client, subject, publish=True)
        assert "" == await client.publish(mine.reply)

    assert await _acknowledged(js, "MINE")
    assert 1 == await _unacknowledged(js, "ORDERS")


async def test_a_stream_named_like_the_domain_is_all_of_it(attacked: World, platform: Client) -> None:
    """
    Not stopped: where js_ack_fc_v2 is on, `$JS.ACK.hub.>` acknowledges for every stream of the domain `hub`. `_` stands
    for no domain, and is no stream.
    """
    js = platform.jetstream()
    theirs = await _pull(js, "ORDERS")
    async with logged_in(attacked, await log_in(attacked, "of-no-domain")) as client:
        assert "permissions violation for publish" in await _complaint(client, "$JS.ACK._.x", publish=True)
    async with logged_in(attacked, await log_in(attacked, "of-the-hub")) as client:
        assert "" == await client.publish(theirs.reply)

    assert await _acknowledged(js, "ORDERS")


async def test_dead_letters_of_one_stream_are_heard(attacked: World, platform: Client) -> None:
    """
    Who may hear the advisories of ORDERS learns which of its messages were given up, and nothing of other streams.
    """
    js = platform.jetstream()
    async with logged_in(attacked, await log_in(attacked, "undertaker")) as client:
        given_up = await client.listen("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.ORDERS.>")
        spent = await client.listen("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ORDERS.>")
        for other in (
            "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.MINE.>",
            "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",
        ):
            assert "permissions violation for subscription" in await _complaint(client, other)
        await (await _pull(js, "ORDERS", max_deliver=1)).nak()
        await js.publish("orders.1", b"two")
        # A message is given up when it would be delivered once more.
        await (await _pull(js, "ORDERS", max_deliver=1)).term()

        assert 1 == json.loads((await spent.next_msg(timeout=5)).data)["stream_seq"]
        assert 2 == json.loads((await given_up.next_msg(timeout=5)).data)["stream_seq"]


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # nats-py's own
async def test_a_service_is_found_and_starts_without_a_violation(attacked: World, platform: Client) -> None:
    """
    With the nine `$SRV` entries of its name a service of nats-py's framework is found in each way that there is.
    """
    async with logged_in(attacked, await log_in(attacked, "service")) as client:
        service = await add_service(client.client, ServiceConfig(name="orders", version="1.0.0"))
        await client.settle()
        found = [
            json.loads((await platform.request(f"$SRV.{verb}{rest}", timeout=5)).data)["id"]
            for verb in ("PING", "INFO", "STATS")
            for rest in ("", ".orders", f".orders.{service.id}")
        ]

        assert [service.id] * 9 == found
        assert [] == client.problems
        await service.stop()


async def test_who_hears_service_discovery_may_answer_for_others(attacked: World, platform: Client) -> None:
    """
    Not stopped: a question to all services reaches everybody who may hear `$SRV.PING`, who may call themselves anything.
    """
    async with logged_in(attacked, await log_in(attacked, "service")) as client:
        heard = await client.listen("$SRV.PING")
        asked: asyncio.Task[Any] = asyncio.create_task(platform.request("$SRV.PING", timeout=5))
        question = await heard.next_msg(timeout=5)

        assert "" == await client.publish(question.reply, b'{"name":"payments"}')
        assert b'{"name":"payments"}' == (await asked).data


async def test_a_last_star_on_the_subscribe_side_is_everything_below(attacked: World, platform: Client) -> None:
    """
    Not stopped: who may subscribe `prices.*` may subscribe `prices.>`, on every nats-server.
    """
    async with logged_in(attacked, await log_in(attacked, "star")) as client:
        heard = await client.listen("prices.>")
        await platform.publish("prices.eu.gold", b"1")

        assert b"1" == (await heard.next_msg(timeout=5)).data
        assert [] == client.problems
