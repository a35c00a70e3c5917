"""The reflectors of one release, together."""

from structlog.testing import capture_logs

from nats_k8s_oidc_callout.adapters.kubernetes import Informer
from tests.fakes import api_server as fake
from tests.fakes.kubernetes_world import QUICK, World, running
from tests.fakes.waiting import until


async def test_a_scoped_informer_watches_each_namespace_alone(world: World) -> None:
    """A scoped release asks only for its namespaces, one list and watch each, and is synced when all are."""
    world.server.put("team-a", "app")
    world.server.put("team-b", "app")
    world.server.put("other", "app")
    informer = Informer(world.api, world.index, ["team-a", "team-b"], on_restart=world.restarts.append, pace=QUICK)
    before = (informer.synced, informer.last_contact)
    with capture_logs() as logs:
        async with running(informer):
            await until(lambda: world.server.streams == 2)

    assert (False, None) == before
    assert ["informer summary"] == [entry["event"] for entry in logs if entry["event"] != "informer listed"]
    assert informer.synced
    assert informer.last_contact is not None
    assert (True, True, False) == tuple(world.holds(name, "app") for name in ("team-a", "team-b", "other"))


async def test_a_relist_of_one_namespace_leaves_the_others(world: World) -> None:
    """When one namespace of a scoped release lists again the others keep what they have."""
    world.server.put("team-a", "app")
    world.server.put("team-b", "app")
    for namespace in ("team-a", "team-b", "team-a"):
        world.server.once["watch"] = [fake.answers(410)]
        await world.reflector(namespace).step()

    assert world.holds("team-a", "app")
    assert world.holds("team-b", "app")


async def test_the_age_is_that_of_the_namespace_heard_least(world: World) -> None:
    """One namespace that was never heard of leaves the age of all unknown; then the oldest counts."""
    informer = Informer(world.api, world.index, ["team-a", "team-b"], on_restart=world.restarts.append)
    informer._reflectors["team-a"].last_contact = 5.0
    before = informer.last_contact
    informer._reflectors["team-b"].last_contact = 3.0

    assert (None, 3.0) == (before, informer.last_contact)


async def test_the_informer_says_a_summary_at_the_start(world: World) -> None:
    """Once synced, one line tells how much is held and how old it is."""
    world.server.put("team", "app")
    with capture_logs() as logs:
        async with running(Informer(world.api, world.index, on_restart=world.restarts.append, pace=QUICK)):
            await until(lambda: world.server.streams == 1)

    (summary,) = (entry for entry in logs if entry["event"] == "informer summary")
    assert (True, 1, 0) == (summary["synced"], summary["objects"], summary["skipped"])
