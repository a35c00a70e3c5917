"""What a scrape tells of live sessions."""

import pytest

from nats_k8s_oidc_callout.adapters.telemetry import SessionMetric, SessionMetrics
from nats_k8s_oidc_callout.core.sessions.judging import Reason
from tests.adapters.stage import Make, Stage


def shown(made: Stage) -> dict[str, float]:
    """Return the series of sessions, without the common part of their names."""
    return {
        name.removeprefix("nats_auth_session"): value
        for name, value in made.samples().items()
        if name.startswith("nats_auth_session")
    }


def fails() -> dict[str, int]:
    raise KeyError


@pytest.fixture
def made(stage: Make) -> Stage:
    made = stage()
    made.telemetry.metrics.sessions.on = True
    return made


def sessions(made: Stage) -> SessionMetrics:
    return made.telemetry.metrics.sessions


def test_nothing_is_told_while_session_control_is_off(stage: Make) -> None:
    """Without session control a scrape has no series of sessions, whatever was counted."""
    off = stage()
    sessions(off).kicked("deleted", "done")

    assert {} == shown(off)


def test_all_is_there_from_the_start(made: Stage) -> None:
    """
    Each counter and each closed set is at 0 before anything happened, so that an alert on an increase sees the first one.
    """
    names = {f"nats_auth_session{name.partition('{')[0]}" for name in shown(made)}

    assert {0} == set(shown(made).values())
    # Accounts have names of the platform's: there is none yet.
    assert set(SessionMetric) - {SessionMetric.SESSIONS, SessionMetric.KICK_SECONDS} <= names
    assert len(Reason) * 4 == sum(name.startswith("_kicks_total{") for name in shown(made))


def test_what_others_own_is_read_at_each_scrape(made: Stage) -> None:
    """Gauges are as their owner says at that moment; one that cannot say costs its own series only."""
    metrics = sessions(made)
    metrics.sessions = lambda: {"APP": 3, "templated": 2}
    metrics.unlabelled, metrics.pending = lambda: 4, lambda: {"narrowed": 5}
    metrics.servers, metrics.held, metrics.ready = lambda: (3, 1), lambda: True, lambda: True
    metrics.masses = lambda: {"policy"}
    found = shown(made)
    metrics.pending = fails

    assert {
        's{account="APP"}': 3, 's{account="templated"}': 2, "s_unlabelled": 4, 's_pending{reason="narrowed"}': 5,
        '_servers{state="known"}': 3, '_servers{state="silent"}': 1, "s_held": 1, "_control_ready": 1,
        '_mass{cause="policy"}': 1,
    } == {name: value for name, value in found.items() if value}  # fmt: skip
    assert 's_pending{reason="narrowed"}' not in shown(made)
    assert 4 == shown(made)["s_unlabelled"]


def test_what_happens_is_counted(made: Stage) -> None:
    """
    Kicks by reason and answer, lists by how they went, what they corrected, the time until a session is gone; what is
    outside a closed set makes no series.
    """
    metrics = sessions(made)
    before = set(shown(made))
    for reason, result in (("deleted", "done"), ("deleted", "done"), ("renewal", "silent"), ("renewal", "odd")):
        metrics.kicked(reason, result)
    for result, corrections in (("ok", 0), ("ok", 2), ("incomplete", 1), ("odd", 0)):
        metrics.reconciled(result, corrections)
    metrics.looped()
    for seconds in (0.06, 4.0, 1000.0):
        metrics.ended(seconds)
    found = shown(made)

    assert before == set(found)
    assert {
        '_kicks_total{reason="deleted",result="done"}': 2, '_kicks_total{reason="renewal",result="silent"}': 1,
        '_reconcile_total{result="ok"}': 2, '_reconcile_total{result="incomplete"}': 1,
        "_reconcile_corrections_total": 3, "_renewal_loops_total": 1,
        "_kick_seconds_count": 3, "_kick_seconds_sum": 1004.06,
        '_kick_seconds_bucket{le="+Inf"}': 3, '_kick_seconds_bucket{le="5.0"}': 2, '_kick_seconds_bucket{le="0.1"}': 1,
    }.items() <= found.items()  # fmt: skip
