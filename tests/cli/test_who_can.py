"""who-can: everybody is asked about, grouped by account, with what gives it."""

import json
from pathlib import Path

import pytest

from tests.cli.desk import Desk

POLICY = """\
version: 1
accounts: ["team-*"]
roles:
  audits: {publish: ["audit.{namespace}.{name}"]}
rules:
  - {name: admins, match: {namespaces: [ops]}, account: PLATFORM, root: none, publish: [">"], deny: {publish: ["pay.*.raw"]}}
  - name: teams
    match: {namespaces: ["{team}-web", "{team}-api"]}
    account: "team-{team}"
    roles: [audits]
    subscribe: ["events.*"]
    annotations: {publish: ["shared.{team}.>"]}
  - {name: services, match: {namespaces: [svc]}, replies: {max: 1, ttl: 5s}}
  - {name: streams, match: {namespaces: [streams]}, account: PLATFORM, jetstream: ["consume:ORDERS/web"]}
"""


@pytest.fixture
def policy(desk: Desk) -> str:
    """Write a policy and five workloads beside the desk's own, which no rule takes; return the policy's path."""
    asked = {"nats.io/allowed-pub-subjects": "shared.pay.x, other.y"}
    for who in ("ops/cli", "pay-web/app", "pay-api/app", "svc/api", "streams/worker"):
        namespace, _, name = who.partition("/")
        desk.account(namespace, name, asked)
    path = desk.folder / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


def answer(desk: Desk, policy: str, *arguments: str) -> tuple[int, list[str]]:
    """Return the exit code, and the lines before the summary, with single spaces."""
    ran = desk.run("who-can", *arguments, "--policy", policy)
    return ran.exit_code, [" ".join(line.split()) for line in ran.output.splitlines()[:-2]]


def test_who_can_some(desk: Desk, policy: str) -> None:
    """By account, namespace and name: all or some, the entry, what gives it, the rule, and what is denied of it."""
    expected = [
        "APP",
        "+ 1 workload could by answering themselves (replies on): --through-replies",
        "PLATFORM",
        "ops/cli some > rule rule admins not: pay.*.raw (denied)",
        "+ 1 workload could by aiming JetStream's answers: --through-replies",
    ]
    assert (0, expected) == answer(desk, policy, "publish", "pay.>")


@pytest.mark.parametrize(
    ("arguments", "code", "rows"),
    [
        (["publish", "audit.>"], 0, ["ops/cli all > rule rule admins", "pay-api/app some audit.pay-api.app role:audits rule teams", "pay-web/app some audit.pay-web.app role:audits rule teams"]),
        (["publish", "audit.>", "--all"], 0, ["ops/cli all > rule rule admins"]),
        (["publish", "pay.>", "--all"], 1, []),
        (["publish", "shared.pay.x", "--account", "team-pay", "--namespace", "*-api"], 0, ["pay-api/app all shared.pay.x annotation:nats.io/allowed-pub-subjects rule teams"]),
        (["publish", "other.y", "--account", "team-pay"], 1, []),
        (["subscribe", "events.a.b", "--account", "team-pay", "--limit", "1"], 0, ["pay-api/app all events.* rule rule teams"]),
        (["subscribe", "svc.x"], 0, ["svc/api all svc.> root rule services"]),
        (["subscribe", "nothing.at.all"], 1, []),
        (["publish", "x.y", "--account", "APP", "--through-replies"], 0, ["svc/api all x.y could by answering themselves (replies on) rule services"]),
    ],
)  # fmt: skip
def test_what_is_asked(desk: Desk, policy: str, arguments: list[str], code: int, rows: list[str]) -> None:
    """Each option narrows what is listed, and the exit code says whether anybody is."""
    found = answer(desk, policy, *arguments)

    assert (code, rows) == (found[0], [line for line in found[1] if "/" in line.split()[0]])


def test_the_summary(desk: Desk, policy: str) -> None:
    """How many of how many, by which file, when; and what is left out."""
    ran = desk.run("who-can", "subscribe", "events.a", "--policy", policy, "--limit", "1")

    more, counted, left_out = ran.output.splitlines()[-3:]
    assert "and 1 more (--limit)" == more
    assert counted.startswith("2 of 6 workloads; policy ")
    assert "exports and imports" in left_out


def test_as_json_lines(desk: Desk, policy: str) -> None:
    """One object a workload, then one of the whole."""
    ran = desk.run("who-can", "publish", "audit.>", "--policy", policy, "--json")

    *found, last = map(json.loads, ran.stdout.splitlines())
    assert {
        "account": "team-pay",
        "workload": "pay-api/app",
        "rule": "teams",
        "extent": "some",
        "ways": [],
        "subject": "audit.pay-api.app",
        "from": "role:audits",
        "not": [],
    } in found
    assert (3, 6) == (last["summary"]["workloads"], last["summary"]["asked"])
    assert {"APP": {"replies": 1, "jetstream": 0}, "PLATFORM": {"replies": 0, "jetstream": 1}} == last["summary"][
        "around"
    ]


def test_without_a_policy_file(desk: Desk) -> None:
    """Today's permissions are asked about, and no rule is named."""
    ran = desk.run("who-can", "publish", "shop.x")

    assert ["APP", "shop/web all shop.> root"] == [" ".join(line.split()) for line in ran.output.splitlines()[:2]]
    assert "1 of 1 workloads; no policy file; " in ran.output


def test_unknown_labels_are_no_answer(desk: Desk) -> None:
    """A workload whose namespace is not known is counted, and "nobody" cannot be said then."""
    path = desk.folder / "labels.yaml"
    path.write_text('version: 1\nrules: [{name: a, match: {namespace_labels: {team: "{team}"}}, root: "{team}"}]\n')
    nobody = desk.run("who-can", "publish", "a.x", "--policy", str(path))
    manifest = {"kind": "Namespace", "metadata": {"name": "shop", "uid": "1", "labels": {"team": "a"}}}
    (desk.folder / "accounts" / "namespace.yaml").write_text(json.dumps(manifest))
    found = desk.run("who-can", "publish", "a.x", "--policy", str(path))

    assert (2, True) == (
        nobody.exit_code,
        "1 are left out: the labels of their namespaces are not known" in nobody.output,
    )
    assert (0, True) == (found.exit_code, "shop/web" in found.output)


def test_the_policy_in_force(desk: Desk, policy: str) -> None:
    """POLICY_FILE is asked when no other file is named, with the cluster and without."""
    for more in ([], ["--rules-only"]):
        ran = desk.run("who-can", "publish", "x.y", "--account", "PLATFORM", *more, POLICY_FILE=policy)
        assert (0, True) == (ran.exit_code, "rule admins" in ran.output)


@pytest.mark.parametrize(
    ("arguments", "code", "rows"),
    [
        (
            ["publish", "audit.pay-web.y"],
            0,
            [
                "rule services: none, but could by answering themselves (replies on)",
                "rule admins: up to > rule",
                "rule streams: none, but could by aiming JetStream's answers",
                "rule teams: up to audit.{namespace}.{name} role:audits",
            ],
        ),
        (["publish", "shared.pay.z", "--account", "team-pay"], 0, ["rule teams: up to shared.{team}.> annotation"]),
        (["publish", "audit.other.y", "--account", "team-x"], 1, []),
        (["publish", "shared.pay.z", "--account", "OTHER"], 1, []),
        (["subscribe", "events.a", "--account", "team-x"], 0, ["rule teams: up to events.* rule"]),
        (
            ["publish", "q", "--account", "PLATFORM"],
            0,
            ["rule admins: up to > rule", "rule streams: none, but could by aiming JetStream's answers"],
        ),
    ],
)
def test_the_rules_alone(policy: str, desk: Desk, arguments: list[str], code: int, rows: list[str]) -> None:
    """Without a cluster, and without any other setting: what the rules could give to anybody."""
    ran = desk.run(
        "who-can", *arguments, "--rules-only", "--policy", policy, NATS_CREDS_FILE="", SERVICE_ACCOUNTS_DIR=""
    )

    assert (code, rows) == (
        ran.exit_code,
        [" ".join(line.split()) for line in ran.output.splitlines() if line.startswith("  ")],
    ), ran.output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["publish", "a..b"], "a..b has an empty token"),
        (["receive", "a"], "'receive' is not one of"),
        (["publish", "a", "--namespace", "{a}{b}"], "between {a} and {b}"),
    ],
)
def test_bad_use(desk: Desk, arguments: list[str], why: str) -> None:
    """Exit code 2, which never passes for nobody."""
    ran = desk.run("who-can", *arguments)

    assert (2, True) == (ran.exit_code, why in ran.stderr)


def test_what_cannot_be_told(desk: Desk, tmp_path: Path) -> None:
    """A bad policy, and a source that cannot be read whole: 2."""
    (tmp_path / "bad.yaml").write_text("version: 3\n")
    bad = desk.run("who-can", "publish", "a", "--policy", str(tmp_path / "bad.yaml"))
    (desk.folder / "accounts" / "broken.yaml").write_text("{")
    broken = desk.run("who-can", "publish", "a")

    assert (2, 2) == (bad.exit_code, broken.exit_code)
    assert "bad.yaml:1: E01" in bad.stderr
    assert "Cannot answer now: " in broken.stderr
