"""docs/JETSTREAM_INTENTS.md on real servers: what an intent is for works, what it is not for is refused, nothing is spare."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import nats
import pytest
from nats.aio.client import Client

from tests.clients.intent_jobs import LANGUAGES, PURPOSES, Job, commands, entries, intent_world, jobs, run
from tests.clients.workloads import NAMESPACE
from tests.clients.world import stranger
from tests.e2e.worlds import World
from tests.fakes.nats_world import settled, until

pytestmark = [pytest.mark.slow, pytest.mark.go, pytest.mark.e2e]

MINIMAL = ("python", "go")
"""By these two each run proves that no entry is spare; the page has a table of all six."""
OTHERS = {"ORDERS": "OTHER", "LARGE": "OTHER", "CFG": "ELSE", "OLD": "ELSE", "BIG": "ELSE", "FILES": "OTHERS"}
"""A stream, bucket or store beside each that is used."""
WITHHELD = [
    *(f"STREAM.{verb}.{{}}" for verb in ("CREATE", "UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE", "MSG.DELETE")),
    *(f"CONSUMER.{verb}.{{}}.c" for verb in ("PAUSE", "UNPIN", "RESET", "LEADER.STEPDOWN")),
    "STREAM.LIST",
]
_CHECK = "nats.js, whose manager looks first whether there is JetStream"
SPARE: Mapping[tuple[str, str], str] = {
    ("bind", "$JS.FC.ORDERS.of-ME.>"): "bind-push",
    ("filtered", "$JS.FC.ORDERS.of-ME.>"): "bind-push",
    ("bind-push", "$JS.API.CONSUMER.MSG.NEXT.LARGE.of-ME"): "bind",
    **{(verb, "$JS.API.INFO"): _CHECK for verb in ("kv-read", "kv-write", "kv-watch", "object-read", "object-write")},
    **{(verb, "$JS.API.CONSUMER.INFO.OBJ_FILES.*"): "jnats, to list" for verb in ("object-read", "object-write")},
}
"""Entries that neither of MINIMAL needs, and who does."""


@dataclass
class Ran:
    """A world in which all jobs were done, and what came of them."""

    world: World
    jobs: Mapping[str, Job]


@pytest.fixture(scope="module", params=["2.11", "2.15"])
def ran(request: pytest.FixtureRequest) -> Iterator[Ran]:
    """On each version all jobs of all clients, and on one those that lack an entry."""
    todo = jobs(LANGUAGES, MINIMAL if request.param == "2.15" else ())
    with intent_world(request.param) as world:
        asyncio.run(run(world, todo))
        yield Ran(world, {job.name: job for job in todo})


@pytest.fixture
async def platform(ran: Ran) -> AsyncIterator[Client]:
    client = await stranger(ran.world, "observer")
    yield client
    await client.close()


class Workload:
    """A connection of the ServiceAccount of one job, and what the server refused it."""

    def __init__(self, world: World, purpose: str) -> None:
        self.name = f"{purpose}-python"
        self._world = world
        self._refused: list[str] = []

    async def __aenter__(self) -> Self:
        async def complain(error: Exception) -> None:
            self._refused.append(str(error))

        token = self._world.token(NAMESPACE, self.name, uid="uid")
        prefix = f"_INBOX_SA.{NAMESPACE}.{self.name}"
        self.nc = await nats.connect(self._world.client_url, token=token, inbox_prefix=prefix, error_cb=complain)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.nc.close()

    async def refused(self, *subjects: str) -> list[str]:
        """Return those of these subjects that it may not publish."""
        for subject in subjects:
            await self.nc.publish(subject, b"")
        await self.nc.flush()

        def found() -> list[str]:
            return [one for one in subjects if any(f'publish to "{one.lower()}"' in error for error in self._refused)]

        with contextlib.suppress(AssertionError):
            await until(lambda: len(found()) == len(subjects), 5, "refusals")
        return found()

    async def asked(self, subject: str, body: str) -> str:
        return (await self.nc.request(subject, body.encode(), timeout=5)).data.decode()


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_intent_is_all_that_a_client_needs(ran: Ran, language: str, purpose: str) -> None:
    """
    With the annotation alone every client does all that the intent is for, without one permissions violation.
    """
    if isinstance(lacking := commands([language])[language], str):
        pytest.skip(lacking)
    job = ran.jobs[f"{purpose}-{language}"]

    assert [] == job.failed
    assert job.done or (language, purpose) in {("cli", "bind-push"), ("cli", "filtered")}


def beside(purpose: str, me: str) -> list[str]:
    """Return what an intent comes to for another stream, bucket, store or consumer; as subjects without wildcards."""
    found = []
    for text in PURPOSES[purpose]:
        for entry in entries(text.format(me=me)):
            for name, other in OTHERS.items():
                moved = entry.replace(name, other)
                found += [moved] if moved != entry else []
            found += [entry.replace(f"of-{me}", "of-all")] if f"of-{me}" in entry else []
    return [subject.replace("*", "x").replace(">", "x") for subject in dict.fromkeys(found)]


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_nothing_else_is_granted(ran: Ran, purpose: str) -> None:
    """
    Whoever has an intent may neither create, change, list nor delete a stream, nor do with another stream, bucket, store or
    consumer what it may do with its own.
    """
    stream = "KV_CFG" if purpose.startswith("kv-") else "OBJ_FILES" if purpose.startswith("object-") else "ORDERS"
    withheld = [f"$JS.API.{one.format(stream)}" for one in WITHHELD]
    if purpose == "object-write":
        withheld.remove("$JS.API.STREAM.PURGE.OBJ_FILES")
    async with Workload(ran.world, purpose) as workload:
        foreign = [*withheld, *beside(purpose, workload.name), "other", "$KV.ELSE.x", "$O.OTHERS.x", "$JS.hub.API.INFO"]

        assert foreign == await workload.refused(*foreign)


async def test_a_consumer_with_a_filter_has_that_filter(ran: Ran) -> None:
    """
    The server takes no other filter for it than the one in the subject: not in the body, not several, and not none.
    """
    async with Workload(ran.world, "filtered") as workload:
        name = f"of-{workload.name}"
        create = f"$JS.API.CONSUMER.CREATE.ORDERS.{name}"

        def body(more: str) -> str:
            return f'{{"stream_name":"ORDERS","config":{{"name":"{name}","durable_name":"{name}",{more}}}}}'

        assert '"err_code":10131' in await workload.asked(f"{create}.orders.1", body('"filter_subject":"orders.2"'))
        several = '"filter_subject":"orders.1","filter_subjects":["orders.1","orders.2"]'
        assert '"err_code":101' in await workload.asked(f"{create}.orders.1", body(several))
        foreign = [create, f"{create}.orders.2", f"{create}.orders.1.x", "$JS.API.CONSUMER.CREATE.ORDERS"]
        assert foreign == await workload.refused(*foreign)


@pytest.mark.parametrize("ran", ["2.15"], indirect=True)
def test_no_entry_is_spare(ran: Ran) -> None:
    """
    Without any one entry some client fails at what the intent is for, or is told of a violation.
    """
    without = [job for job in ran.jobs.values() if job.dropped is not None]
    assert without
    needed = {(job.purpose, job.dropped) for job in without if job.failed}
    spare = {(job.purpose, job.dropped or 0) for job in without} - needed

    assert set(SPARE) == {(purpose, entries(PURPOSES[purpose][0].format(me="ME"))[number]) for purpose, number in spare}


# What follows is not ours: NATS checks subjects, not what stands in a request. When one of these fails, a server has closed
# something, and docs/JETSTREAM_INTENTS.md says too much.


async def test_excess_another_consumer_may_be_changed(ran: Ran) -> None:
    """
    With consume:ORDERS a workload changes, and settles messages for, what another made.
    """
    async with Workload(ran.world, "consume") as workload:
        config = '{"durable_name":"of-all","name":"of-all","ack_policy":"explicit","description":"mine now"}'
        subject = "$JS.API.CONSUMER.CREATE.ORDERS.of-all"
        answer = await workload.asked(subject, f'{{"stream_name":"ORDERS","config":{config}}}')

    assert '"description":"mine now"' in answer


async def test_excess_foreign_messages_are_acknowledged(ran: Ran, platform: Client) -> None:
    """
    Whoever may acknowledge for a stream may do so for every consumer of it.
    """
    theirs = await platform.jetstream().pull_subscribe_bind("of-all", "ORDERS")
    (message,) = await theirs.fetch(1, timeout=5)
    async with Workload(ran.world, "consume") as workload:
        await workload.nc.publish(message.reply, b"+TERM")
        await settled(workload.nc)
    info = await platform.jetstream().consumer_info("ORDERS", "of-all")

    assert 0 == info.num_ack_pending


@pytest.mark.parametrize("purpose", ["consume", "filtered"])
async def test_excess_messages_are_delivered_to_others(ran: Ran, platform: Client, purpose: str) -> None:
    """
    A consumer may deliver to a subject that its maker can neither publish nor subscribe, if somebody listens just there.
    """
    heard = await platform.subscribe(f"victim.{purpose}")
    async with Workload(ran.world, purpose) as workload:
        name = f"of-{workload.name}"
        await platform.jetstream().delete_consumer("ORDERS", name) if purpose == "filtered" else None
        config = f'{{"name":"{name}","deliver_subject":"victim.{purpose}","filter_subject":"orders.1"}}'
        subject = f"$JS.API.CONSUMER.CREATE.ORDERS.{name}.orders.1"
        await workload.asked(subject, f'{{"stream_name":"ORDERS","config":{config}}}')

        assert b"an order" == (await heard.next_msg(timeout=5)).data


AIMED: Mapping[str, Sequence[str]] = {
    "bind": ["$JS.API.CONSUMER.INFO.ORDERS.of-bind-python"],
    "kv-read": ["$JS.API.DIRECT.GET.KV_CFG.$KV.CFG.shared", "$JS.API.INFO"],
    "publish": ["events.1"],
    "stream-info": ["$JS.API.STREAM.INFO.ORDERS"],
}


@pytest.mark.parametrize("purpose", AIMED)
async def test_excess_answers_go_where_the_asker_says(ran: Ran, platform: Client, purpose: str) -> None:
    """
    An answer may be sent to any subject of the account, whatever the asker may publish.
    """
    heard = await platform.subscribe("aimed.>")
    async with Workload(ran.world, purpose) as workload:
        for subject in AIMED[purpose]:
            await workload.nc.publish(subject, b"", reply=f"aimed.{purpose}")

            assert (await heard.next_msg(timeout=5)).data


async def test_excess_a_bucket_is_read_whole(ran: Ran) -> None:
    """
    With kv-read all keys are read at once: there is no right to one key that leaves revisions readable.
    """
    async with Workload(ran.world, "kv-read") as workload:
        inbox = workload.nc.new_inbox()
        heard = await workload.nc.subscribe(inbox)
        await workload.nc.publish("$JS.API.DIRECT.GET.KV_CFG", b'{"multi_last":["$KV.CFG.>"]}', reply=inbox)
        first, second = await heard.next_msg(timeout=5), await heard.next_msg(timeout=5)
        found = {str((one.headers or {}).get("Nats-Subject")) for one in (first, second)}

    assert 2 == len(found)


async def test_excess_a_store_is_emptied(ran: Ran, platform: Client) -> None:
    """
    With object-write all of a store is purged, whoever put it there. The last one here.
    """
    async with Workload(ran.world, "object-write") as workload:
        await workload.asked("$JS.API.STREAM.PURGE.OBJ_FILES", "")
    info = await platform.jetstream().stream_info("OBJ_FILES")

    assert 0 == info.state.messages
