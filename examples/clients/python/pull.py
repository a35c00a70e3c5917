"""A pod that works through the stream ORDERS, whatever becomes of its sessions. Environment: as main.py."""

import asyncio
import os

import nats.errors
from client import Connection, NotConnected, connect
from nats.aio.msg import Msg


async def main() -> None:
    async with connect(
        os.environ["NATS_URL"],
        namespace=os.environ["NAMESPACE"],
        service_account=os.environ["SERVICE_ACCOUNT"],
        token_file=os.environ["TOKEN_FILE"],
    ) as nc:
        await pull(nc)


async def pull(nc: Connection) -> None:
    while True:
        try:
            orders = await (await nc.jetstream()).pull_subscribe("", durable="packer", stream="ORDERS")
            while True:
                for message in await orders.fetch(10, timeout=30):
                    await handle(message)
                    await message.ack()
        except nats.errors.TimeoutError:
            continue  # nothing came for 30 s
        except (nats.errors.Error, NotConnected) as ended:
            print(f"the session ended: {ended}", flush=True)
            await asyncio.sleep(0.1)


async def handle(message: Msg) -> None:
    print("order", message.data.decode(), flush=True)


asyncio.run(main())
