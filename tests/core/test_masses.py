"""When one cause condemns so many sessions that it may be a mistake."""

import math

import pytest

from nats_k8s_oidc_callout.core.sessions.judging import Reason
from nats_k8s_oidc_callout.core.sessions.masses import CAUSE_OF, CAUSES, Masses

NOW = 1_789_000_000.0


@pytest.mark.parametrize(
    ("condemned", "total", "waiting"),
    [
        ({Reason.DELETED: 101}, 500, {"deleted"}),
        ({Reason.DELETED: 100}, 400, set()),
        ({Reason.DELETED: 101}, 505, set()),
        ({Reason.DELETED: 60, Reason.RECREATED: 60}, 500, {"deleted"}),
        ({Reason.REFUSED: 50, Reason.ACCOUNT: 50, Reason.NARROWED: 50, Reason.KEY: 150}, 500, {"policy", "key"}),
        ({Reason.REVOKED: 500, Reason.MANUAL: 500, Reason.RENEWAL: 500}, 500, set()),
    ],
)
def test_a_mass_is_more_than_a_hundred_and_more_than_a_fifth(
    condemned: dict[Reason, int], total: int, waiting: set[str]
) -> None:
    masses = Masses()
    masses.weigh(condemned, NOW, total, math.inf)
    assert masses.waiting == waiting
    assert set(CAUSES) == set(CAUSE_OF.values())


@pytest.mark.parametrize(
    ("later", "seconds", "listed_at", "waits"),
    [
        (200, 59, NOW + 1, True),
        (200, 60, NOW + 1, False),
        (200, 600, NOW, True),
        (90, 1, 0.0, False),
        # The clock was set back: a minute from now.
        (200, -3600, math.inf, True),
    ],
)
def test_it_waits_a_minute_and_deletions_for_another_list(
    later: int, seconds: float, listed_at: float, waits: bool
) -> None:
    masses = Masses()
    masses.weigh({Reason.DELETED: 200}, NOW, 200, listed_at)
    masses.weigh({Reason.DELETED: later}, NOW + seconds, 200, listed_at)
    assert (masses.waiting == {"deleted"}) is waits
    masses.weigh({Reason.DELETED: later}, NOW + seconds + 61, 200, math.inf)
    assert not masses.waiting


@pytest.mark.parametrize(
    ("seconds", "listed_at", "wants"),
    [(0, 0.0, False), (29, 0.0, False), (30, NOW, True), (3600, NOW, True), (30, NOW + 1, False)],
)
def test_a_mass_of_deletions_wants_a_list_when_it_lasts(seconds: float, listed_at: float, wants: bool) -> None:
    """Nobody has all ServiceAccounts listed over and over by condemning many sessions and ending them."""
    masses = Masses()
    for after in (0.0, seconds):
        masses.weigh({Reason.DELETED: 200, Reason.KEY: 200}, NOW + after, 200, listed_at)
    assert masses.wants_list is wants
    masses.weigh({Reason.KEY: 200}, NOW + seconds, 200, listed_at)
    assert not masses.wants_list


def test_one_that_was_let_go_ends_before_another_begins() -> None:
    masses = Masses()
    for seconds, number, waits in ((0, 200, True), (60, 200, False), (61, 150, False), (62, 0, False), (63, 150, True)):
        masses.weigh({Reason.KEY: number}, NOW + seconds, 200, math.inf)
        assert bool(masses.waiting) is waits, seconds
