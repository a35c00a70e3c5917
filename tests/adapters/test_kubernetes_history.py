"""The reflector where history went back: an etcd that was restored from a copy, as the API server over it shows it."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from nats_k8s_oidc_callout.adapters.kubernetes import Informer, Pace
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from tests.fakes import api_server as fake
from tests.fakes.kubernetes_world import QUICK, World, in_the_middle, running
from tests.fakes.waiting import until

TEAMS = ("team-a", "team-b")


def asked_for(world: World) -> list[str]:
    """Return how many items each list asked for: 1 is a look at the version, 500 a whole list."""
    return [seen.params["limit"] for seen in world.server.seen if seen.verb == "list"]


def age(server: fake.FakeApiServer) -> fake.Copy:
    """Return a copy of the cluster, and let the cluster live on after it."""
    for team in TEAMS:
        server.put(team, "deleted")
        server.put(team, "changed", allowed_pub_subjects="old")
    taken = server.copy()
    for team in TEAMS:
        server.put(team, "changed", allowed_pub_subjects="new")
        for number in range(10):
            server.put(team, f"later-{number}")
    return taken


def go_back(server: fake.FakeApiServer, taken: fake.Copy) -> None:
    """Restore the copy; what is deleted then has a lower version than any that we know."""
    server.restore(taken)
    for team in TEAMS:
        server.delete(team, "deleted")


def shows(world: World, annotation: str, *, deleted: bool, later: bool) -> bool:
    return all(
        world.index.find(team, "changed")
        == ServiceAccount(f"uid-{team}-changed", {"nats.io/allowed-pub-subjects": annotation})
        and deleted is world.holds(team, "deleted")
        and later is world.holds(team, "later-0")
        for team in TEAMS
    )


async def step(world: World, reflector: Any) -> float:
    """Take a step whose watch, if it comes to one, ends as it should."""
    return await in_the_middle(world, reflector, world.server.end_watches)


@pytest.mark.parametrize("scope", [(), TEAMS], ids=["whole cluster", "scoped"])
@pytest.mark.parametrize("breaks", [True, False], ids=["the watch ends", "the watch only goes silent"])
async def test_a_restored_cluster_is_listed_anew(world: World, scope: tuple[str, ...], breaks: bool) -> None:
    """Gone, never there, changed: after a restore the index is the cluster again, and the reason is told."""
    taken = age(world.server)
    informer = Informer(world.api, world.index, scope, pace=QUICK, on_restart=world.restarts.append)
    with capture_logs() as logs:
        async with running(informer):
            await until(lambda: world.server.streams == max(1, len(scope)) and informer.synced)
            assert shows(world, "new", deleted=True, later=True)
            go_back(world.server, taken)
            if breaks:
                world.server.end_watches()
            await until(lambda: shows(world, "old", deleted=False, later=False))

    reflectors = max(1, len(scope))
    assert reflectors == world.restarts.count("history_went_back")
    listed = [entry["reason"] for entry in logs if entry["event"] == "informer listed"]
    assert ["start"] * reflectors + ["history_went_back"] * reflectors == listed
    told = [entry for entry in logs if entry.get("reason") == "history_went_back"]
    assert {"informer failed": "warning", "informer listed": "info"} == {
        entry["event"]: entry["log_level"] for entry in told
    }


async def test_each_watch_that_goes_on_is_preceded_by_a_look(world: World) -> None:
    """A list of one item comes before each watch, but not where a whole list was just made."""
    reflector = world.reflector(pace=Pace(short=0.0))
    for _ in range(3):
        await step(world, reflector)

    assert ["list", "watch", "list", "watch", "list", "watch"] == [seen.verb for seen in world.server.seen]
    assert ["500", "1", "1"] == asked_for(world)


async def test_a_look_is_no_contact(world: World) -> None:
    """While each watch is refused the looks between them do not hide that nothing is heard of any change."""
    now = 1.0
    reflector = world.reflector(pace=Pace(short=0.0), monotonic=lambda: now)
    await step(world, reflector)
    world.server.faults["watch"] = fake.answers(403)
    now = 2.0
    await reflector.step()

    assert ["500", "1"] == asked_for(world)
    assert 1.0 == reflector.last_contact


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"])
async def test_an_event_from_before_is_a_sign_too(world: World, kind: str) -> None:
    """A watch tells of ever newer versions; one that is lower shows another history behind the same connection."""
    entry = world.server.put("team", "app")
    older = {"metadata": {**entry["metadata"], "resourceVersion": "99"}}
    world.server.faults["watch"] = fake.silent(fake.line(kind, older))
    await world.reflector(pace=Pace(silence=5.0)).step()

    assert ["history_went_back"] == world.restarts


@pytest.mark.parametrize("chance", [0.0, 1.0])
async def test_once_an_hour_a_whole_list_comes_in_any_case(world: World, chance: float) -> None:
    """What was overtaken before we could look is found by the hourly list; jitter keeps replicas apart."""
    now = 0.0
    pace = Pace(short=0.0)
    due = pace.whole_least + (pace.whole_most - pace.whole_least) * chance
    reflector = world.reflector(pace=pace, monotonic=lambda: now, chance=lambda: chance)
    taken = age(world.server)
    await step(world, reflector)
    go_back(world.server, taken)
    for number in range(50):
        world.server.put("other", f"fresh-{number}")
    now = due - 1.0
    await step(world, reflector)
    assert shows(world, "new", deleted=True, later=True)
    now = due
    await step(world, reflector)

    assert shows(world, "old", deleted=False, later=False)
    assert ["start", "hourly"] == world.relists
    assert ["ended"] * 3 == world.restarts
    # A watch that begins just before ends, or is cut off, within the hour.
    assert pace.whole_most + pace.watch_most + 30.0 < 3600.0


async def test_versions_that_cannot_be_compared_cost_a_whole_list_now_and_then(world: World) -> None:
    """Opaque versions that differ mean a whole list, within two minutes of a restore, and at most every 30 s."""
    now = 0.0
    pace = Pace(short=0.0)
    world.server.spelling = "v"
    taken = age(world.server)
    reflector = world.reflector(pace=pace, monotonic=lambda: now)
    await step(world, reflector)
    go_back(world.server, taken)
    now = 29.0
    await step(world, reflector)
    await step(world, reflector)
    assert ["start"] == world.relists
    now = 30.0
    await step(world, reflector)
    await step(world, reflector)

    assert shows(world, "old", deleted=False, later=False)
    assert ["start", "incomparable"] == world.relists
    assert ["ended"] * 5 == world.restarts
    assert pace.incomparable + pace.silence <= 120.0


async def test_an_opaque_version_that_stands_still_costs_no_whole_list(world: World) -> None:
    """The same text is the same version, whether it can be compared or not."""
    now = 0.0
    world.server.spelling = "v"
    reflector = world.reflector(pace=Pace(short=0.0), monotonic=lambda: now)
    for _ in range(3):
        await step(world, reflector)
        now += 100.0

    assert ["start"] == world.relists


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(fake.answers(500), "server_error"), (fake.answers(429), "too_many_requests"),
     (fake.answers(403), "forbidden"), (fake.hangs(), "timeout")],
    ids=["500", "429", "403", "hangs"],
)  # fmt: skip
async def test_no_watch_goes_on_without_its_look(world: World, fault: fake.Handler, reason: str) -> None:
    """While the look fails nothing is watched, each failure backs off, and then it goes on without a whole list."""
    reflector = world.reflector(pace=Pace(short=0.0, page=0.2))
    await step(world, reflector)
    world.server.faults["list"] = fault
    with capture_logs() as logs:
        delays = [round(await reflector.step(), 3) for _ in range(3)]
    del world.server.faults["list"]
    await step(world, reflector)

    assert [0.2, 0.4, 0.8] == delays
    assert 2 == world.server.count("watch")
    assert ["start"] == world.relists
    assert ["ended", reason, reason, reason, "ended"] == world.restarts
    assert {"list"} == {entry["verb"] for entry in logs}


async def test_servers_of_two_histories_are_not_asked_without_end(world: World) -> None:
    """Where one API server shows an older history than the other the lists between them back off like any failure."""

    async def one_of_two(request: Any) -> Any:
        if request.query["limit"] == "1":
            metadata = {"resourceVersion": "5"}
            content = json.dumps({"kind": "ServiceAccountList", "metadata": metadata, "items": []}).encode()
            return await fake.body(content)(request)
        return world.server._list(request)

    world.server.faults["list"] = one_of_two
    world.server.faults["watch"] = fake.resets()
    reflector = world.reflector()

    assert [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0] == [round(await reflector.step(), 3) for _ in range(7)]
    assert ["reset", "history_went_back"] * 3 + ["reset"] == world.restarts
