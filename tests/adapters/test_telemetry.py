import re
from typing import get_args

import pytest
from prometheus_client import REGISTRY

from nats_k8s_oidc_callout.adapters.kubernetes import failure
from nats_k8s_oidc_callout.adapters.telemetry import Count, Gauge, LabelledCount, LabelledGauge
from nats_k8s_oidc_callout.core.model import Allow, Deny, Drop, DropReason, Reason
from nats_k8s_oidc_callout.core.nats.signers import Origin
from tests.adapters.stage import WORKLOAD, Make

GUIDE = (
    "nats_auth_requests_total",
    "nats_auth_requests_success",
    "nats_auth_requests_denied",
    "nats_auth_cache_hits",
    "nats_auth_cache_misses",
)


@pytest.mark.parametrize("name", GUIDE)
def test_names_of_the_guide_are_exact_untyped_and_zero_from_the_start(stage: Make, name: str) -> None:
    """The five metrics of the guide are there before the first request, without labels or suffix."""
    text = stage().telemetry.metrics.render().decode()

    assert f"# TYPE {name} untyped\n{name} 0.0\n" in text


def test_every_metric_has_help_and_only_allowed_labels(stage: Make) -> None:
    """Each family has a HELP text, and labels are only those with closed sets of values."""
    made = stage()
    made.telemetry.metrics.configuration = lambda: "0011223344556677"
    text = made.telemetry.metrics.render().decode()
    helped = set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE))
    typed = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))

    assert typed == helped
    assert {"reason", "le", "file", "version", "python", "signer", "hash"} == set(re.findall(r'[{,](\w+)="', text))


def test_counters_have_no_created_series(stage: Make) -> None:
    """No _created series is exposed: they would double every counter for nothing."""
    assert b"_created" not in stage().telemetry.metrics.render()


def test_every_reason_is_there_at_zero(stage: Make) -> None:
    """Each reason's series exists from the start, so that an alert on its increase sees the first one."""
    samples = stage().samples()

    assert all(samples[f'nats_auth_denials_total{{reason="{reason}"}}'] == 0 for reason in Reason)
    assert all(samples[f'nats_auth_dropped_total{{reason="{reason}"}}'] == 0 for reason in DropReason)
    assert all(samples[f'nats_auth_log_suppressed_total{{reason="{reason}"}}'] == 0 for reason in Reason)
    assert all(samples[f'nats_auth_requests_by_signer_total{{signer="{origin}"}}'] == 0 for origin in Origin)


def test_total_is_success_denied_and_dropped(stage: Make) -> None:
    """Every message counts once in the total and once in exactly one of the three."""
    made = stage()
    made.record(
        Allow(WORKLOAD, "APP", b"{}", 1), Allow(WORKLOAD, "APP", b"{}", 1), Deny(Reason.EXPIRED), Drop(DropReason.LATE)
    )
    samples = made.samples()

    assert (4, 2, 1) == tuple(samples[name] for name in GUIDE[:3])
    assert 1 == samples['nats_auth_denials_total{reason="expired"}']
    assert 1 == samples['nats_auth_dropped_total{reason="late"}']


def test_duration_counts_answers_only_and_its_buckets_add_up(stage: Make) -> None:
    """Answers go into the histogram, at the bucket whose bound they do not exceed; drops do not."""
    made = stage()
    for seconds in (0.001, 0.0011, 9.0):
        made.telemetry.record(Deny(Reason.EXPIRED), None, seconds)
    made.telemetry.record(Drop(DropReason.SHED), None, 0.1)
    samples = made.samples()
    name = "nats_auth_request_duration_seconds"

    assert (1, 2, 2, 3) == tuple(samples[f'{name}_bucket{{le="{le}"}}'] for le in ("0.001", "0.0025", "4.0", "+Inf"))
    assert 3 == samples[f"{name}_count"]
    assert pytest.approx(9.0021) == samples[f"{name}_sum"]


def test_time_that_is_not_known_yet_is_absent(stage: Make) -> None:
    """A timestamp before anything happened is no series: 0 would be an age of fifty years."""
    assert not [name for name in stage().samples() if name.endswith("_timestamp_seconds")]


def test_owners_states_are_read_when_scraped(stage: Make) -> None:
    """A mirrored metric shows its owner's value at the scrape, and None takes the series away."""
    made = stage()
    state: dict[str, float | None] = {"ready": 1, "heard": None}
    made.telemetry.metrics.mirror(Gauge.READY, lambda: state["ready"])
    made.telemetry.metrics.mirror(Gauge.WATCH_LAST_EVENT, lambda: state["heard"])
    made.telemetry.metrics.mirror(Count.NATS_RECONNECTS, lambda: 7)

    assert 1 == made.samples()["nats_auth_ready"]
    assert 7 == made.samples()["nats_auth_nats_reconnects_total"]
    assert "nats_auth_watch_last_event_timestamp_seconds" not in made.samples()
    state.update(ready=0, heard=5.5)
    assert 0 == made.samples()["nats_auth_ready"]
    assert 5.5 == made.samples()["nats_auth_watch_last_event_timestamp_seconds"]


def test_credential_that_never_expires_has_no_series_and_unknown_labels_are_ignored(stage: Make) -> None:
    """The expiry gauge shows those that expire, and only labels of its closed set."""
    made = stage()
    made.telemetry.metrics.mirror_each(LabelledGauge.CREDENTIAL_EXPIRY, lambda: {"user": 9.0, "tls": None, "evil": 1.0})
    shown = [name for name in made.samples() if name.startswith("nats_auth_credential_expiry")]

    assert ['nats_auth_credential_expiry_timestamp_seconds{credential="user"}'] == shown


def test_state_that_cannot_be_read_costs_only_its_own_series(stage: Make) -> None:
    """An owner's fault leaves the rest of the scrape whole."""
    made = stage()
    made.telemetry.metrics.mirror(Gauge.READY, lambda: 1 / 0)
    made.telemetry.metrics.mirror_each(LabelledGauge.FILE_ERRORS, lambda: {"tls": 1 / 0})
    made.telemetry.metrics.configuration = lambda: str(1 // 0)
    samples = made.samples()

    assert "nats_auth_ready" not in samples
    assert 0 == samples["nats_auth_requests_total"]


def test_small_counts_reach_their_metrics(stage: Make) -> None:
    """Each counting method moves its own metric."""
    made = stage()
    told = made.telemetry
    for count in (
        told.cache_hit,
        told.cache_miss,
    ):
        count()
    told.metrics.add(Count.FILTERED_SUBJECTS, 3)
    told.metrics.add(Count.ANSWERS_REJECTED)
    told.metrics.add(Count.JWKS_REFRESH_FAILURES)
    for reason in ("gone", "evil"):
        told.metrics.add_to(LabelledCount.WATCH_RESTARTS, reason)
    samples = made.samples()

    assert [1, 1, 1, 1, 3] == [
        samples[f"nats_auth_{name}"]
        for name in (
            "cache_hits",
            "cache_misses",
            "answers_rejected_total",
            "jwks_refresh_failures_total",
            "filtered_subjects_total",
        )
    ]
    restarts = {name: value for name, value in samples.items() if name.startswith("nats_auth_watch_restarts_total")}
    assert {0, 1} == set(restarts.values())
    assert 1 == restarts['nats_auth_watch_restarts_total{reason="gone"}'] == sum(restarts.values())


def test_each_way_in_which_a_watch_fails_has_its_series(stage: Make) -> None:
    """Every reason of the reflector's is there from the start, at 0; silence is no failure."""
    shown = {name for name in stage().samples() if name.startswith("nats_auth_watch_restarts_total")}

    assert {f'nats_auth_watch_restarts_total{{reason="{reason}"}}' for reason in get_args(failure.Reason)} == shown | {
        'nats_auth_watch_restarts_total{reason="silence"}'
    }


def test_global_registry_stays_empty_of_ours(stage: Make) -> None:
    """Two instances in one process do not meet in prometheus-client's global registry."""
    stage()

    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("nats_auth")]


def test_nothing_is_told_of_a_policy_without_a_file(stage: Make) -> None:
    """Without a policy file a scrape has no series of one."""
    made = stage()

    assert [] == [name for name in made.samples() if re.match("nats_auth_(policy|rule)", name)]


def test_the_policy_in_force_and_its_last_reload_are_told(stage: Make) -> None:
    """
    A scrape has the file's digest, its number of rules, when it was read, and whether the file of now is the one in force.
    """
    made = stage()
    policy = made.telemetry.metrics.policy
    digest = "3fa9c1d2" + 56 * "0"
    policy.took("ee" * 32, ["old"], 5.0)
    policy.rejected()
    rejected = made.samples()
    policy.took(digest, ["teams", "edge"], 7.0)
    taken = made.samples()

    assert (1, 0, 5) == (
        rejected[f'nats_auth_policy_info{{sha256="{"ee" * 32}"}}'],
        rejected["nats_auth_policy_reload_success"],
        rejected["nats_auth_policy_reload_timestamp_seconds"],
    )
    assert {
        f'nats_auth_policy_info{{sha256="{digest}"}}': 1,
        "nats_auth_policy_rules": 2,
        "nats_auth_policy_reload_success": 1,
        "nats_auth_policy_reload_timestamp_seconds": 7,
    } == {name: value for name, value in taken.items() if name.startswith("nats_auth_policy")}


def test_decisions_are_counted_by_rule(stage: Make) -> None:
    """Each rule has its two series from the start, and goes on counting when a new file still has it."""
    made = stage()
    policy = made.telemetry.metrics.policy
    policy.took("aa" * 32, ["teams", "edge"], 0.0)
    made.record(
        Allow(WORKLOAD, "APP", b"{}", 1, rule="teams"),
        Deny(Reason.NOT_POD_BOUND, "", WORKLOAD, "edge"),
        Deny(Reason.EXPIRED),
    )
    policy.took("bb" * 32, ["teams", "later"], 0.0)
    made.record(Allow(WORKLOAD, "APP", b"{}", 1, rule="teams"))

    assert {
        'outcome="allowed",rule="teams"': 2,
        'outcome="denied",rule="teams"': 0,
        'outcome="allowed",rule="later"': 0,
        'outcome="denied",rule="later"': 0,
    } == {
        name.partition("{")[2][:-1]: value
        for name, value in made.samples().items()
        if name.startswith("nats_auth_rule_decisions_total")
    }
