"""sessions: what is shown, for people and for programs, and what `kick`, `hold` and `resume` do and refuse."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click.testing
import pytest

from nats_k8s_oidc_callout.adapters.nats.system import Kicked
from nats_k8s_oidc_callout.app.sessions import replicas
from nats_k8s_oidc_callout.app.sessions.replicas import Replica
from nats_k8s_oidc_callout.cli import session_kicks, sessions
from nats_k8s_oidc_callout.doctor import responder_status
from nats_k8s_oidc_callout.doctor.responder_status import Neighbour
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import Settings
from tests.cli.desk import HOSTILE, SPELLED, Desk
from tests.fakes.sessions import NOW, FakeServers, label, row


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> FakeServers:
    """Give the servers that the commands ask, at a time when the sessions live; the responder beside them is ready."""
    fake = FakeServers()

    @asynccontextmanager
    async def connect(_: Settings) -> AsyncIterator[FakeServers]:
        yield fake

    async def readiness(_: str, __: int) -> Neighbour:
        return Neighbour(ready=True)

    for module in (sessions, session_kicks):
        monkeypatch.setattr(module, "connect", connect)
        monkeypatch.setattr(module.time, "time", lambda: NOW)

    async def counters(_: str, __: int) -> dict[str, float]:
        return {"nats_auth_sessions_held": 0.0}

    monkeypatch.setattr(responder_status, "readiness", readiness)
    monkeypatch.setattr(responder_status, "counters", counters)
    return fake


def run(desk: Desk, *arguments: str, **more: str) -> click.testing.Result:
    return desk.run("sessions", *arguments, **{"SESSION_CONTROL": "on", "SESSION_RELEASE": "ours"} | more)


def test_for_people(desk: Desk, servers: FakeServers) -> None:
    """A line each below a head, times in UTC and as ages; a client's words are spelled, and cut."""
    servers.rows = [
        row(7, label(expires=int(NOW) + 3540)),
        row(8, label(name="gone"), connection=HOSTILE + "y" * 99, host="", kind="Leafnode", type="", version=""),
        row(9, "admin"),
    ]

    ran = run(desk)

    lines = ran.output.splitlines()
    head, gone, web = [[cell.strip() for cell in one.split("  ") if cell] for one in lines[:3]]
    assert "workload account since until host connection client kind server/id grant state" == " ".join(head)
    times = ["2027-01-15T07:59:00Z (60s)", "2027-01-15T08:59:00Z (59m)"]
    assert ["shop/web", "APP", *times, "10.0.0.1", "orders"] == web[:6]
    assert ["python3 2.16.0", "Client nats", "n1/7", "changed", "grant changed"] == web[6:]
    assert ["-", SPELLED + "y" * (40 - len(HOSTILE)), "python3", "Leafnode", "n1/8", "unknown", "deleted"] == gone[4:]
    assert (
        "2 sessions of 2 workloads; 1 account asked; 2 servers answered (S2, n1); at 2027-01-15T08:00:00Z" in ran.output
    )
    assert (0, "1 other connection in") == (ran.exit_code, lines[-1][:21])


def test_as_json_lines(desk: Desk, servers: FakeServers) -> None:
    """One object a session, then one of the whole."""
    servers.rows = [row(7), row(8), row(9)]

    ran = run(desk, "--json", "--limit", "2", "shop")

    one, _, last = map(json.loads, ran.stdout.splitlines())
    assert {
        "workload": "shop/web", "account": "APP", "since": "2027-01-15T07:59:00Z", "until": "2027-01-15T08:59:00Z",
        "host": "10.0.0.1", "connection": "orders", "lang": "python3", "version": "2.16.0", "kind": "Client",
        "type": "nats", "server": "n1", "server_id": "S1", "client_id": 7, "release": "ours", "grant_current": False,
        "state": "grant changed",
    } == one  # fmt: skip
    assert (3, 1, ["S2", "n1"]) == tuple(last["summary"][key] for key in ("sessions", "workloads", "servers"))


def test_many(desk: Desk, servers: FakeServers) -> None:
    """As many lines as asked for, and the number of the others."""
    servers.rows = [row(cid) for cid in range(20_000)]

    lines = run(desk, "--limit", "3").output.splitlines()

    assert ("and 19,997 more (--limit)", 6) == (lines[4], len(lines))


@pytest.mark.parametrize(
    ("arguments", "fake", "code", "said"),
    [
        (["other"], FakeServers([row(1)]), 1, "0 sessions of 0 workloads"),
        (["shop/web"], FakeServers([row(1)], silent=["S2"]), 0, "servers that did not answer, whose sessions are missing: S2"),
        (["other"], FakeServers([row(1)], silent=["S2"]), 2, "0 sessions"),
        ([], FakeServers(deaf=["APP"]), 2, "accounts that could not be asked: APP (nobody listens)"),
        (["system:serviceaccount:shop:web;e=1"], FakeServers([row(1)]), 0, "1 session of 1 workload;"),
        (["a_b"], FakeServers(), 2, "a_b is neither NAMESPACE nor NAMESPACE/NAME"),
        (["shop/"], FakeServers(), 2, "shop/ is neither"),
        (["kick"], FakeServers(), 2, "say whose sessions: NAMESPACE/NAME, --namespace N, or --all"),
        (["kick", "shop"], FakeServers(), 2, "say whose sessions"),
        (["kick", "shop/web", "--all"], FakeServers(), 2, "say whose sessions"),
        (["kick", "shop/other"], FakeServers([row(1)]), 1, "0 done, 0 gone, 0 silent"),
        (["kick", "shop/web"], FakeServers([row(1)], silent=["S2"]), 1, "the sessions of 1 of the servers and accounts"),
        (["kick", "--all"], FakeServers([row(1, label(release="x"))]), 1, "left alone: 1 of another release (--any-release)"),
        (["kick", "--all", "--any-release"], FakeServers([row(1, label(release="x"))]), 0, "1 done"),
        (["kick", "--all"], FakeServers([row(1, "system:serviceaccount:shop:web")]), 1, "left alone: 1 without a label"),
    ],
)  # fmt: skip
def test_exit_codes(
    desk: Desk, servers: FakeServers, arguments: list[str], fake: FakeServers, code: int, said: str
) -> None:
    """0 found or done, 1 none or not all, 2 bad use or cannot be told."""
    servers.__dict__ |= fake.__dict__

    ran = run(desk, *arguments)

    assert (code, True) == (ran.exit_code, said in ran.output), ran.output


def test_without_session_control(desk: Desk, servers: FakeServers) -> None:
    """Sessions are listed by name all the same; none is kicked or held."""
    servers.rows = [row(1, "system:serviceaccount:shop:web")]

    listed = run(desk, SESSION_CONTROL="off")
    refused = [run(desk, *asked, SESSION_CONTROL="off") for asked in (["kick", "--all"], ["hold"])]

    assert (0, True, True) == (
        listed.exit_code,
        "unknown  no label" in listed.output,
        "SESSION_CONTROL is off: new sessions get no label" in listed.output,
    )
    assert [2, 2] == [ran.exit_code for ran in refused]
    assert all(ran.stderr.startswith("SESSION_CONTROL is off") for ran in refused)


def test_a_dry_run(desk: Desk, servers: FakeServers) -> None:
    """It says who would be ended, and ends none."""
    servers.rows = [row(1), row(2, label(namespace="other"))]

    ran = run(desk, "kick", "--namespace", "shop", "--dry-run")

    assert (0, []) == (ran.exit_code, servers.kicked)
    assert ["1/1 would be ended: shop/web 10.0.0.1 'orders' n1/1", "1 would be ended"] == ran.output.splitlines()


def test_kicks(desk: Desk, servers: FakeServers) -> None:
    """Each result is told, and the whole in numbers; what is silent makes it fail."""
    servers.rows = [row(1), row(2), row(3)]
    servers.results = {2: Kicked.GONE, 3: Kicked.SILENT}

    ran = run(desk, "kick", "shop/web", "--json", SESSION_KICKS_PER_SECOND="1000")

    *each, last = map(json.loads, ran.stdout.splitlines())
    assert {(1, "done"), (2, "gone"), (3, "silent")} == {(one["client_id"], one["result"]) for one in each}
    assert (1, {"done": 1, "gone": 1, "silent": 1}) == (
        ran.exit_code,
        {key: last["summary"][key] for key in ("done", "gone", "silent")},
    )


@pytest.mark.parametrize(
    ("beside", "why"),
    [
        (None, "none is running here (127.0.0.1:1)"),
        (Neighbour(ready=False, failing={"nats": "not subscribed"}), "is not ready: nats: not subscribed"),
    ],
)
def test_nobody_is_sent_away_while_logins_fail(
    desk: Desk, servers: FakeServers, monkeypatch: pytest.MonkeyPatch, beside: Neighbour | None, why: str
) -> None:
    """A responder beside the command must be ready, unless forced."""
    asked: list[Any] = []

    async def readiness(*place: Any) -> Neighbour | None:
        asked.append(place)
        return beside

    monkeypatch.setattr(responder_status, "readiness", readiness)
    servers.rows = [row(1)]

    refused, forced = run(desk, "kick", "--all"), run(desk, "kick", "--all", "--force")

    assert (2, True, 0) == (refused.exit_code, why in refused.stderr, forced.exit_code)
    assert ([("S1", 1)], [("127.0.0.1", 1)]) == (servers.kicked, asked)


def test_nobody_is_sent_away_while_an_operator_holds(
    desk: Desk, servers: FakeServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody said that nobody is to be ended: only who says that it is meant does it all the same."""

    async def counters(*_: Any) -> dict[str, float]:
        return {"nats_auth_sessions_held": 1.0}

    monkeypatch.setattr(responder_status, "counters", counters)
    servers.rows = [row(1)]

    refused, dry, forced = (run(desk, "kick", "--all", *more) for more in ((), ("--dry-run",), ("--force",)))

    assert (2, 0, 0) == (refused.exit_code, dry.exit_code, forced.exit_code)
    assert "Nothing was ended: an operator holds all kicks (`sessions resume` ends that)" in refused.stderr
    assert [("S1", 1)] == servers.kicked


@pytest.mark.parametrize(
    ("word", "answers", "code", "said"),
    [
        ("hold", [Replica("a", True), Replica("b", True)], 0, "2 replicas answered"),
        ("resume", [Replica("a\x1b", False)], 0, r"a\u001b ends sessions"),
        ("resume", [Replica("a", True)], 1, "a holds"),
        ("hold", [], 1, "no replica answered"),
        ("hold", Unreachable("no route"), 2, "Cannot answer now: no route"),
    ],
)
def test_hold_and_resume(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, word: str, answers: list[Replica] | Unreachable, code: int, said: str
) -> None:
    """Every replica that answers is told; all must do as they are told, and one at least."""
    told = []

    async def tell(_: Settings, word: str) -> list[Replica]:
        told.append(word)
        if isinstance(answers, Unreachable):
            raise answers
        return answers

    monkeypatch.setattr(replicas, "tell", tell)

    ran = run(desk, word)

    assert (code, True, [word]) == (ran.exit_code, said in ran.output, told), ran.output
