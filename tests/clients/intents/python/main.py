"""Does with nats-py, for many ServiceAccounts at once, what their intents are for; says of each step whether it worked."""
# ruff: noqa: INP001, T201  # a program by itself, which speaks to the test that starts it

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig
from nats.js.client import JetStreamContext
from nats.js.errors import KeyWrongLastSequenceError
from nats.js.kv import KeyValue

Step = Callable[["Job"], Awaitable[None]]
LARGE = 1_200_000  # So much that a server wants its flow control answered.


class Job:
    """One ServiceAccount, and its connection."""

    def __init__(self, name: str, purpose: str, token: str) -> None:
        self.name, self.purpose, self.token = name, purpose, token
        self.nc = Client()

    @property
    def js(self) -> JetStreamContext:
        return self.nc.jetstream(timeout=2)

    async def buckets(self) -> list[KeyValue]:
        return [await self.js.key_value(bucket) for bucket in ("CFG", "OLD")]

    async def run(self) -> None:
        async def complain(error: Exception) -> None:
            print(f"{self.name}\tcomplaint\t{error!r}", flush=True)

        prefix = f"_INBOX_SA.shop.{self.name}"
        self.nc = await nats.connect(os.environ["NATS_URL"], token=self.token, inbox_prefix=prefix, error_cb=complain)
        for step in PURPOSES[self.purpose]:
            what = step.__name__.strip("_").replace("_", " ")
            try:
                async with asyncio.timeout(6):
                    await step(self)
                    await self.nc.flush()
                print(f"{self.name}\tok\t{what}", flush=True)
            except Exception as error:  # noqa: BLE001  # whatever it is, the step did not work
                print(f"{self.name}\tfailed\t{what}: {error!r}", flush=True)
        await self.nc.close()


async def fetch(orders: JetStreamContext.PullSubscription, count: int) -> None:
    for message in await orders.fetch(count, timeout=2):
        await message.ack_sync(timeout=2)
        count -= 1
    assert count == 0


async def pull_durable(job: Job) -> None:
    # Without `stream=`, so that it has to be found.
    await fetch(await job.js.pull_subscribe("orders.*", durable=job.name), 3)


async def pull_ephemeral(job: Job) -> None:
    await fetch(await job.js.pull_subscribe("orders.*", stream="ORDERS"), 3)


async def push(job: Job, durable: str | None) -> None:
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    config = ConsumerConfig(flow_control=True, idle_heartbeat=1)
    orders = await job.js.subscribe(
        "orders.*", durable=durable, stream="ORDERS", cb=heard.put, manual_ack=True, config=config
    )
    for _ in range(3):
        await (await asyncio.wait_for(heard.get(), 2)).ack_sync(timeout=2)
    await orders.unsubscribe()


async def push_durable(job: Job) -> None:
    await push(job, f"{job.name}-push")


async def push_ephemeral(job: Job) -> None:
    await push(job, None)


async def ordered(job: Job) -> None:
    large = await job.js.subscribe("large", stream="LARGE", ordered_consumer=True)
    for _ in range(3):
        await large.next_msg(timeout=2)
    await large.unsubscribe()


async def delete_consumer(job: Job) -> None:
    await job.js.delete_consumer("ORDERS", job.name)


async def bind(job: Job) -> None:
    await fetch(await job.js.pull_subscribe_bind(f"of-{job.name}", "ORDERS"), 1)


async def bound(job: Job) -> None:
    name = f"of-{job.name}"
    consumer = await job.js.consumer_info("LARGE", name)
    pushed = await job.js.subscribe_bind("LARGE", consumer.config, name)
    for _ in range(3):
        await (await pushed.next_msg(timeout=2)).ack_sync(timeout=2)
    await pushed.unsubscribe()


async def info(job: Job) -> None:
    await job.js.consumer_info("ORDERS", f"of-{job.name}")


async def filtered(job: Job) -> None:
    await fetch(await job.js.pull_subscribe("orders.1", durable=f"of-{job.name}", stream="ORDERS"), 1)


async def publish(job: Job) -> None:
    await job.js.publish("events.1", b"an event")


async def get(job: Job) -> None:
    for bucket in await job.buckets():
        assert (await bucket.get("shared")).value == b"2"


async def get_revision(job: Job) -> None:
    for bucket in await job.buckets():
        assert (await bucket.get("shared", revision=1)).value == b"1"


async def status(job: Job) -> None:
    for bucket in await job.buckets():
        await bucket.status()


async def put(job: Job) -> None:
    for bucket in await job.buckets():
        await bucket.put(job.name, b"1")


async def create(job: Job) -> None:
    for bucket in await job.buckets():
        await bucket.create(f"{job.name}.new", b"1")
        try:
            await bucket.create(f"{job.name}.new", b"2")
        except KeyWrongLastSequenceError:
            continue
        raise AssertionError("created what was there")


async def create_again(job: Job) -> None:
    for bucket in await job.buckets():
        await bucket.create(f"{job.name}.again", b"1")
        await bucket.delete(f"{job.name}.again")
        await bucket.create(f"{job.name}.again", b"2")


async def update(job: Job) -> None:
    for bucket in await job.buckets():
        await bucket.update(f"{job.name}.up", b"2", last=await bucket.put(f"{job.name}.up", b"1"))


async def delete(job: Job) -> None:
    for bucket in await job.buckets():
        await bucket.delete(job.name)


async def purge(job: Job) -> None:
    for bucket in await job.buckets():
        await bucket.purge(job.name)


async def watch(job: Job) -> None:
    for bucket in await job.buckets():
        watcher = await bucket.watch("shared")
        assert (await watcher.updates(timeout=2)).value == b"2"  # type: ignore[no-untyped-call]
        await watcher.stop()  # type: ignore[no-untyped-call]


async def watch_much(job: Job) -> None:
    watcher = await (await job.js.key_value("BIG")).watchall()
    for _ in range(3):
        await watcher.updates(timeout=2)  # type: ignore[no-untyped-call]
    await watcher.stop()  # type: ignore[no-untyped-call]


async def keys(job: Job) -> None:
    for bucket in await job.buckets():
        assert "shared" in await bucket.keys()


async def history(job: Job) -> None:
    for bucket in await job.buckets():
        assert [b"1", b"2"] == [one.value for one in await bucket.history("shared")]


async def object_info(job: Job) -> None:
    await (await job.js.object_store("FILES")).get_info("shared")


async def object_get(job: Job) -> None:
    assert (await (await job.js.object_store("FILES")).get("shared")).data == bytes(LARGE)


async def object_list(job: Job) -> None:
    assert "shared" in [one.name for one in await (await job.js.object_store("FILES")).list()]


async def object_status(job: Job) -> None:
    await (await job.js.object_store("FILES")).status()


async def object_put(job: Job) -> None:
    await (await job.js.object_store("FILES")).put(job.name, b"one")


async def object_delete(job: Job) -> None:
    await (await job.js.object_store("FILES")).delete(job.name)


async def stream_info(job: Job) -> None:
    await job.js.stream_info("ORDERS")


async def consumers(job: Job) -> None:
    await job.js.consumers_info("ORDERS")


async def consumer_info(job: Job) -> None:
    await job.js.consumer_info("ORDERS", "of-all")


async def account(job: Job) -> None:
    await job.js.account_info()


async def by_subject(job: Job) -> None:
    assert await job.js.find_stream_name_by_subject("orders.1") == "ORDERS"


READS: list[Step] = [object_info, object_get, object_list, object_status]
PURPOSES: dict[str, list[Step]] = {
    "consume": [account, pull_durable, pull_ephemeral, push_durable, push_ephemeral, ordered, delete_consumer],
    "bind": [bind, info],
    "bind-push": [bound],
    "filtered": [filtered],
    "publish": [publish],
    "kv-read": [get, get_revision, status],
    "kv-write": [get, get_revision, put, create, create_again, update, delete, purge],
    "kv-watch": [watch, watch_much, keys, history],
    "object-read": READS,
    "object-write": [*READS, object_put, object_put, object_delete],
    "stream-info": [stream_info, consumers, consumer_info],
    "lookup": [account, by_subject],
}


async def main(lines: list[str]) -> None:
    jobs = [Job(*line.split("\t")) for line in lines]
    # Not all at once: each may read what is large.
    turns = asyncio.Semaphore(40)

    async def run(job: Job) -> None:
        async with turns:
            await job.run()

    await asyncio.gather(*map(run, jobs))
    print("\tdone\t", flush=True)


asyncio.run(main(Path(os.environ["JOBS_FILE"]).read_text().splitlines()))
