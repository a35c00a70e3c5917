"""Does with the nats CLI, for many ServiceAccounts at once, what their intents are for; says of each step whether it worked."""
# ruff: noqa: INP001, T201  # a program by itself, which speaks to the test that starts it

import asyncio
import os
from pathlib import Path

STEPS: dict[str, dict[str, str]] = {
    "consume": {
        "account": "account info",
        "add": "consumer add ORDERS {me} --pull --defaults",
        "next": "consumer next ORDERS {me} --count=3 --ack",
        "info": "consumer info ORDERS {me}",
        "delete consumer": "consumer rm ORDERS {me} --force",
    },
    "bind": {"bind": "consumer next ORDERS of-{me} --ack", "info": "consumer info ORDERS of-{me}"},
    "bind-push": {},
    # It looks at the stream before it makes a consumer, so it wants more.
    "filtered": {},
    "publish": {"publish": "pub --jetstream events.1 event"},
    "kv-read": {
        "get": "kv get CFG shared",
        "get old": "kv get OLD shared",
        "get revision": "kv get CFG shared --revision=1",
    },
    "kv-write": {
        "put": "kv put CFG {me} 1",
        "get": "kv get CFG {me}",
        "create": "kv create CFG {me}.new 1",
        "delete": "kv del CFG {me} --force",
        "purge": "kv purge CFG {me} --force",
    },
    "kv-watch": {"keys": "kv ls CFG", "history": "kv history CFG shared"},
    "object-read": {
        "object get": "object get FILES shared --output=/dev/null --force --no-progress",
        "object list": "object ls FILES",
        "object info": "object info FILES shared",
        "object status": "object info FILES",
    },
    "object-write": {
        "object put": "object put FILES {file} --name={me} --force --no-progress",
        "object get": "object get FILES {me} --output=/dev/null --force --no-progress",
        "object delete": "object del FILES {me} --force",
    },
    "stream-info": {
        "stream info": "stream info ORDERS",
        "consumers": "consumer ls ORDERS",
        "consumer info": "consumer info ORDERS of-all",
    },
    "lookup": {"account": "account info"},
}


async def run(name: str, purpose: str, token: str) -> None:
    environment = {**os.environ, "NATS_TOKEN": token}
    options = ["--timeout=2s", f"--inbox-prefix=_INBOX_SA.shop.{name}"]
    for what, command in STEPS[purpose].items():
        words = command.format(me=name, file=__file__).split()
        process = await asyncio.create_subprocess_exec(
            os.environ["NATS_CLI"],
            *(*options, *words),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(10):
                printed, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            printed, _ = await process.communicate()
        # `account info` asks for more than JetStream's part, and does without.
        refused = b"ermissions Violation" in printed.replace(b'Violation for Publish to "$SYS.REQ.USER.INFO"', b"")
        if refused or process.returncode != 0:
            print(f"{name}\tfailed\t{what}: {printed[-300:]!r}", flush=True)
        else:
            print(f"{name}\tok\t{what}", flush=True)


async def main(lines: list[str]) -> None:
    jobs = [line.split("\t") for line in lines]
    turns = asyncio.Semaphore(4)

    async def in_turn(job: list[str]) -> None:
        async with turns:
            await run(*job)

    await asyncio.gather(*map(in_turn, jobs))
    print("\tdone\t", flush=True)


asyncio.run(main(Path(os.environ["JOBS_FILE"]).read_text().splitlines()))
