"""JetStream, buckets and object stores by the annotations of docs/CLIENT_USAGE.md and no more, with three libraries."""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, KeyValueConfig, StreamConfig

from tests.clients import builds
from tests.clients.test_usage import annotations
from tests.clients.workloads import NAMESPACE, TokenFolder, Workload
from tests.clients.world import plan, stranger
from tests.e2e.plans import Plan
from tests.e2e.worlds import BINARIES, PUBLISH, World, world_of
from tests.fakes.nats_world import until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

_READ = ["get", "watch", "keys", "history", "status"]
DOES: Mapping[str, Sequence[str]] = {
    "packer": ["pull", "bind"],
    "replayer": ["ordered"],
    "listener": ["push durable", "push"],
    "reader": _READ,
    "writer": [*_READ, "put", "create", "update", "delete", "purge", "purge deletes"],
    "archivist": ["put", "overwrite", "get", "list", "delete"],
}
"""What each ServiceAccount of the page is for."""
MODERN = {"modern-packer": "packer", "modern-archivist": "archivist"}
FOUND = [f"{verb}{rest}" for verb in ("PING", "INFO", "STATS") for rest in ("", ".orders", ".orders.{id}")]

_missing: dict[str, str] = {}


def second_form(folder: Path) -> Plan:
    """The same server with acknowledgements of the second form."""
    first = plan(folder)
    return replace(first, texts=[f"{first.texts[0]}feature_flags {{ js_ack_fc_v2: true }}\n"])


@pytest.fixture(scope="module")
def ran() -> Iterator[Mapping[tuple[str, str], Workload]]:
    """By ServiceAccount and language, the programs that ended, all run side by side."""
    commands: dict[str, list[str]] = {}
    for language in builds.JETSTREAM_LANGUAGES:
        try:
            commands[language] = builds.command(language, folder=builds.JETSTREAM)
        except builds.NoToolchain as lacking:
            _missing[language] = str(lacking)
    with contextlib.ExitStack() as stack:
        done: dict[tuple[str, str], Workload] = {}
        for setting, purposes in ((plan, {one: one for one in (*DOES, "finder")}), (second_form, MODERN)):
            world = stack.enter_context(world_of(setting, str(BINARIES["2.15"]() or "")))
            done |= asyncio.run(_run(world, commands, purposes))
        yield done


async def _run(
    world: World, commands: Mapping[str, Sequence[str]], purposes: Mapping[str, str]
) -> dict[tuple[str, str], Workload]:
    """Run each command as each ServiceAccount of the page, for the purpose that stands beside it, to its end."""
    programs = {
        (account, language): command
        for account in purposes
        for language, command in commands.items()
        if account != "finder" or language == "go"
    }
    for account, language in programs:
        world.accounts.write(NAMESPACE, f"{account}-{language}", _annotations(account), uid="uid")
    world.start_responder(SESSION_MAX_SECONDS="600")
    platform = await stranger(world, "observer")
    try:
        await _make_streams(platform, commands)
        return await _to_their_end(world, platform, programs, purposes)
    finally:
        await platform.close()


async def _to_their_end(
    world: World,
    platform: Client,
    programs: Mapping[tuple[str, str], Sequence[str]],
    purposes: Mapping[str, str],
) -> dict[tuple[str, str], Workload]:
    with contextlib.ExitStack() as stack:
        done: dict[tuple[str, str], Workload] = {}
        for (account, language), command in programs.items():
            name = f"{account}-{language}"
            tokens = TokenFolder(world.folder / "tokens" / name)
            tokens.write(world.token(NAMESPACE, name, uid="uid"))
            more = {"PURPOSE": purposes[account], "INBOX_PREFIX": f"_INBOX_SA.{NAMESPACE}.{name}"}
            workload = Workload(name, command, world.client_url, tokens, more)
            done[account, language] = stack.enter_context(workload)
        if finder := done.get(("finder", "go")):
            await until(lambda: "ok service\n" in finder.log() or not finder.running, 20, "a service")
            await _find(platform, finder)
        ending = [workload for (account, _), workload in done.items() if account != "finder"]
        await until(lambda: not any(workload.running for workload in ending), 60, "all clients")
        return done


def _annotations(account: str) -> dict[str, str]:
    if account != "modern-archivist":
        return annotations(account)
    return {PUBLISH: f"{annotations('archivist')[PUBLISH]},$JS.FC.*.*.OBJ_FILES.>"}


async def _make_streams(platform: Client, languages: Mapping[str, Sequence[str]]) -> None:
    js = platform.jetstream()
    await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders.*"]))
    for number in range(3):
        await js.publish(f"orders.{number}", b"an order")
    for language in languages:
        await js.add_consumer("ORDERS", ConsumerConfig(durable_name=f"of-{language}", ack_policy=AckPolicy.EXPLICIT))
    bucket = await js.create_key_value(KeyValueConfig(bucket="CFG", history=5, direct=True))
    for value in (b"1", b"2"):
        await bucket.put("shared", value)
    await js.create_object_store("FILES")


async def _find(platform: Client, finder: Workload) -> None:
    """Ask for the service in each way that there is, and write what answered into its log."""
    named = finder.log().partition("id ")[2].split()[0]
    for question in FOUND:
        answer = await platform.request(f"$SRV.{question.replace('{id}', named)}", timeout=5)
        assert named == json.loads(answer.data)["id"]
        with finder.log_file.open("a") as log:
            log.write(f"found {question}\n")


def _lines(ran: Mapping[tuple[str, str], Workload], account: str, language: str) -> list[str]:
    if language in _missing:
        pytest.skip(_missing[language])
    return ran[account, language].log().splitlines()


@pytest.mark.parametrize(
    ("account", "language"),
    [
        (account, language)
        for account in (*DOES, *MODERN)
        for language in builds.JETSTREAM_LANGUAGES
        if (account, language) != ("modern-archivist", "python")
    ],
)
def test_the_annotations_of_the_page_are_all_that_a_client_needs(
    ran: Mapping[tuple[str, str], Workload], account: str, language: str
) -> None:
    """
    With the entries that the page prints each library does all that they are for, without one permissions violation, also
    on a server whose acknowledgements and flow control have the second form.
    """
    lines = _lines(ran, account, language)

    assert set(DOES[account.removeprefix("modern-")]) <= {line[3:] for line in lines if line.startswith("ok ")}, lines
    assert [] == [line for line in lines if not line.startswith(("ok ", "done"))]
    assert "done" in lines


def test_nats_py_does_not_order_messages_by_the_second_form(ran: Mapping[tuple[str, str], Workload]) -> None:
    """
    Not ours, and the page says so: nats-py reads the number of a message in the wrong place. When this fails, it is mended.
    """
    lines = _lines(ran, "modern-archivist", "python")

    assert ["ok put", "ok overwrite"] == [line for line in lines if line.startswith("ok ")]
    assert "done" not in lines


def test_a_service_of_nats_go_is_found(ran: Mapping[tuple[str, str], Workload]) -> None:
    """
    With the nine entries of the page a service starts without a violation, and is found in each way that there is.
    """
    lines = _lines(ran, "finder", "go")

    assert FOUND == [line.removeprefix("found ") for line in lines if line.startswith("found ")]
    assert [] == [line for line in lines if not line.startswith(("ok ", "id ", "found "))]
