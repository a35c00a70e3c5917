"""explain with a policy file: which rule decides, what gives each entry, and what came nearest."""

import pytest

from tests.cli.desk import Desk

POLICY = """\
version: 1
roles:
  audits: {publish: ["audit.{namespace}"], jetstream: ["stream-info:AUDIT"]}
rules:
  - {name: closed, match: {namespaces: [closed]}, refuse: "INC-1"}
  - name: teams
    match: {namespaces: ["{team}"], service_accounts: ["web"]}
    root: "team.{team}"
    inbox: private
    replies: none
    networks: ["10.0.0.0/8"]
    pod: required
    roles: [audits]
    subscribe: ["events.*"]
    deny: {publish: ["team.*.raw"]}
    annotations: {publish: ["shared.{team}.>", "team.{team}.>"], jetstream: ["consume:{team}_*"]}
revoked: [{workload: "shop/stolen", reason: "INC-2"}]
"""
ASKED = {
    "nats.io/allowed-pub-subjects": "shared.shop.x, shared.pay.x, $SYS.x",
    "nats.io/jetstream": "consume:shop_A/b, consume:pay_A",
}


@pytest.fixture
def policy(desk: Desk) -> str:
    path = desk.folder / "policy.yaml"
    path.write_text(POLICY)
    desk.account("shop", "web", ASKED)
    for who in ("api", "stolen"):
        desk.account("shop", who)
    desk.account("closed", "web")
    return str(path)


def rows(desk: Desk, policy: str, *arguments: str) -> list[str]:
    """Return what explain prints, line by line, with single spaces."""
    return [" ".join(line.split()) for line in desk.run("explain", *arguments, POLICY_FILE=policy).output.splitlines()]


def test_each_entry_says_what_gives_it(desk: Desk, policy: str) -> None:
    """Rule, file, what it asks of a connection; beside each subject its origin; what is denied; the nearest ceiling."""
    told = rows(desk, policy, "shop/web")
    digest = str(desk.report("explain", "shop/web", POLICY_FILE=policy)["policy"])

    expected = [
        f"policy {digest[:8]}",
        "rule teams",
        "connects by nats or websocket, from 10.0.0.0/8, with a token that a pod holds",
        "publish team.shop.> root",
        "publish audit.shop role:audits",
        "publish $JS.API.STREAM.INFO.AUDIT jetstream:stream-info:AUDIT",
        "publish shared.shop.x nats.io/allowed-pub-subjects",
        "publish $JS.API.CONSUMER.MSG.NEXT.shop_A.b nats.io/jetstream consume:shop_A/b",
        "denied team.*.raw to publish",
        "subscribe _INBOX_SA.shop.web.> inbox",
        "subscribe events.* rule, works as events.>",
    ]
    assert [] == [line for line in expected if line not in told], told
    left_out = {line.split()[2]: line.partition("the nearest ceiling is ")[2] for line in told if "left out" in line}
    assert {"shared.pay.x": "shared.shop.>", "$SYS.x": "", "consume:pay_A": "consume:shop_*"} == left_out


def test_as_json(desk: Desk, policy: str) -> None:
    """The same facts as fields."""
    found = desk.report("explain", "shop/web", POLICY_FILE=policy)

    assert ("teams", 64) == (found["rule"], len(str(found["policy"])))
    assert (["nats", "websocket"], ["10.0.0.0/8"], True) == (found["kinds"], found["networks"], found["pod_required"])
    assert {"publish": ["team.*.raw"], "subscribe": []} == found["denied"]
    assert isinstance(found["publish"], list)
    assert {"subject": "audit.shop", "from": "role:audits"} in found["publish"]


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        ("closed/web", ["refused refused_by_rule (INC-1)", "rule closed"]),
        ("shop/stolen", ["refused revoked (INC-2)"]),
        (
            "shop/api",
            ["refused no_rule (no rule matches it)", "nearest rule teams, but ServiceAccount api matches none of web"],
        ),
    ],
)
def test_who_is_turned_away(desk: Desk, policy: str, workload: str, expected: list[str]) -> None:
    """Why, by which rule, and for whom none matches the rule that came nearest."""
    ran = desk.run("explain", workload, POLICY_FILE=policy)

    assert 1 == ran.exit_code
    told = [" ".join(line.split()) for line in ran.output.splitlines()[1:]]
    assert expected == [line for line in told if not line.startswith("policy ")]


def test_an_account_that_nobody_is_placed_into(desk: Desk) -> None:
    """As a login would hear it."""
    path = desk.folder / "policy.yaml"
    path.write_text('version: 1\naccounts: ["*"]\nrules: [{name: own, match: {}, account: "{namespace}"}]\n')
    desk.account("sys", "web")
    found = desk.report("explain", "sys/web", POLICY_FILE=str(path))

    assert (False, "no_account", "own") == (found["allowed"], found["reason"], found["rule"])
    assert desk.report("explain", "shop/web", POLICY_FILE=str(path))["allowed"]


def test_a_token_is_explained_by_its_rule(desk: Desk, policy: str) -> None:
    """The nearest rule is told of a token, too."""
    token = desk.issuer.token("shop", "api", "uid-api")
    told = rows(desk, policy, "--token-file", desk.file(token))

    assert "nearest rule teams, but ServiceAccount api matches none of web" in told


def test_without_a_policy_file_no_rule_is_told(desk: Desk) -> None:
    """And what everybody has is told as such."""
    ran = desk.run("explain", "shop/web")

    told = [" ".join(line.split()) for line in ran.output.splitlines()]
    assert {"publish shop.> root", "publish _INBOX.> replies", "subscribe _INBOX.> inbox"} <= set(told)
    assert [] == [line for line in told if line.split()[0] in ("policy", "rule", "connects", "nearest")]
