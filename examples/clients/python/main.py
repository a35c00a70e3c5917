"""A pod that counts aloud and answers an echo, whatever becomes of its sessions.

Environment: NAMESPACE, SERVICE_ACCOUNT, NATS_URL, TOKEN_FILE. Python 3.11 or later, nats-py, and client.py
beside it, which needs nothing else.
"""

import asyncio
import os
import signal

import nats.errors
from client import Connection, NotConnected, connect
from nats.aio.msg import Msg

NAMESPACE, SERVICE_ACCOUNT = os.environ["NAMESPACE"], os.environ["SERVICE_ACCOUNT"]
NATS_URL = os.environ.get("NATS_URL", "nats://nats.nats-system.svc.cluster.local:4222")
TOKEN_FILE = os.environ.get("TOKEN_FILE", "/var/run/secrets/nats/token")
NUMBERS, ECHO = f"{NAMESPACE}.numbers.{SERVICE_ACCOUNT}", f"{NAMESPACE}.echo.{SERVICE_ACCOUNT}"


async def main() -> None:
    # Waits for the first session, comes back after every other one, and at the end answers what has arrived.
    async with connect(NATS_URL, namespace=NAMESPACE, service_account=SERVICE_ACCOUNT, token_file=TOKEN_FILE) as nc:
        await nc.subscribe(ECHO, cb=echo)
        await count(nc)


async def echo(message: Msg) -> None:
    await message.respond(message.data)


async def count(nc: Connection) -> None:
    number = 0
    try:
        while True:
            number += 1
            # Without a session it waits for one, here as long as it takes.
            await nc.publish(NUMBERS, b"%d" % number, timeout=None)
            if number % 10 == 0:
                try:
                    print("echo", (await nc.request(ECHO, b"%d" % number, timeout=1)).data.decode(), flush=True)
                except (NotConnected, nats.errors.Error) as error:
                    print(f"no echo: {error!r}", flush=True)
            await asyncio.sleep(0.1)
    finally:
        print("bye", number, flush=True)


async def until_told_to_stop() -> None:
    work = asyncio.create_task(main())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    # Not `await work`: its end by a cancellation is what we asked for.
    await asyncio.wait([work])
    if not work.cancelled():
        work.result()


asyncio.run(until_told_to_stop())
