"""Listing sessions: what servers tell, against what the cluster says now."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nats_k8s_oidc_callout.app import census as census_module
from nats_k8s_oidc_callout.app.census import Counted
from nats_k8s_oidc_callout.app.sessions.listing import Question, ask
from nats_k8s_oidc_callout.app.sessions.today import Census, Known, take_census
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.sessions.judging import Today
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import SessionControl, Settings, load
from tests.cli.desk import Desk
from tests.fakes.sessions import NOW, FakeServers, label, row


def settings_of(folder: Path, **more: str) -> Settings:
    desk = Desk.new(folder)
    return load(desk.variables(SESSION_CONTROL="on", SESSION_RELEASE="ours", **more))


def census(**changes: Any) -> Census:
    """Return a cluster in which the plain session of shop/web fits."""
    web = Known("uid-web", Today("APP", "00000000"), refused=False)
    return Census(Policy([]), {"APP"}, of={("shop", "web"): web._replace(**changes)})


@pytest.mark.parametrize(
    ("session", "cluster", "current", "state"),
    [
        ({}, {}, True, "live"),
        ({"expires": int(NOW) + 10}, {}, True, "renewal due"),
        ({"expires": int(NOW) - 1}, {}, True, "past its end"),
        ({"grant": "11111111"}, {}, False, "grant changed"),
        ({}, {"today": Today("OTHER", "00000000")}, False, "account changed"),
        ({}, {"uid": "uid-new"}, True, "recreated"),
        ({}, {"today": None}, None, "live"),
        ({}, {"today": None, "refused": True}, None, "refused"),
        ({"name": "gone"}, {}, None, "deleted"),
        ({"release": "theirs"}, {"refused": True}, True, "another release"),
    ],
)
async def test_a_session(
    tmp_path: Path, session: dict[str, Any], cluster: dict[str, Any], current: bool | None, state: str
) -> None:
    """Whether it still fits, and what becomes of it."""
    servers = FakeServers([row(1, label(**session))])

    answer = await ask(servers, settings_of(tmp_path), census(**cluster), Question(), NOW)

    assert [(current, state)] == [(one.current, one.state) for one in answer.found]


async def test_without_renewal(tmp_path: Path) -> None:
    """Nobody waits for a renewal that does not come."""
    settings = replace(settings_of(tmp_path), session_control=SessionControl.REVOKE)

    answer = await ask(FakeServers([row(1, label(expires=int(NOW) + 10))]), settings, census(), Question(), NOW)

    assert ["live"] == [one.state for one in answer.found]


async def test_out_of_scope(tmp_path: Path) -> None:
    """Sessions of namespaces that this release does not serve are not judged."""
    servers = FakeServers([row(1)])

    answer = await ask(servers, settings_of(tmp_path, K8S_NAMESPACES="other"), census(), Question(), NOW)

    assert ["namespace not served"] == [one.state for one in answer.found]


@pytest.mark.parametrize(
    ("question", "cids"),
    [
        (Question(), [3, 1, 2, 4]),
        (Question("shop"), [1, 2, 4]),
        (Question("shop", "web"), [1, 2]),
        (Question("none"), []),
    ],
)
async def test_the_question(tmp_path: Path, question: Question, cids: list[int]) -> None:
    """In the order of namespaces, names and begins; whoever has no ServiceAccount's name is only counted."""
    plain = row(4, "system:serviceaccount:shop:worker")
    rows = [
        plain,
        row(2),
        row(1, start=NOW - 70),
        row(3, label(namespace="a", name="b")),
        row(5, "admin"),
        row(6, "UABC"),
    ]

    answer = await ask(FakeServers(rows), settings_of(tmp_path), census(), question, NOW)

    assert (cids, 2) == ([one.row.cid for one in answer.found], answer.unlabelled)
    assert ["no label"] * (4 in cids) == [one.state for one in answer.found if one.row.cid == 4]


async def test_who_did_not_answer(tmp_path: Path) -> None:
    """Silent servers and accounts that cannot be asked are told; a server that is gone is neither."""
    settings = settings_of(tmp_path)
    servers = FakeServers([row(1)], silent=["S2", "S3"], gone=["S3"], deaf=["OTHER"])
    taken = census()
    taken.accounts.add("OTHER")
    taken.names = {"OTHER": "partners"}

    answer = await ask(servers, settings, taken, Question(), NOW)

    assert ({"S1": "n1"}, {"S2"}, {"partners": "nobody listens"}) == (answer.servers, answer.silent, answer.refused)
    assert not answer.is_whole
    assert (await ask(FakeServers(), settings, census(), Question(), NOW)).is_whole


async def test_the_census(tmp_path: Path) -> None:
    """The accounts of rules and of everybody, and what each ServiceAccount would get."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        'version: 1\naccounts: ["team-*"]\nrules:\n'
        "  - {name: out, match: {namespaces: [evil]}, refuse: no}\n"
        '  - {name: teams, match: {namespaces: ["{team}-web"]}, account: "team-{team}"}\n'
        "  - {name: rest, match: {}, account: LITERAL}\n"
    )
    settings = settings_of(tmp_path, POLICY_FILE=str(policy))
    for namespace in ("evil", "pay-web"):
        (tmp_path / "accounts" / f"{namespace}.json").write_text(
            f'{{"kind": "ServiceAccount", "metadata": {{"namespace": "{namespace}", "name": "a", "uid": "u-{namespace}"}}}}'
        )

    taken = await take_census(settings)

    assert ("", {"LITERAL", "team-pay"}) == (taken.trouble, taken.accounts)
    assert Known("u-evil", None, refused=True) == taken.of["evil", "a"]
    pay = taken.of["pay-web", "a"]
    assert ("u-pay-web", "team-pay", 8) == (
        pay.uid,
        pay.today and pay.today.account,
        len(pay.today.mark if pay.today else ""),
    )


async def test_a_cluster_that_cannot_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is judged by the half that was told, and nothing is missing of what the rules name."""
    settings = settings_of(tmp_path)

    async def half(_: Settings) -> AsyncIterator[Counted]:
        yield Counted("shop", "web", "uid-web", None)
        raise Unreachable("the connection broke")

    monkeypatch.setattr(census_module, "service_accounts", half)
    taken = await take_census(settings)
    answer = await ask(FakeServers([row(1, label(name="gone"))]), settings, taken, Question(), NOW)

    assert ({"APP"}, {}, "the connection broke") == (taken.accounts, taken.of, taken.trouble)
    assert [(None, "live")] == [(one.current, one.state) for one in answer.found]


async def test_without_labels_of_our_own(tmp_path: Path) -> None:
    """There is nothing to compare the labels of others with."""
    taken = await take_census(replace(settings_of(tmp_path), session_control=SessionControl.OFF))

    assert {("shop", "web"): Known("uid-web", None, refused=False)} == taken.of
