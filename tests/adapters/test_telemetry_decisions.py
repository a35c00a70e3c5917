from datetime import UTC, datetime

import pytest

from nats_k8s_oidc_callout.core.model import Allow, Deny, Drop, DropReason, Reason
from tests.adapters.stage import WORKLOAD, Make, request


def test_denied_line_says_who_why_and_where(stage: Make) -> None:
    """A denial is one warn line with reason, detail, verified workload, pod, jti, client and server."""
    made = stage()
    made.record(Deny(Reason.UID_MISMATCH, "token is for uid-1, the cluster has uid-2", WORKLOAD))

    assert [
        {
            "ts": "2026-09-10T00:26:40.250Z",
            "level": "warn",
            "event": "denied",
            "reason": "uid_mismatch",
            "detail": "token is for uid-1, the cluster has uid-2",
            "namespace": "team-a",
            "serviceaccount": "orders",
            "pod": "orders-7d9f8b6c5-abcde",
            "jti": "0b7a3c2e-5f7b-4a51-9a52-1c0d7f2b9e1d",
            "client_host": "10.0.0.7",
            "client_id": 42,
            "connection": "orders",
            "server": "nats-0",
            "ms": 2.0,
        }
    ] == made.lines()


def test_an_allowed_line_says_what_was_given(stage: Make) -> None:
    """A login that is let in is a line with account, key id, a digest of the grant, and its end as a time in UTC."""
    made = stage()
    ends = 1_789_003_599
    for at in (ends, ends + 1, ends):
        made.record(Allow(WORKLOAD, "APP", b"{}", at, "0123456789ab", kid="k1\x1b[31m"))
    first, *others = made.lines()

    assert {
        "account": "APP",
        "kid": "k1\\u001b[31m",
        "grant": "0123456789ab",
        "expires_at": "2026-09-10T01:26:39Z",
    }.items() <= first.items()
    assert ["2026-09-10T01:26:40Z", "2026-09-10T01:26:39Z"] == [line["expires_at"] for line in others]


def test_moments_of_many_days_are_right_and_few_are_kept(stage: Make) -> None:
    """Moments far from each other are told right, and what is remembered of them stays small."""
    logs = stage().logs
    moments = range(0, 2_000_000_000, 1_234_567)

    assert [datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for at in moments] == [
        logs.moment(at) for at in moments
    ]
    assert len(logs._moments) <= 1024


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["info allowed", "warn denied", "warn dropped", "debug dropped"]),
        ("info", ["info allowed", "warn denied", "warn dropped"]),
        ("warn", ["warn denied", "warn dropped"]),
        ("error", []),
    ],
)
def test_each_outcome_has_its_level(stage: Make, level: str, expected: list[str]) -> None:
    """Allowed is info, denied and dropped are warn, out of scope is debug."""
    made = stage(level)
    made.record(
        Allow(WORKLOAD, "APP", b"{}", 1), Deny(Reason.EXPIRED), Drop(DropReason.LATE), Drop(DropReason.OUT_OF_SCOPE)
    )

    assert expected == [f"{line['level']} {line['event']}" for line in made.lines()]


def test_message_that_did_not_open_is_recorded_without_a_request(stage: Make) -> None:
    """A malformed message has a line and a count although nobody knows who asked."""
    made = stage()
    made.telemetry.record(Drop(DropReason.MALFORMED_REQUEST, "not a JWT"), None, 0.0001)

    assert [("malformed_request", "not a JWT")] == [(line["reason"], line["detail"]) for line in made.lines()]


@pytest.mark.parametrize(
    ("outcome", "limit"),
    [
        (Deny(Reason.BAD_SIGNATURE), 10),
        (Drop(DropReason.MALFORMED_REQUEST), 10),
        (Deny(Reason.UID_MISMATCH, "", WORKLOAD), 100),
    ],
    ids=["unverified denial", "drop", "verified denial"],
)
def test_flood_is_sampled_by_reason_and_then_summed_up(stage: Make, outcome: Deny | Drop, limit: int) -> None:
    """After so many lines in a second the rest is counted and told by the next tick, though nothing further comes."""
    made = stage()
    made.record(*[outcome] * 130)
    made.record(Deny(Reason.EXPIRED))
    made.telemetry.tick(100.9)
    before = made.lines()
    made.telemetry.tick(101.0)
    made.telemetry.tick(102.0)
    told = made.lines()[len(before) :]

    assert limit == len([line for line in before if line["reason"] == outcome.reason])
    assert 1 == len([line for line in before if line["reason"] == "expired"])
    assert [("suppressed", outcome.reason, 130 - limit)] == [(s["event"], s["reason"], s["count"]) for s in told]
    assert 130 - limit == made.samples()[f'nats_auth_log_suppressed_total{{reason="{outcome.reason}"}}']


def test_next_second_writes_lines_again(stage: Make) -> None:
    """Sampling starts anew each second, and the suppressed line comes even when tick is late."""
    made = stage()
    made.record(*[Deny(Reason.EXPIRED)] * 12)
    made.monotonic = 101.5
    made.record(Deny(Reason.EXPIRED))

    assert {"denied": 11, "suppressed": 1} == {
        event: len([line for line in made.lines() if line["event"] == event]) for event in ("denied", "suppressed")
    }


def test_allowed_clients_are_never_sampled(stage: Make) -> None:
    """Every client that is let in has its line."""
    made = stage()
    made.record(*[Allow(WORKLOAD, "APP", b"{}", 1)] * 500)

    assert 500 == len(made.lines())


def test_close_tells_what_the_running_second_held_back(stage: Make) -> None:
    """Nothing counted is lost at exit."""
    made = stage()
    made.record(*[Deny(Reason.EXPIRED)] * 15)
    made.telemetry.close()

    assert 5 == made.lines()[-1]["count"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb\x1b[31mred", "a\\u000ab\\u001b[31mred"),
        ("x\u202egpj.exe", "x\\u202egpj.exe"),
        ("\ud800", "\\ud800"),
        ("é ☃", "é ☃"),
        ("n" * 129, "n" * 128 + "…"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "[redacted]"),
        ("SUAH6WZ3LK7QW4V2XRNC5PDTYGBJMEIAOFU3KS7ZQ2LW6HXV5TRDCNPGYM", "[redacted]"),
        ("n" * 120 + " eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "n" * 120 + " [redact…"),
    ],
    ids=["control", "bidi", "surrogate", "letters", "long", "token", "seed", "token at the cut"],
)
def test_what_a_client_chose_is_masked_escaped_and_cut(stage: Make, name: str, shown: str) -> None:
    """Neither a connection name nor an audience can forge a line, hide text, fill the log or carry a token into it."""
    made = stage()
    made.record(Allow(WORKLOAD, "APP", b"{}", 1, other_audiences=(name, "vault")), asked=request(client_name=name))

    line = made.lines()[0]
    assert (shown, f"{shown} vault") == (line["connection"], line["other_audiences"])


def test_console_form_is_one_readable_line(stage: Make) -> None:
    """For people: time, level, event, then key=value, quoted where a value could be misread."""
    made = stage(form="console")
    made.record(Deny(Reason.EXPIRED, "since 5 s"), asked=request(client_name='a" reason=none'))

    assert (
        b'2026-09-10T00:26:40.250Z warn  denied  reason=expired detail="since 5 s" client_host=10.0.0.7 client_id=42 '
        b'connection="a\\" reason=none" server=nats-0 ms=2.0\n'
    ) == made.device.getvalue()


def test_lines_name_rule_and_policy_where_there_is_a_file(stage: Make) -> None:
    """
    With a policy file each allowed and denied line has its digest, and the rule if one was reached; a dropped one has none.
    """
    made = stage()
    outcomes = (
        Allow(WORKLOAD, "APP", b"{}", 1, rule="teams"),
        Deny(Reason.NOT_POD_BOUND, "", WORKLOAD, "edge"),
        Deny(Reason.EXPIRED),
        Drop(DropReason.LATE),
    )
    made.telemetry.metrics.policy.took("3fa9c1d2" + 56 * "0", ["teams", "edge"], 0.0)
    made.record(*outcomes)

    assert [("teams", "3fa9c1d2"), ("edge", "3fa9c1d2"), (None, "3fa9c1d2"), (None, None)] == [
        (line.get("rule"), line.get("policy")) for line in made.lines()
    ]
