"""One purpose of JetStream after another with nats-py, as the ServiceAccount of a recipe; says what worked."""
# ruff: noqa: INP001, T201  # a program by itself, which speaks to the test that starts it

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js.api import ConsumerConfig
from nats.js.errors import KeyWrongLastSequenceError, NotFoundError

ME = "python"
TOKEN = Path(os.environ["TOKEN_FILE"]).read_text()
PAYLOAD = bytes(1_200_000)  # So much that a server wants its flow control answered.


async def pull(nc: Client) -> None:
    orders = await nc.jetstream().pull_subscribe("", durable=ME, stream="ORDERS")
    for message in await orders.fetch(3, timeout=5):
        await message.ack_sync(timeout=5)
    await tell("pull", nc)
    bound = await nc.jetstream().pull_subscribe_bind(f"of-{ME}", "ORDERS")
    (message,) = await bound.fetch(1, timeout=5)
    await message.ack_sync(timeout=5)
    await tell("bind", nc)


async def ordered(nc: Client) -> None:
    orders = await nc.jetstream().subscribe("orders.*", stream="ORDERS", ordered_consumer=True)
    for _ in range(3):
        await orders.next_msg(timeout=5)
    await orders.unsubscribe()
    await tell("ordered", nc)


async def push(nc: Client) -> None:
    for durable in (f"{ME}-push", None):
        heard: asyncio.Queue[Msg] = asyncio.Queue()
        orders = await nc.jetstream().subscribe(
            "orders.*",
            durable=durable,
            stream="ORDERS",
            cb=heard.put,
            manual_ack=True,
            config=ConsumerConfig(flow_control=True, idle_heartbeat=5),
        )
        for _ in range(3):
            await (await asyncio.wait_for(heard.get(), 5)).ack_sync(timeout=5)
        await orders.unsubscribe()
        await tell("push durable" if durable else "push", nc)


async def read(nc: Client) -> None:
    bucket = await nc.jetstream().key_value("CFG")
    entry = await bucket.get("shared")
    assert (await bucket.get("shared", revision=entry.revision)).value == b"2"
    await tell("get", nc)
    watcher = await bucket.watch("shared")
    assert (await watcher.updates(timeout=5)).value == b"2"  # type: ignore[no-untyped-call]
    await watcher.stop()  # type: ignore[no-untyped-call]
    await tell("watch", nc)
    assert "shared" in await bucket.keys()
    await tell("keys", nc)
    assert [b"1", b"2"] == [one.value for one in await bucket.history("shared")]
    await tell("history", nc)
    await bucket.status()
    await tell("status", nc)


async def write(nc: Client) -> None:
    await read(nc)
    bucket = await nc.jetstream().key_value("CFG")
    await bucket.put(ME, b"1")
    await tell("put", nc)
    with contextlib.suppress(KeyWrongLastSequenceError):
        await bucket.create(ME, b"2")
        raise AssertionError("created what was there")
    revision = await bucket.create(f"{ME}.new", b"1")
    await tell("create", nc)
    await bucket.update(f"{ME}.new", b"2", last=revision)
    await tell("update", nc)
    await bucket.delete(ME)
    await tell("delete", nc)
    await bucket.purge(f"{ME}.new")
    await tell("purge", nc)
    await bucket.purge_deletes()
    await tell("purge deletes", nc)


async def objects(nc: Client) -> None:
    files = await nc.jetstream().object_store("FILES")
    await files.put(ME, PAYLOAD)
    await tell("put", nc)
    await files.put(ME, PAYLOAD)
    await tell("overwrite", nc)
    async with asyncio.timeout(10):
        assert (await files.get(ME)).data == PAYLOAD
    await tell("get", nc)
    assert ME in [one.name for one in await files.list()]
    await tell("list", nc)
    await files.delete(ME)
    await tell("delete", nc)


PURPOSES: dict[str, Callable[[Client], Awaitable[None]]] = {
    "packer": pull, "replayer": ordered, "listener": push, "reader": read, "writer": write, "archivist": objects,
}  # fmt: skip


async def tell(what: str, nc: Client) -> None:
    await nc.flush()
    print("ok", what, flush=True)


async def complain(error: Exception) -> None:
    print("complaint:", error, flush=True)


async def main() -> None:
    nc = await nats.connect(
        os.environ["NATS_URL"],
        token=TOKEN,
        inbox_prefix=os.environ["INBOX_PREFIX"],
        error_cb=complain,
    )
    try:
        async with asyncio.timeout(20):
            await PURPOSES[os.environ["PURPOSE"]](nc)
        print("done", flush=True)
    except (Error, NotFoundError, AssertionError, TimeoutError) as error:
        print("failed:", repr(error), flush=True)
        sys.exit(1)
    finally:
        await nc.close()


asyncio.run(main())
