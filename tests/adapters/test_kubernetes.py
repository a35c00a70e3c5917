"""List and watch against a scripted API server that does as it should."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from nats_k8s_oidc_callout.adapters.kubernetes import Pace
from nats_k8s_oidc_callout.adapters.kubernetes import pages as pages_module
from nats_k8s_oidc_callout.core.kubernetes import serviceaccounts
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from tests.fakes import api_server as fake
from tests.fakes.kubernetes_world import World, fill, in_the_middle, running
from tests.fakes.waiting import until


async def test_a_list_is_paged_and_asks_for_the_newest_state(world: World) -> None:
    """
    The list comes in pages of 500 without a resourceVersion: with `0` the server would ignore the limit.
    """
    fill(world.server, 1201)
    async with running(world.reflector()):
        await until(lambda: world.synced == 1)

    lists = [seen.params for seen in world.server.seen if seen.verb == "list"]
    assert 3 == len(lists)
    assert all(params["limit"] == "500" and "resourceVersion" not in params for params in lists)
    assert len(world.index) == 1201


async def test_the_watch_goes_on_from_the_list(world: World) -> None:
    """
    A watch asks for bookmarks and a length, and starts where the list stood.
    """
    world.server.put("team", "app")
    reflector = world.reflector(pace=Pace())
    async with running(reflector):
        await until(lambda: world.server.streams == 1)

    watched = world.server.last("watch").params
    assert {"watch": "1", "resourceVersion": "101", "allowWatchBookmarks": "true", "timeoutSeconds": "600"} == watched


async def test_nothing_is_synced_before_the_last_page(world: World) -> None:
    """
    Half a list is no knowledge: `synced` comes with its last page.
    """
    fill(world.server, 600)
    reflector = world.reflector()
    world.server.once["list"] = [_pass_through(world.server), fake.answers(500)]
    await reflector.step()

    assert not reflector.synced
    assert world.synced == 0


async def test_410_in_the_middle_of_a_list_begins_it_again(world: World) -> None:
    """
    When the server forgets the snapshot between two pages the list begins again, and the old entries stay.
    """
    fill(world.server, 600)
    world.server.faults["watch"] = fake.answers(410)
    reflector = world.reflector()
    await reflector.step()
    world.server.delete("team", "app-0")
    world.server.once["list"] = [_pass_through(world.server), fake.answers(410)]
    await reflector.step()
    assert world.holds("team", "app-0")
    await reflector.step()

    assert ["start", "gone", "gone"] == world.relists
    assert len(world.index) == 599


async def test_a_page_too_large_to_hold_is_asked_for_in_smaller_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Tenants can fill a page with 500 objects of 256 KiB: then the list goes on in smaller pages.
    """
    monkeypatch.setattr(pages_module, "PAGE_BYTES_MAX", 20_000)
    fill(world.server, 600)
    async with running(world.reflector()):
        await until(lambda: world.synced == 1)

    assert len(world.index) == 600
    assert ["500", "62"] == [seen.params["limit"] for seen in world.server.seen if seen.verb == "list"][:2]


async def test_an_html_answer_empties_nothing(world: World) -> None:
    """
    A proxy's page instead of a list is a failure, and the entries stay.
    """
    world.server.put("team", "app")
    world.server.faults["watch"] = fake.answers(410)
    reflector = world.reflector()
    await reflector.step()
    world.server.faults["list"] = fake.body(b"<html>")
    await reflector.step()
    await reflector.step()

    assert ["gone", "unreadable", "unreadable"] == world.restarts
    assert ["start", "gone", "gone"] == world.relists
    assert world.holds("team", "app")


async def test_a_watch_that_ends_as_it_should_goes_on_without_a_list(world: World) -> None:
    """
    A regular end is followed at once by a watch from the last version, bookmarks included.
    """
    reflector = world.reflector(pace=Pace(short=0.0))

    task = asyncio.create_task(reflector.step())
    await until(lambda: world.server.streams == 1)
    world.server.bookmark()
    await until(lambda: world.events["BOOKMARK"] == 1)
    world.server.end_watches()
    delay = await task
    await in_the_middle(world, reflector, world.server.end_watches)

    assert 0.0 == delay
    assert ["ended", "ended"] == world.restarts
    assert ["start"] == world.relists
    assert "101" == world.server.last("watch").params["resourceVersion"]


async def test_an_accepted_watch_is_a_contact(world: World) -> None:
    """
    A server that takes the next watch is alive, even when nothing happens.
    """
    now = 1.0
    reflector = world.reflector(pace=Pace(short=0.0), monotonic=lambda: now)
    await in_the_middle(world, reflector, world.server.end_watches)
    now = 2.0
    await in_the_middle(world, reflector, world.server.end_watches)

    assert 2.0 == reflector.last_contact


async def test_a_delete_during_an_outage_is_noticed(world: World) -> None:
    """
    What was deleted while the server was away, and forgotten since, is gone after the relist.
    """
    world.server.put("team", "app")
    world.server.put("team", "old")
    port = int(world.server.base_url.rpartition(":")[2])
    async with running(world.reflector()):
        await until(lambda: world.server.streams == 1)
        await world.server.stop()
        world.server.delete("team", "old")
        world.server.forget()
        await until(lambda: "unreachable" in world.restarts)
        assert world.holds("team", "old")
        await world.server.start(port)
        await until(lambda: not world.holds("team", "old"))

    assert world.holds("team", "app")
    assert ["start", "gone"] == world.relists
    assert world.synced == 1


@pytest.mark.parametrize(
    ("text", "chunk"),
    [("x" * 300 * 1024, 1000), ("\x01" * 1_500_000, 65536)],
    ids=["more than aiohttp's own line reader takes", "the largest that etcd holds, all of it escaped"],
)
async def test_a_long_line_in_small_chunks_is_one_event(world: World, text: str, chunk: int) -> None:
    """
    However large an object is, it is an event like any other: a tenant who writes it breaks nobody's watch.
    """
    entry = world.server.put("team", "big", allowed_pub_subjects=text)
    world.server.delete("team", "big")
    world.server.faults["watch"] = fake.lines(fake.line("ADDED", entry), chunk=chunk)
    await world.reflector().step()

    assert world.holds("team", "big")


async def test_bookmarks_are_signs_of_life(world: World) -> None:
    """
    A quiet cluster is no dead connection: bookmarks keep the watch, and move the time of the last contact.
    """
    reflector = world.reflector()
    async with running(reflector):
        await until(lambda: world.server.streams == 1)
        before = reflector.last_contact
        for _ in range(5):
            await asyncio.sleep(0.1)
            world.server.bookmark()
        await until(lambda: world.events["BOOKMARK"] == 5)

    assert [] == world.restarts
    assert before is not None
    assert reflector.last_contact is not None
    assert reflector.last_contact > before


async def test_regular_watch_ends_are_quiet(world: World) -> None:
    """
    A watch ends every few minutes; that is worth no line at info.
    """
    reflector = world.reflector(pace=Pace(short=0.0))
    with capture_logs() as logs:
        await in_the_middle(world, reflector, world.server.end_watches)

    assert ["informer listed"] == [entry["event"] for entry in logs if entry["log_level"] != "debug"]


async def test_events_are_not_lost_across_a_reset(world: World) -> None:
    """
    What happens between a reset and the next watch arrives with that watch.
    """
    world.server.once["watch"] = [fake.resets(fake.line("BOOKMARK", {"metadata": {"resourceVersion": "100"}}))]
    reflector = world.reflector()
    await reflector.step()
    world.server.put("team", "app")
    async with running(reflector):
        await until(lambda: world.holds("team", "app"))

    assert ["start"] == world.relists


def _pass_through(server: fake.FakeApiServer) -> fake.Handler:
    async def handle(request: Any) -> Any:
        return server._list(request)

    return handle


async def test_pages_grow_again_after_heavy_ones(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One heavy namespace makes the pages small for as long as it lasts, not for the rest of the list.
    """
    monkeypatch.setattr(pages_module, "PAGE_BYTES_MAX", 100_000)
    for number in range(20):
        world.server.put("bad", f"app-{number}", allowed_pub_subjects="x" * 20_000)
    fill(world.server, 1200)
    async with running(world.reflector()):
        await until(lambda: world.synced == 1)

    limits = [int(seen.params["limit"]) for seen in world.server.seen if seen.verb == "list"]
    assert len(world.index) == 1220
    assert 1 <= min(limits) < 10
    assert limits[-1] > 100


async def test_what_counts_again_is_listed_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When the heaviest namespace weighs less again the watch makes way for a list, which brings its annotations back;
    tenants cannot have that more than once a minute.
    """
    monkeypatch.setattr(serviceaccounts, "BYTES_MAX", 0)
    monkeypatch.setattr(serviceaccounts, "_ROOM_LEAST", 50_000)
    for name in ("one", "two"):
        world.server.put("bad", name, allowed_pub_subjects="a.b," * 8_000)
    now = [1000.0]
    reflector = world.reflector(monotonic=lambda: now[0])
    async with running(reflector):
        await until(lambda: world.server.streams == 1)
        assert ("bad",) == world.index.ignored
        world.server.put("bad", "two", allowed_pub_subjects="a.b")
        await until(world.index.wants_list)
        assert ServiceAccount("uid-bad-one", None) == world.index.find("bad", "one")
        now[0] += 61
        world.server.bookmark()
        await until(lambda: not world.index.wants_list())
        await until(lambda: "annotations" in world.relists and world.server.streams == 1)

    found = world.index.find("bad", "one")
    assert found is not None
    assert found.annotations
    assert not world.index.ignored
