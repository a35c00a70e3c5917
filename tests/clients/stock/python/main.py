"""Connections of nats-py as it comes: they listen, and say when what happened. CONNECTIONS more than one: all unnamed."""
# ruff: noqa: INP001, T201  # a program by itself, which speaks to the test that starts it

import asyncio
import contextlib
import os
import time
from pathlib import Path

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

ME, COUNT = os.environ["SERVICE_ACCOUNT"], int(os.environ.get("CONNECTIONS", "1"))


def say(number: int, what: str) -> None:
    print(f"{time.time():.3f} {number} {what}", flush=True)


def token() -> str:
    return Path(os.environ["TOKEN_FILE"]).read_text().strip()


async def connect(number: int) -> Client:
    async def lost() -> None:
        say(number, "disconnected")

    async def back() -> None:
        say(number, "reconnected")

    async def closed() -> None:
        say(number, "closed")

    async def error(complaint: Exception) -> None:
        say(number, f"error {complaint!r}")

    async def heard(message: Msg) -> None:
        say(number, f"core {message.data.decode()}")

    client = await nats.connect(
        os.environ["NATS_URL"],
        token=token,
        disconnected_cb=lost,
        reconnected_cb=back,
        closed_cb=closed,
        error_cb=error,
    )
    await client.subscribe("shop.core", cb=heard)
    await client.flush()
    say(number, "connected")
    return client


async def pull(client: Client) -> None:
    orders = await client.jetstream().pull_subscribe_bind(f"of-{ME}", "STOCK")
    while not client.is_closed:
        # It is for the caller to ask again.
        with contextlib.suppress(nats.errors.Error):
            for message in await orders.fetch(10, timeout=1):
                await message.ack()
                say(0, f"js {message.data.decode()}")
        await asyncio.sleep(0.01)


async def main() -> None:
    clients = [await connect(number) for number in range(COUNT)]
    if COUNT == 1:
        await pull(clients[0])
    await asyncio.Event().wait()


asyncio.run(main())
