"""The live look for one ServiceAccount, against a scripted API server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from nats_k8s_oidc_callout.adapters.kubernetes import LiveLookup, lookup
from nats_k8s_oidc_callout.adapters.kubernetes.lookup import KEPT_BYTES_MAX
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.errors import Unreachable
from tests.fakes import api_server as fake
from tests.fakes.kubernetes_world import World
from tests.fakes.namespaces import TEAM
from tests.fakes.stalls import awake
from tests.fakes.waiting import until


class Looker:
    """A live look with a clock that the test moves."""

    def __init__(self, world: World) -> None:
        self.now = 1000.0
        self.lookup = LiveLookup(world.api, world.index, lambda: self.now, flight_seconds=1.0)


@pytest.fixture
async def looker(world: World) -> AsyncIterator[Looker]:
    made = Looker(world)
    yield made
    await made.lookup.close()


async def test_answers_are_kept_for_two_seconds(world: World, looker: Looker) -> None:
    """Yes and no are both kept for 2 s: a storm of one bad name costs one GET."""
    assert await looker.lookup.look_up("team", "app", 1) is None
    world.server.put("team", "app")
    looker.now += 1.9
    assert await looker.lookup.look_up("team", "app", 1) is None
    assert world.server.count("get") == 1
    looker.now += 0.2
    assert await looker.lookup.look_up("team", "app", 1) is not None
    assert world.server.count("get") == 2


async def test_an_answer_may_have_to_be_newer_than_its_question(world: World) -> None:
    """Nothing is kept then, and no version is named: with one the server may answer from what it had a while ago."""
    now = LiveLookup(world.api, world.index, lambda: 1000.0, keeps=False)
    assert await now.look_up("team", "app", 1) is None
    world.server.put("team", "app")
    assert await now.look_up("team", "app", 1) is not None
    assert [{}, {}] == [seen.params for seen in world.server.seen]
    await now.close()


async def test_whoever_asks_again_hears_no_answer_to_the_question_before(world: World) -> None:
    """A look that was given up may still be under way: what it brings is older than the next question."""
    now = LiveLookup(world.api, world.index, lambda: 1000.0, keeps=False)
    world.server.answer_after = 0.2
    with pytest.raises(Unreachable):
        await now.look_up("team", "app", 0.1)
    world.server.put("team", "app")
    assert await now.look_up("team", "app", 1) is not None
    assert world.server.count("get") == 2
    await now.close()


async def test_an_answer_is_for_askers_of_its_uid(world: World, looker: Looker) -> None:
    """What was answered about a deleted ServiceAccount does not hide the one that was made again under its name."""
    assert await looker.lookup.look_up("team", "app", 1, uid="old") is None
    world.server.put("team", "app")

    assert await looker.lookup.look_up("team", "app", 1, uid="new") is not None


async def test_a_namespace_is_asked_about_itself(world: World) -> None:
    """A Namespace's labels are asked for by its name, and anew for each uid: one made again has other labels."""
    lookup = LiveLookup(world.api, world.labels, lambda: 1000.0)
    world.server.label("team", team="a")
    before = await lookup.look_up("team", "", 1, uid="old")
    world.server.label("team", team="b")

    assert ({TEAM: "a"}, {TEAM: "a"}, {TEAM: "b"}) == (
        before,
        await lookup.look_up("team", "", 1, uid="old"),
        await lookup.look_up("team", "", 1, uid="new"),
    )
    assert ["/api/v1/namespaces/team"] * 2 == [seen.path for seen in world.server.seen]
    world.server.faults["get"] = fake.answers(403)
    with pytest.raises(Unreachable, match="may not get namespaces"):
        await lookup.look_up("other", "", 1)
    await lookup.close()


LONG = ",".join(f"orders.{number}.>" for number in range(5000))


async def test_kept_answers_are_bounded(world: World, looker: Looker) -> None:
    """What is kept has a top in bytes, annotations counted, and the oldest go first."""
    for number in range(70):
        world.server.put("team", f"app-{number}", allowed_pub_subjects=LONG)
        await looker.lookup.look_up("team", f"app-{number}", 1)

    kept = list(looker.lookup._kept)
    assert 50 < len(kept) < 70
    assert ("team", "app-69", "") == kept[-1]
    assert looker.lookup._kept_bytes <= KEPT_BYTES_MAX


async def test_old_tokens_keep_no_annotations(world: World, looker: Looker) -> None:
    """Of a ServiceAccount that was made again only the uid is kept for askers of the old one, however heavy it is."""
    world.server.put("team", "app", "uid-new", allowed_pub_subjects=LONG)
    for number in range(50):
        found = await looker.lookup.look_up("team", "app", 1, uid=f"uid-{number}")
        assert ServiceAccount("uid-new", None) == found

    assert 50 == len(looker.lookup._kept)
    assert looker.lookup._kept_bytes < 50 * 1000
    found = await looker.lookup.look_up("team", "app", 1, uid="uid-new")
    assert found is not None
    assert found.annotations


async def test_kept_answers_are_forgotten_while_idle(
    world: World, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer forgets what is over, and only that: nobody has to ask for it."""
    monkeypatch.setattr(lookup, "KEPT_SECONDS", 0.01)
    await looker.lookup.look_up("team", "old", 1)
    looker.now += 0.02
    await looker.lookup.look_up("team", "new", 1)
    await until(lambda: len(looker.lookup._kept) == 1)
    assert [("team", "new", "")] == list(looker.lookup._kept)
    looker.now += 0.02
    await until(lambda: not looker.lookup._kept)

    assert 0 == looker.lookup._kept_bytes


class Slot(asyncio.Semaphore):
    """A semaphore that knows how often it was taken."""

    taken = 0

    async def acquire(self) -> Literal[True]:
        self.taken += 1
        return await super().acquire()


async def test_large_answers_are_read_one_at_a_time(world: World, looker: Looker) -> None:
    """Of sixteen ServiceAccounts of a megabyte, which etcd would hold, each is read in its turn, and all are found."""
    slot = looker.lookup._large = Slot(1)
    # However slow this machine is.
    looker.lookup._flight_seconds = 30.0
    for number in range(16):
        world.server.put("team", f"app-{number}", other="x" * 1_000_000)
    world.server.put("team", "small", allowed_pub_subjects=LONG)
    names = [*(f"app-{number}" for number in range(16)), "small"]
    found = await asyncio.gather(*(looker.lookup.look_up("team", name, 30) for name in names))

    assert None not in found
    assert (16, False) == (slot.taken, slot.locked())


async def test_one_name_is_asked_once_at_a_time(world: World, looker: Looker) -> None:
    """A hundred waiters for one name share a single GET."""
    world.server.put("team", "app")
    world.server.answer_after = 0.1
    found = await asyncio.gather(*(looker.lookup.look_up("team", "app", 1) for _ in range(100)))

    assert {ServiceAccount("uid-team-app", None)} == set(found)
    assert world.server.count("get") == 1


async def test_at_most_sixteen_are_asked_at_once(world: World, looker: Looker) -> None:
    """However many names are unknown, the API server sees sixteen GETs at a time."""
    world.server.answer_after = 0.05
    await asyncio.gather(*(looker.lookup.look_up(f"team-{number % 6}", f"app-{number}", 2) for number in range(60)))

    assert world.server.getting_most == 16
    assert world.server.count("get") == 60


async def test_nobody_waits_behind_another_namespace(world: World, looker: Looker) -> None:
    """
    Of one namespace, whose ServiceAccounts may be large, four are asked at once; who looks in another waits for none.
    """
    world.server.answer_after = 0.05
    storm = [asyncio.create_task(looker.lookup.look_up("bad", "app", 5, uid=f"old-{n}")) for n in range(200)]
    await asyncio.sleep(0.01)
    world.server.put("team", "app")

    assert await looker.lookup.look_up("team", "app", 0.3) is not None
    assert world.server.getting_most == 5
    await until(lambda: ["bad"] == list(looker.lookup._namespaces))
    for task in storm:
        task.cancel()
    await asyncio.gather(*storm, return_exceptions=True)


async def test_a_storm_beyond_the_bound_is_refused_at_once(
    world: World, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names beyond the bound of what may wait are unreachable at once, instead of piling up."""
    monkeypatch.setattr("nats_k8s_oidc_callout.adapters.kubernetes.lookup.WAITING_MAX", 5)
    world.server.faults["get"] = fake.hangs()
    asked = (looker.lookup.look_up("team", f"app-{number}", 0.1) for number in range(8))
    answers = await asyncio.gather(*asked, return_exceptions=True)

    assert 3 == sum("too many" in str(answer) for answer in answers)


async def test_a_look_never_takes_longer_than_its_budget(world: World, looker: Looker) -> None:
    """A server that hangs costs a waiter its budget and no more; queueing for a slot counts."""
    world.server.faults["get"] = fake.hangs()
    began = awake()
    asked = (looker.lookup.look_up("team", f"app-{number}", 0.1) for number in range(40))
    answers = await asyncio.gather(*asked, return_exceptions=True)

    assert all(isinstance(answer, Unreachable) for answer in answers)
    assert awake() - began < 0.5


async def test_a_waiter_that_gives_up_leaves_the_answer_to_the_others(world: World, looker: Looker) -> None:
    """Cancelling one waiter does not cancel the GET that others wait for."""
    world.server.put("team", "app")
    world.server.answer_after = 0.1
    first = asyncio.create_task(looker.lookup.look_up("team", "app", 1))
    second = asyncio.create_task(looker.lookup.look_up("team", "app", 1))
    await until(lambda: world.server.getting == 1)
    first.cancel()

    assert ServiceAccount("uid-team-app", None) == await second
    assert world.server.count("get") == 1
    assert first.cancelled()


@pytest.mark.parametrize(
    "fault",
    [fake.answers(403), fake.answers(500), fake.answers(429), fake.answers(401), fake.body(b"<html>"), fake.body(b"{}"),
     fake.resets()],
    ids=["403", "500", "429", "401", "html", "{}", "reset"],
)  # fmt: skip
async def test_a_server_that_cannot_tell_says_neither_yes_nor_no(
    world: World, looker: Looker, fault: fake.Handler
) -> None:
    """Anything but a ServiceAccount or a 404 is Unreachable, and is not kept as an answer."""
    world.server.put("team", "app")
    world.server.faults["get"] = fault
    with pytest.raises(Unreachable):
        await looker.lookup.look_up("team", "app", 1)
    world.server.faults.clear()

    assert ServiceAccount("uid-team-app", None) == await looker.lookup.look_up("team", "app", 1)


async def test_names_are_quoted(world: World, looker: Looker) -> None:
    """A name cannot leave its path, even if somebody forgot to check it."""
    world.server.put("team", "app")

    assert await looker.lookup.look_up("team", "../../namespaces/team/serviceaccounts/app", 1) is None
    assert await looker.lookup.look_up("team", "app?x=1#y", 1) is None


async def test_closing_ends_the_flights(world: World, looker: Looker) -> None:
    """At shutdown nobody keeps waiting: the flights end, and their waiters get Unreachable."""
    world.server.faults["get"] = fake.hangs()
    waiter = asyncio.create_task(looker.lookup.look_up("team", "app", 1))
    await until(lambda: world.server.count("get") == 1)
    await looker.lookup.close()

    with pytest.raises(Unreachable):
        await waiter
