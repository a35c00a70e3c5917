"""A real Prometheus scrapes real replicas: rules and dashboard find what they look for, and alerts fire in time."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.monitoring.scene import BAD, Scene
from tests.monitoring.shipped import queries, records
from tools import build

pytestmark = [pytest.mark.e2e, pytest.mark.cluster, pytest.mark.slow]

PODS = ("nats-k8s-oidc-callout-7d9c5f8b6-4xk2p", "nats-k8s-oidc-callout-7d9c5f8b6-tq8zl")
LAST = "nats-k8s-oidc-callout-6c4bfd977-9wkqs"
# Asked over so short a time, a rate is one of the last ten scrapes.
INTERVAL = "10s"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two replicas that have let in, refused and slowed clients, have ended sessions, and a key endpoint that was away for a moment."""
    for needed in ("prometheus", "kube-apiserver", "etcd"):
        if build.path(needed) is None:
            pytest.skip(f"{needed} is not built (python tools/build.py {needed})")
    with Scene(tmp_path_factory.mktemp("scene")) as scene:
        scene.deploy(*PODS)
        scene.prometheus.until("count(nats_auth_selftest_success == 1) == 2", 20)
        asyncio.run(_traffic(scene))
        asyncio.run(scene.delete_one_with_sessions())
        scene.world.keys.down()
        asyncio.run(_traffic(scene, seconds=3))
        scene.world.keys.up()
        yield scene


async def _traffic(scene: Scene, seconds: float = 6) -> None:
    good, bad = [scene.good(number) for number in range(4)], [scene.expired(), scene.other_audience(), scene.forged()]
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        let_in = await asyncio.gather(
            *(scene.log_in(token) for token in good), *(scene.log_in(token, BAD) for token in bad * 4)
        )
        assert [True] * len(good) + [False] * 4 * len(bad) == let_in


def test_replicas_are_scraped_without_complaint(scene: Scene) -> None:
    """Every target is up, on the path and the port that the chart's monitors name, and no scrape had an error."""
    targets = scene.prometheus.ask("targets")["activeTargets"]

    assert {("up", "", "/metrics")} == {
        (target["health"], target["lastError"], target["scrapeUrl"][target["scrapeUrl"].rindex("/") :])
        for target in targets
    }
    assert set(PODS) == {target["labels"]["pod"] for target in targets}


def test_every_query_of_the_dashboard_finds_something(scene: Scene) -> None:
    """Each panel has data at some moment of the last minute."""
    now = time.time()
    empty = [
        (query.panel, query.legend)
        for query in queries()
        if not any(series.points for series in scene.prometheus.over(query.concrete(INTERVAL), now - 60, now, 1))
    ]

    assert [] == empty


def test_rules_are_evaluated_without_error(scene: Scene) -> None:
    """Every rule is healthy, and every record but those that need more time has a value."""
    groups = scene.prometheus.ask("rules")["groups"]
    ill = [
        (rule["name"], rule.get("lastError")) for group in groups for rule in group["rules"] if rule["health"] != "ok"
    ]

    assert [] == ill
    assert records() == {name for name in records() if scene.prometheus.until(name, 15)}


def test_a_failed_test_login_is_told_at_once(scene: Scene) -> None:
    """
    A replica whose test login fails raises the warning at the next scrape and the next evaluation, and no page, since the
    others get in.

    Evaluations come every 15 s. Prometheus skips one when its ticker was early by the wall clock (rules/group.go, `run`:
    it then evaluates once more as of the time before).
    """
    prometheus = scene.prometheus
    scene.deploy(*PODS, LAST, token=scene.expired())
    seen = prometheus.until("timestamp(nats_auth_selftest_success == 0)", 20)
    told = prometheus.until('timestamp(ALERTS{alertname="NatsAuthCalloutSelfTestFailing",alertstate="firing"})', 40)

    assert [LAST] == [series.labels["pod"] for series in told]
    assert told[0].last - seen[0].last <= 2 * 15 + 2 * prometheus.seconds
    # The certificates of the scene are good for a day, of which the second alert is right to speak.
    assert {"NatsAuthCalloutSelfTestFailing", "NatsAuthCalloutCredentialExpired"} == prometheus.firing()
