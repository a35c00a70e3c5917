"""The reflector against every fault that Python's clients stumble over (kubernetes-side.md 3.4)."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from nats_k8s_oidc_callout.adapters.kubernetes import Pace
from nats_k8s_oidc_callout.adapters.kubernetes.api import OBJECT_BYTES_MAX
from tests.fakes import api_server as fake
from tests.fakes.kubernetes_world import World, in_the_middle, running
from tests.fakes.waiting import until


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (fake.lines(b'{"type":"DELETED","obj\n'), "unreadable"),
        (fake.lines(b"x" * (OBJECT_BYTES_MAX + 1)), "unreadable"),
        (fake.answers(410), "gone"),
        (fake.error_event(410, "Expired"), "gone"),
        (fake.answers(400), "refused"),
    ],
    ids=["undecodable line", "line over 10 MiB", "410", "410 event", "400"],
)
async def test_a_watch_that_may_have_lost_something_is_followed_by_a_list(
    world: World, fault: fake.Handler, reason: str
) -> None:
    """
    When a delete may have been missed only a list tells the truth: it follows, and the old entries stay until then.
    """
    world.server.put("team", "app")
    world.server.faults["watch"] = fault
    reflector = world.reflector()
    await reflector.step()
    assert world.holds("team", "app")
    world.server.delete("team", "app")
    await reflector.step()

    assert [reason, reason] == world.restarts
    assert ["start", reason] == world.relists
    assert not world.holds("team", "app")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (fake.closes_at_once(), "short"),
        (fake.answers(500), "server_error"),
        (fake.answers(429), "too_many_requests"),
        (fake.answers(403), "forbidden"),
        (fake.answers(401), "unauthorized"),
        (fake.error_event(500), "server_error"),
        (fake.resets(), "reset"),
    ],
    ids=["closes at once", "500", "429", "403", "401", "500 event", "reset"],
)
async def test_a_watch_that_fails_goes_on_from_its_version(world: World, fault: fake.Handler, reason: str) -> None:
    """A failure that lost nothing needs no list: the next watch goes on from the same version."""
    world.server.put("team", "app")
    world.server.faults["watch"] = fault
    reflector = world.reflector()
    await reflector.step()
    await reflector.step()

    assert [reason, reason] == world.restarts
    assert ["start"] == world.relists
    assert "101" == world.server.last("watch").params["resourceVersion"]


@pytest.mark.parametrize(
    ("verb", "fault"),
    [
        ("watch", fake.closes_at_once()),
        ("watch", fake.answers(500)),
        ("watch", fake.answers(429)),
        ("watch", fake.answers(403)),
        ("watch", fake.answers(410)),
        ("watch", fake.error_event(410)),
        ("watch", fake.resets()),
        ("list", fake.answers(500)),
        ("list", fake.answers(429)),
        ("list", fake.answers(403)),
        ("list", fake.answers(410)),
        ("list", fake.body(b"{}")),
    ],
    ids=["closes at once", "500", "429", "403", "410", "410 event", "reset", "list 500",
         "list 429", "list 403", "list 410", "list {}"],
)  # fmt: skip
async def test_failures_back_off_to_five_seconds(world: World, verb: str, fault: fake.Handler) -> None:
    """Each failure in a row waits twice as long, from 0.2 s to 5 s and no longer."""
    world.server.faults[verb] = fault
    reflector = world.reflector()

    assert [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0] == [round(await reflector.step(), 3) for _ in range(7)]


async def test_a_bookmark_is_no_news(world: World) -> None:
    """A server that moves the version on and closes at once is one that closes at once."""

    async def moves_on(request: Any) -> Any:
        world.server.bookmark()
        bookmark = fake.line("BOOKMARK", {"metadata": {"resourceVersion": str(world.server.version)}})
        return await fake.lines(bookmark)(request)

    world.server.faults["watch"] = moves_on
    reflector = world.reflector()

    assert [0.2, 0.4, 0.8] == [round(await reflector.step(), 3) for _ in range(3)]
    assert ["short"] * 3 == world.restarts


async def test_jitter_shortens_a_wait_by_up_to_half(world: World) -> None:
    """Replicas do not come back together: the wait lies between half and the whole."""
    world.server.faults["list"] = fake.answers(500)

    assert 0.1 == await world.reflector(chance=lambda: 0.0).step()


async def test_a_server_that_fails_is_asked_a_few_times_only(world: World) -> None:
    """For real: in a second of failing the server sees five requests or fewer, where other clients send a thousand."""
    world.server.faults["watch"] = fake.closes_at_once()
    async with running(world.reflector()):
        await asyncio.sleep(1.0)
        await until(lambda: world.server.count("watch") >= 2)

    assert world.server.count("watch") <= 5


async def test_the_backoff_begins_anew_after_a_healthy_time(world: World) -> None:
    """A watch that lasted makes the next failure the first one again."""
    now = 0.0
    reflector = world.reflector(monotonic=lambda: now)
    world.server.faults["watch"] = fake.answers(500)
    for _ in range(5):
        await reflector.step()

    async def reset_later(request: Any) -> Any:
        nonlocal now
        now += 11.0
        return await fake.resets()(request)

    world.server.faults["watch"] = reset_later

    assert 0.2 == await reflector.step()


@pytest.mark.parametrize(
    ("seconds", "waits"), [("3", 3.0), ("60", 5.0), ("soon", 0.2), ("-4", 0.2)], ids=["3", "60", "text", "negative"]
)
async def test_retry_after_is_heeded_up_to_five_seconds(world: World, seconds: str, waits: float) -> None:
    """A busy server's wish is granted, within the promise to be back after five seconds."""
    world.server.faults["list"] = fake.answers(429, Retry_After=seconds)

    assert waits == await world.reflector().step()
    assert ["too_many_requests"] == world.restarts


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(fake.silent(), "silence"), (fake.silent(b'{"type":'), "silence"), (fake.hangs(), "timeout")],
    ids=["silent", "half a line", "no headers"],
)
async def test_a_watch_that_goes_silent_is_left(world: World, fault: fake.Handler, reason: str) -> None:
    """Without a byte for the silence time the connection is taken for dead, and the watch goes on from its version."""
    world.server.faults["watch"] = fault
    reflector = world.reflector()
    await reflector.step()
    del world.server.faults["watch"]
    async with running(reflector):
        await until(lambda: world.server.streams == 1)

    assert [reason] == world.restarts
    assert ["start"] == world.relists


async def test_a_quiet_cluster_is_no_failure(world: World) -> None:
    """Where no ServiceAccount changes the server may send no bookmark either: reconnecting then is worth no warning."""
    world.server.faults["watch"] = fake.silent()
    with capture_logs() as logs:
        await world.reflector().step()

    assert {"debug", "info"} == {entry["log_level"] for entry in logs}


async def test_a_list_that_hangs_is_left(world: World) -> None:
    """A page that does not come in time is a failure like others."""
    world.server.faults["list"] = fake.hangs()
    await world.reflector(pace=Pace(page=0.2)).step()

    assert ["timeout"] == world.restarts


async def test_a_refused_connection_is_unreachable(world: World) -> None:
    """No server at all is a failure with its own word."""
    await world.server.stop()

    assert 0.2 == await world.reflector().step()
    assert ["unreachable"] == world.restarts


async def test_a_401_is_asked_again_with_the_newest_token(world: World) -> None:
    """A rotated token costs one refused request, not an outage."""
    world.server.tokens = {"token-2"}
    world.source.renewed = "token-2"
    world.server.put("team", "app")
    async with running(world.reflector()):
        await until(lambda: world.server.streams == 1)

    assert [] == world.restarts
    assert world.source.refused == 1
    assert "Bearer token-2" == world.server.last("watch").authorization


async def test_a_token_that_stays_bad_is_asked_twice_and_then_waited_for(world: World) -> None:
    """When the newest token is refused too there is no third try."""
    world.server.tokens = set()
    await world.reflector().step()

    assert ["unauthorized"] == world.restarts
    assert world.server.count("list") == 2


@pytest.mark.parametrize("resource", ["serviceaccounts", "namespaces"])
async def test_missing_rights_are_said_clearly(world: World, resource: str) -> None:
    """A 403 log line names the verb, the resource and what to grant; once, not at each try."""
    world.server.faults["list"] = fake.answers(403)
    reflector = world.reflector("team", index=world.labels if resource == "namespaces" else world.index)
    with capture_logs() as logs:
        await reflector.step()
        await reflector.step()

    said = [entry for entry in logs if entry["event"] == "informer forbidden" and entry["log_level"] == "warning"]
    assert 1 == len(said)
    assert ("list", resource, "team") == (said[0]["verb"], said[0]["resource"], said[0]["namespace"])
    assert f"get, list and watch on {resource}" in said[0]["fix"]


async def test_a_bug_of_ours_does_not_end_the_reflector(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong inside, the reflector lists again instead of dying."""
    world.server.put("team", "app")
    reflector = world.reflector()

    def boom(_: bytes) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(reflector, "_hear", boom)
    await in_the_middle(world, reflector, lambda: world.server.put("team", "new"))

    assert ["internal"] == world.restarts


async def test_a_redirect_is_never_followed(world: World) -> None:
    """A redirect would carry our token elsewhere: it is a failure."""
    world.server.faults["list"] = fake.answers(
        302, Location=f"{world.server.base_url}/api/v1/namespaces/a/serviceaccounts"
    )
    await world.reflector().step()

    assert ["refused"] == world.restarts
    assert world.server.count("list") == 1
