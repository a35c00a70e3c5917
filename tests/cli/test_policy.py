"""policy check, as whoever writes a policy runs it."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.desk import HOSTILE, Desk
from tests.cli.test_output import obeyed
from tests.settings.test_policy_codes import FILES
from tests.settings.whole import OPERATOR

GOOD = "version: 1\nrules:\n  - {name: all, match: {}}\n"
TWO = (
    "version: 1\naccounts: ['t-*']\nroles: {r: {publish: [x.a]}}\nrules:\n"
    "  - {name: shop, match: {namespaces: [shop]}, root: s, roles: [r], annotations: {publish: ['x.>']}, account: 't-{name}'}\n"
    "  - {name: closed, match: {namespaces: [pay]}, refuse: INC-1}\n"
    "  - {name: nobody, match: {namespaces: [none]}}\n"
    "revoked: [{jti: x}]\n"
)


def _file(desk: Desk, text: str, name: str = "policy.yaml") -> str:
    path = desk.folder / name
    path.write_text(text)
    return str(path)


def test_a_file_without_findings(desk: Desk) -> None:
    ran = desk.run("policy", "check", _file(desk, GOOD))

    assert (0, "sha256 df031971…  1 rule, 0 roles, 1 account, 0 revoked; 0 errors, 0 warnings\n") == (
        ran.exit_code, ran.output,
    )  # fmt: skip


def test_the_file_of_the_environment_is_meant_when_none_is_named(desk: Desk) -> None:
    ran = desk.run("policy", "check", POLICY_FILE=_file(desk, GOOD))

    assert 0 == ran.exit_code


@pytest.mark.parametrize(
    ("code", "strict", "exit_code"), [("E13", False, 1), ("W11", False, 0), ("W11", True, 1), ("E04", True, 1)]
)
def test_a_finding_is_a_line_and_decides_the_exit_code(desk: Desk, code: str, strict: bool, exit_code: int) -> None:
    path = FILES / f"{code}.yaml"
    ran = desk.run("policy", "check", str(path), *(["--strict"] if strict else []))
    found = desk.report("policy", "check", str(path))

    first, summary = ran.output.splitlines()
    assert exit_code == ran.exit_code
    assert re.match(rf"{re.escape(str(path))}:\d+: {code} .*a", first)
    assert summary.endswith("1 error, 0 warnings" if code.startswith("E") else "0 errors, 1 warning")
    assert [code] == [finding["code"] for finding in _list(found["findings"])]


def _list(value: Any) -> list[dict[str, Any]]:
    return list(value)


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (["/none"], {}, "Cannot answer now: /none cannot be read: No such file or directory"),
        (["{}", "--settings"], {"NATS_ACCOUNT": ""}, "NATS_ACCOUNT: is required"),
        (["{}", "--against", "/none"], {}, "Cannot answer now: /none cannot be read"),
        (["{}", "--against", str(FILES / "E13.yaml")], {}, "E13.yaml:6: E13 rule a: "),
        (["{}", "--cluster"], {"SERVICE_ACCOUNTS_DIR": "{}/broken"}, "bad.yaml: not YAML"),
    ],
)
def test_what_cannot_be_looked_at(desk: Desk, arguments: list[str], variables: dict[str, str], said: str) -> None:
    """Exit code 2: neither good nor bad."""
    (desk.folder / "broken").mkdir()
    (desk.folder / "broken" / "bad.yaml").write_text("{")
    given = [argument.format(_file(desk, GOOD)) for argument in arguments]
    ran = desk.run("policy", "check", *given, **{name: text.format(desk.folder) for name, text in variables.items()})

    assert 2 == ran.exit_code
    assert said in ran.output


def test_an_account_needs_its_key_file(desk: Desk) -> None:
    """In operator mode a name that has no file refuses everybody of its rule. Config mode knows every name."""
    path = str(FILES / "E21.yaml")
    operator = desk.run("policy", "check", path, "--settings", **_operator(desk))
    config = desk.run("policy", "check", path, "--settings")

    assert 1 == operator.exit_code
    assert operator.output.startswith(f"{path}:5: E21 rule a: account TENANT: NATS_ACCOUNTS_DIR is not set\n")
    assert (0, False) == (config.exit_code, "E21" in config.output)


def _operator(desk: Desk) -> dict[str, str]:
    return {"NATS_ACCOUNT": OPERATOR["NATS_ACCOUNT"]}


def test_the_settings_are_what_silent_fields_say(desk: Desk) -> None:
    """Alone a file cannot tell that replies are on for everybody."""
    path = _file(desk, GOOD)

    assert "W02" not in desk.run("policy", "check", path).output
    assert "W02" in desk.run("policy", "check", path, "--settings", REPLY_MODE="responses").output


def test_the_cluster_tells_who_is_under_which_rule(desk: Desk) -> None:
    """And whom no rule takes, whom a rule refuses, and which entries of annotations will be left out."""
    desk.account("shop", "web", {"nats.io/allowed-pub-subjects": f"x.b,y,{HOSTILE}"})
    desk.account("pay", "api")
    desk.account("dev", "a")
    path = _file(desk, TWO)
    ran = desk.run("policy", "check", path, "--cluster")
    found = desk.report("policy", "check", path, "--cluster")

    assert [
        "rule shop: 1",
        "rule closed: 1",
        "rule nobody: nobody",
        "dev/a: refused: no_rule (no rule matches it)",
        "pay/api: refused: refused_by_rule (INC-1)",
        "shop/web: left out: y (is beyond what rule shop lets annotations ask for)",
    ] == [line for line in ran.output.splitlines() if not line.startswith(("sha256", path)) and r"\u001b" not in line]
    assert obeyed(ran.output.replace("…", "")) == []
    assert ran.output.endswith("1 revoked; 0 errors, 2 warnings; 3 ServiceAccounts\n")
    assert {"shop": 1, "closed": 1, "nobody": 0} == found["cluster"]["rules"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (GOOD, GOOD, ["no rule changes"]),
        (
            GOOD, "version: 1\nrules: [{name: b, match: {}}, {name: all, match: {}, session: 1m}]\n",
            ["rule b new", "rule all changes session_max_seconds"],
        ),
        (
            "version: 1\nrules: [{name: a, match: {}}, {name: b, match: {}}]\n",
            "version: 1\nrules: [{name: b, match: {}}, {name: a, match: {}}]\n",
            ["rule b changes its place", "rule a changes its place"],
        ),
        (None, GOOD, ["rule all new"]),
    ],
)  # fmt: skip
def test_two_files_are_compared_rule_by_rule(desk: Desk, old: str | None, new: str, lines: list[str]) -> None:
    against = "none" if old is None else _file(desk, old, "old.yaml")
    path = _file(desk, new)
    ran = desk.run("policy", "check", path, "--against", against)

    assert lines == [line for line in ran.output.splitlines() if not line.startswith(("sha256", path))]


def test_two_files_are_compared_workload_by_workload(desk: Desk) -> None:
    """Who is refused now, who lands elsewhere, and what each loses and gains; `none` is what holds without a file."""
    desk.account("shop", "web", {"nats.io/allowed-pub-subjects": "x.b,y"})
    desk.account("pay", "api")
    path = _file(desk, TWO)

    def told(*arguments: str, **more: str) -> list[str]:
        lines = desk.run("policy", "check", *arguments, "--cluster", **more).output.splitlines()
        return [
            line
            for line in lines
            if line.startswith(("shop/", "pay/")) and "left out" not in line and ": refused: " not in line
        ]

    assert [
        "pay/api: refused now: refused_by_rule (INC-1)",
        "shop/web: account APP -> t-web",
        "shop/web: loses publish shop.>",
        "shop/web: loses publish y",
        "shop/web: gains publish s.>",
        "shop/web: gains publish x.a",
        "shop/web: loses subscribe shop.>",
        "shop/web: gains subscribe s.>",
        "shop/web: kinds leafnode, mqtt, nats, websocket -> nats, websocket",
    ] == told(path, "--against", "none")
    assert ["pay/api: let in now"] == told(
        _file(desk, TWO.replace("refuse: INC-1", "root: p"), "new.yaml"), "--against", path
    )
    narrowed = _file(
        desk,
        TWO.replace("root: s,", "root: s, deny: {publish: [s.x], subscribe: [s.y]}, replies: {max: 2, ttl: 5s}, pod: required,"
                    " networks: ['10.0.0.0/8'], session: 1m,"),
        "new.yaml",
    )  # fmt: skip
    assert [
        "shop/web: loses publish _INBOX.>",
        "shop/web: loses publish _INBOX_SA.>",
        "shop/web: gains deny publish s.x",
        "shop/web: gains deny subscribe s.y",
        "shop/web: replies inbox -> 2 in 5 s",
        "shop/web: session 3600 s -> 60 s",
        "shop/web: networks any -> 10.0.0.0/8",
        "shop/web: pod any -> required",
    ] == told(narrowed, "--against", path)


def test_a_long_list_is_cut_for_people_alone(desk: Desk) -> None:
    for number in range(120):
        desk.account("dev", f"a{number:03}")
    path = _file(desk, TWO)
    ran = desk.run("policy", "check", path, "--cluster", "--against", "none")

    assert "and 20 more that are refused: --json has all" in ran.output
    assert "and 21 more workloads: --json has all" in ran.output
    assert 120 == len(desk.report("policy", "check", path, "--cluster")["cluster"]["refused"])  # type: ignore[index]


def test_the_rights_that_labels_need_are_told(desk: Desk) -> None:
    path = str(Path(__file__).parents[2] / "examples" / "policies" / "02-account-by-label.yaml")

    assert (
        "goes by labels (example.com/team): needs get, list and watch on namespaces"
        in desk.run("policy", "check", path).output
    )
    assert (
        "namespaces, of pay, shop alone, in a ClusterRole"
        in desk.run("policy", "check", path, "--settings", K8S_NAMESPACES="shop,pay").output
    )


def test_labels_are_those_of_the_cluster(desk: Desk) -> None:
    """A namespace that nobody knows is not judged as one without labels."""
    path = str(Path(__file__).parents[2] / "examples" / "policies" / "02-account-by-label.yaml")
    (desk.folder / "accounts" / "ns.yaml").write_text(
        "kind: Namespace\nmetadata: {name: shop, labels: {example.com/team: eu}}\n---\n"
        "kind: Namespace\nmetadata: {name: dev}\n"
    )
    desk.account("dev", "a")
    desk.account("lost", "b")
    ran = desk.run("policy", "check", path, "--cluster")

    assert [
        "rule by-team: 1",
        "dev/a: refused: no_rule (no rule matches it)",
        "lost/b: refused: internal (the labels of its namespace are not known)",
    ] == [line for line in ran.output.splitlines() if not line.startswith((path, "goes by", "sha256"))]
