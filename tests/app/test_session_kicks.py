"""Kicks by hand: who is spared, how fast, and when they stop."""

import time
from collections import Counter

import pytest

from nats_k8s_oidc_callout.adapters.nats.system import Kicked
from nats_k8s_oidc_callout.app.sessions import by_hand
from nats_k8s_oidc_callout.app.sessions.by_hand import kick_all, ours
from nats_k8s_oidc_callout.app.sessions.listing import LIVE, NO_LABEL, OTHER_RELEASE, Found
from nats_k8s_oidc_callout.core.sessions import label as labels
from tests.fakes.sessions import FakeServers, label, row
from tests.fakes.stalls import awake


def found(cid: int, state: str = LIVE, user: str = "") -> Found:
    one = row(cid, user)
    named = labels.parse(one.user) or labels.named(one.user, one.start)
    assert named is not None
    return Found(one, named, "APP", True, state)


async def ready() -> str:
    return ""


def test_who_is_spared() -> None:
    """Other releases unless asked for, and whoever has no label in any case."""
    sessions = [
        found(1),
        found(2, OTHER_RELEASE, label(release="theirs")),
        found(3, NO_LABEL, "system:serviceaccount:shop:web"),
    ]

    assert {1} == {one.row.cid for one in ours(sessions, any_release=False)}
    assert {1, 2} == {one.row.cid for one in ours(sessions, any_release=True)}


async def test_each_once_at_the_rate() -> None:
    """Ten at 100 a second take a tenth of one, and each result is told and counted."""
    servers = FakeServers()
    servers.results = {3: Kicked.GONE, 4: Kicked.SILENT}
    told: list[tuple[int, Kicked]] = []
    began, then = awake(), time.monotonic()

    outcome = await kick_all(
        servers, map(found, range(10)), 100, ready, lambda one, kicked: told.append((one.row.cid, kicked))
    )

    assert time.monotonic() - then > 0.09
    assert awake() - began < 2
    assert (Counter({Kicked.DONE: 8, Kicked.GONE: 1, Kicked.SILENT: 1}), 0, "") == outcome
    assert ([("S1", cid) for cid in range(10)], Kicked.GONE) == (servers.kicked, dict(told)[3])


async def test_it_stops_when_logins_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they work is asked first, and again: nobody is sent away into a closed door."""
    monkeypatch.setattr(by_hand, "CHECK_SECONDS", 0.0)
    words = iter(["", "", "not ready"])

    async def trouble() -> str:
        return next(words)

    servers = FakeServers()
    outcome = await kick_all(servers, map(found, range(5)), 1000, trouble, lambda _, __: None)

    assert ([("S1", 0), ("S1", 1)], 3, "not ready") == (servers.kicked, outcome.left, outcome.why)
