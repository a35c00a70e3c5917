"""What an informer tells of itself to whoever acts on absence: is it in sync, and when did it last list all."""

import time

import pytest
from aiohttp import web

from nats_k8s_oidc_callout.adapters.kubernetes import Informer, Pace, reflector
from tests.fakes import api_server as fake
from tests.fakes.kubernetes_world import QUICK, World, running
from tests.fakes.waiting import until

PATIENT = Pace(silence=5.0, watch_least=5.0, watch_most=10.0, page=5.0)


async def test_in_sync_is_a_watch_after_a_whole_list(world: World) -> None:
    """
    Before the first list, while a list runs, while nobody answers and in a namespace that is not ours it is not in sync.
    """
    informer = Informer(world.api, world.index, ["team"], on_restart=world.restarts.append, pace=QUICK)
    assert (False, 0.0) == (informer.in_sync("team"), informer.listed_at)
    began = time.time()
    async with running(informer):
        await until(lambda: informer.in_sync("team"))
        assert began <= informer.listed_at <= time.time()
        assert not informer.in_sync("other")
        seen = len(world.restarts)
        world.server.faults["list"] = fake.answers(503)
        world.server.end_watches()
        await until(lambda: "server_error" in world.restarts[seen:] or len(world.restarts) > seen + 1)
        assert not informer.in_sync("team")
        del world.server.faults["list"]
        await until(lambda: informer.in_sync("team"))
    assert not informer.in_sync("team")


async def test_one_that_was_long_silent_is_not_in_sync(world: World) -> None:
    """The last word may be as old as two silences."""
    now = [100.0]
    follower = world.reflector(pace=PATIENT, monotonic=lambda: now[0])
    async with running(follower):
        await until(lambda: follower.in_sync)
        now[0] += 9.9
        assert follower.in_sync
        now[0] += 0.2
        assert not follower.in_sync


@pytest.mark.parametrize(("least", "lists"), [(0.0, 2), (60.0, 1)])
async def test_a_list_that_is_asked_for_comes_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, least: float, lists: int
) -> None:
    """
    It interrupts a watch that nobody writes to, however often it is asked for; but it does not come after each other list.
    """
    monkeypatch.setattr(reflector, "AGAIN_SECONDS", least)
    world.server.put("team", "app")
    informer = Informer(world.api, world.index, on_restart=world.restarts.append, pace=PATIENT)
    async with running(informer):
        await until(lambda: informer.in_sync("team"))
        first = informer.listed_at
        for _ in range(3):
            informer.list_again()
        if lists > 1:
            await until(lambda: informer.listed_at > first and informer.in_sync("team"))
        else:
            world.server.put("team", "more")
            await until(lambda: world.holds("team", "more"))
        assert lists == sum(seen.params["limit"] == "500" for seen in world.server.seen if seen.verb == "list")
    assert lists == 1 + world.restarts.count("ended")


async def test_a_list_that_is_asked_for_during_another_follows_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that runs may have passed already what somebody wants to know."""
    monkeypatch.setattr(reflector, "AGAIN_SECONDS", 0.3)
    follower = world.reflector(pace=PATIENT)

    async def ask(request: web.Request) -> web.StreamResponse:
        follower.list_again()
        return world.server._list(request)

    world.server.once["list"] = [ask]
    async with running(follower):
        await until(lambda: world.relists == ["start", "asked"])
