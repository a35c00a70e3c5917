"""What clients do with an intent, each as a ServiceAccount of its own: one process of each client for all of them.

A job is a ServiceAccount, what it does (its purpose), and with which rights. The programs in intents/ do their jobs side
by side and say of each step whether it worked.
"""

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, KeyValueConfig, StreamConfig

from nats_k8s_oidc_callout.core.grants import intents
from nats_k8s_oidc_callout.core.grants.intents import Intent
from tests.clients import builds
from tests.clients.workloads import NAMESPACE
from tests.clients.world import plan, stranger
from tests.e2e.plans import Plan
from tests.e2e.worlds import BINARIES, PUBLISH, World, world_of
from tools import build

LANGUAGES = (*builds.LANGUAGES, "cli")
LARGE = 1_200_000  # So much that a server wants its flow control answered.
PURPOSES: Mapping[str, Sequence[str]] = {
    "consume": ["consume:ORDERS", "consume:LARGE"],
    "bind": ["consume:ORDERS/of-{me}"],
    "bind-push": ["consume:LARGE/of-{me}"],
    "filtered": ["consume:ORDERS/of-{me}/orders.1"],
    "publish": ["publish:events.>"],
    "kv-read": ["kv-read:CFG", "kv-read:OLD"],
    "kv-write": ["kv-write:CFG", "kv-write:OLD"],
    "kv-watch": ["kv-watch:CFG", "kv-watch:OLD", "kv-watch:BIG"],
    "object-read": ["object-read:FILES"],
    "object-write": ["object-write:FILES"],
    "stream-info": ["stream-info:ORDERS"],
    "lookup": ["lookup"],
}
"""What each does, by the intents that it has for it. OLD is a bucket without direct reads."""


@dataclass
class Job:
    """One ServiceAccount; `dropped` is the number of the entry that it lacks of each intent, from 0."""

    purpose: str
    language: str
    dropped: int | None = None
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Steps that did not work, and complaints of the library."""

    @property
    def name(self) -> str:
        return "-".join([self.purpose, self.language, *([] if self.dropped is None else [str(self.dropped)])])

    @property
    def intents(self) -> list[str]:
        return [text.format(me=self.name) for text in PURPOSES[self.purpose]]

    @property
    def annotations(self) -> dict[str, str]:
        """Return the intents, or what they come to but for one entry."""
        if self.dropped is None:
            return {"nats.io/jetstream": ",".join(self.intents)}
        kept = [entry for one in self.intents for n, entry in enumerate(entries(one)) if n != self.dropped]
        return {PUBLISH: ",".join(kept)}


def entries(text: str) -> tuple[str, ...]:
    """Return what an intent comes to."""
    intent = intents.parse(text)
    assert isinstance(intent, Intent), intent
    return intents.entries(intent)


def jobs(languages: Sequence[str], minimal: Sequence[str]) -> list[Job]:
    """Return all that these clients do, and for those of `minimal` the same without each entry in turn."""
    whole = [Job(purpose, language) for language in languages for purpose in PURPOSES]
    return whole + [
        replace(job, dropped=n, done=[], failed=[])
        for job in whole
        if job.language in minimal
        for n in range(len(entries(job.intents[0])))
    ]


def commands(languages: Sequence[str]) -> dict[str, list[str] | str]:
    """Return what starts the program of each, or why there is none."""
    found: dict[str, list[str] | str] = {}
    for language in languages:
        if language == "cli":
            found[language] = [sys.executable, str(builds.INTENTS / "cli" / "main.py")]
            continue
        try:
            found[language] = builds.command(language, folder=builds.INTENTS)
        except builds.NoToolchain as lacking:
            found[language] = str(lacking)
    return found


def roomy(folder: Path) -> Plan:
    """Return the usual plan, with room for what is large, and time for many logins at once."""
    usual = plan(folder)
    text = usual.texts[0].replace("max_file: 10M", "max_file: 1G").replace("timeout: 1.5", "timeout: 15")
    assert text.count("1G") + text.count("timeout: 15") == 2
    return replace(usual, texts=[text])


@contextlib.contextmanager
def intent_world(version: str) -> Iterator[World]:
    """Run a server of this version."""
    with world_of(roomy, str(BINARIES[version]() or "")) as world:
        yield world


async def run(world: World, todo: Sequence[Job]) -> None:
    """Do all these jobs, with a responder that knows them, and write down in each what came of it."""
    observer = await stranger(world, "observer")
    try:
        await _make_streams(observer, todo)
        for job in todo:
            world.accounts.write(NAMESPACE, job.name, job.annotations, uid="uid")
        world.start_responder(SESSION_MAX_SECONDS="600")
        programs = commands(sorted({job.language for job in todo}))
        await asyncio.gather(*(_program(world, command, todo, one) for one, command in programs.items()))
    finally:
        await observer.close()


async def _make_streams(observer: Client, todo: Sequence[Job]) -> None:
    js = observer.jetstream()
    for name, subjects in (
        ("ORDERS", ["orders.*"]),
        ("LARGE", ["large"]),
        ("EVENTS", ["events.*"]),
        ("OTHER", ["other"]),
    ):
        await js.add_stream(StreamConfig(name=name, subjects=subjects))
    for number in range(3):
        await js.publish(f"orders.{number}", b"an order")
        await js.publish("large", bytes(LARGE // 2))
    for name in ["all", *(job.name for job in todo if job.purpose == "bind")]:
        consumer = ConsumerConfig(durable_name=f"of-{name}", ack_policy=AckPolicy.EXPLICIT)
        await js.add_consumer("ORDERS", consumer)
    for name in (job.name for job in todo if job.purpose == "bind-push"):
        inbox = f"_INBOX_SA.{NAMESPACE}.{name}.pushed"
        consumer = ConsumerConfig(
            name=f"of-{name}", durable_name=f"of-{name}", deliver_subject=inbox, flow_control=True, idle_heartbeat=1
        )
        await js.add_consumer("LARGE", consumer)
    for bucket, direct in (("CFG", True), ("OLD", False), ("BIG", True), ("ELSE", True)):
        values = await js.create_key_value(KeyValueConfig(bucket=bucket, history=5, direct=direct))
        for value in (b"1", b"2"):
            await values.put("shared", value)
        for number in range(3 if bucket == "BIG" else 0):
            await values.put(f"large.{number}", bytes(LARGE // 2))
    for store in ("FILES", "OTHERS"):
        await (await js.create_object_store(store)).put("shared", bytes(LARGE))


async def _program(world: World, command: list[str] | str, todo: Sequence[Job], language: str) -> None:
    mine = {job.name: job for job in todo if job.language == language}
    if isinstance(command, str):
        for job in mine.values():
            job.failed.append(command)
        return
    listed = world.folder / f"jobs-{language}"
    lines = [f"{job.name}\t{job.purpose}\t{world.token(NAMESPACE, job.name, uid='uid')}\n" for job in mine.values()]
    listed.write_text("".join(lines))
    environment = {"NATS_URL": world.client_url, "JOBS_FILE": str(listed), "NATS_CLI": str(build.path("nats") or "")}
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": "/usr/bin:/bin", "HOME": str(world.folder), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(120):
            printed, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        printed, _ = await process.communicate()
    for line in printed.decode(errors="replace").splitlines():
        name, outcome, what = [*line.split("\t", 2), "", ""][:3]
        if name in mine and outcome in ("ok", "failed", "complaint"):
            (mine[name].done if outcome == "ok" else mine[name].failed).append(what)
        elif outcome != "done":
            sys.stderr.write(f"{language}: {line}\n")


def main() -> int:
    """Run all of it, with one version, and print what each entry is needed for: `… 2.15 [LANGUAGE …]`."""
    version, *languages = sys.argv[1:]
    todo = jobs(languages or LANGUAGES, languages or LANGUAGES)
    with intent_world(version) as world:
        asyncio.run(run(world, todo))
    for job in todo:
        without = "" if job.dropped is None else f" without {entries(job.intents[0])[job.dropped]}"
        sys.stdout.write(f"{job.name}{without}: ok {job.done}, not {[what[:90] for what in job.failed]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
