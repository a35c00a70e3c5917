"""policy test: tables beside their policies, the examples among them."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.desk import Desk
from tests.guides.blocks import ROOT

EXAMPLES = ROOT / "examples" / "policies"
POLICY = """\
version: 1
rules:
  - {name: teams, match: {namespaces: ["shop"]}, replies: {max: 1, ttl: 5s}}
  - {name: nobody, match: {namespaces: ["none"]}}
"""
TABLE = """\
cases:
  - {workload: "shop/web", expect: {rule: teams}}
  - workload: "shop/web"
    expect: {no_publish: ["shop.>"]}
"""
FAILURE = 'case 2 shop/web: no_publish "shop.>": rule teams grants "shop.>" by root'
NOTE = "case 2 shop/web: note: may publish anywhere by answering itself"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one table, of which one case fails, and one rule that no case comes to."""
    path = tmp_path / "policies"
    path.mkdir()
    (path / "a.yaml").write_text(POLICY)
    (path / "a.test.yaml").write_text(TABLE)
    return path


def test_every_example_holds_and_every_rule_of_it_is_tested(desk: Desk) -> None:
    """The example policies do what their tables say, and no rule is without a case."""
    ran = desk.run("policy", "test", "--strict", str(EXAMPLES))

    assert (0, "") == (ran.exit_code, ran.stderr), ran.output
    summary = ran.output.splitlines()[-1]
    tables, cases = len(list(EXAMPLES.glob("*.test.yaml"))), int(summary.split()[2])
    assert summary == f"{tables} tables, {cases} cases: 0 failed; 0 rules without a case"
    assert cases >= 50


def test_a_failure_is_one_line_with_its_place(desk: Desk, folder: Path) -> None:
    """A case that fails, what its expectations cannot tell, a rule that nobody tests, and a summary."""
    ran = desk.run("policy", "test", str(folder))

    at = f"{folder}/a.test.yaml:3"
    expected = [
        f"{at}: {FAILURE}",
        f"{at}: {NOTE}",
        f"{folder}/a.yaml: rule nobody: no case comes to it",
        "1 table, 2 cases: 1 failed; 1 rule without a case",
    ]
    assert (1, expected) == (ran.exit_code, ran.output.splitlines())


def test_strict_fails_for_a_rule_without_a_case(desk: Desk, folder: Path) -> None:
    """Only with --strict does such a rule count."""
    (folder / "a.test.yaml").write_text('cases: [{workload: "shop/web", expect: {rule: teams}}]')

    assert [0, 1] == [desk.run("policy", "test", *more, str(folder)).exit_code for more in ([], ["--strict"])]


def test_as_json_and_junit(desk: Desk, folder: Path) -> None:
    """The same facts, for machines."""
    ran = desk.run("policy", "test", str(folder), "--json", "--junit", str(folder / "out.xml"))
    found, suite = json.loads(ran.stdout), ElementTree.parse(folder / "out.xml").getroot()[0]

    (table,) = found["tables"]
    assert (2, 1, ["nobody"]) == (found["cases"], found["failed"], table["rules_without_a_case"])
    assert [[], [FAILURE.partition("web: ")[2]]] == [case["failures"] for case in table["cases"]]
    assert ("2", "1") == (suite.get("tests"), suite.get("failures"))
    assert ["case 1 shop/web", "case 2 shop/web"] == [case.get("name") for case in suite]
    assert FAILURE.partition("web: ")[2] == suite[1][0].text


def test_junit_may_go_to_standard_output(desk: Desk, folder: Path) -> None:
    """Then nothing else does; with --strict a rule without a case is a failed test."""
    ran = desk.run("policy", "test", str(folder), "--junit", "-", "--strict")

    assert ["case 1 shop/web", "case 2 shop/web", "rule nobody"] == [
        case.get("name") for case in ElementTree.fromstring(ran.stdout)[0]
    ]


def test_another_policy_for_a_table(desk: Desk, folder: Path) -> None:
    """--policy replaces the one beside the table, and a table may then have any name."""
    (folder / "b.yaml").write_text(POLICY.replace("teams", "others"))
    (folder / "cases.yaml").write_text('cases: [{workload: "shop/web", expect: {rule: others}}]')

    named = desk.run("policy", "test", str(folder / "cases.yaml"), "--policy", str(folder / "b.yaml"))
    assert 0 == named.exit_code, named.output
    alone = desk.run("policy", "test", str(folder / "cases.yaml"))
    assert (2, True) == (alone.exit_code, "no policy is named" in alone.stderr)


@pytest.mark.parametrize(
    ("settings", "expect"),
    [
        ("", "account: APP, session: 1h, replies: {max: 1, ttl: 5s}"),
        ("NATS_ACCOUNT: SHOP", "account: SHOP"),
        ("SESSION_MAX_SECONDS: 90", "session: 90s"),
        ("REQUIRE_POD_BOUND: true", "rule: teams"),
    ],
)
def test_silent_fields_take_the_tables_settings(desk: Desk, folder: Path, settings: str, expect: str) -> None:
    """Of the environment nothing counts: a table says the same everywhere."""
    (folder / "a.test.yaml").write_text(
        f"settings: {{{settings}}}\ncases: [{{workload: shop/web, expect: {{{expect}}}}}]\n"
    )

    ran = desk.run("policy", "test", str(folder), NATS_ACCOUNT="OTHER", SESSION_MAX_SECONDS="60")
    assert 0 == ran.exit_code, ran.output


@pytest.mark.parametrize(
    ("table", "problems"),
    [
        ("", ["1: E02"]),
        ("cases: []", ["1: E02"]),
        ("cases: [{expect: {}}]", ["1: E02 cases[0].expect has none of", "1: E02 cases[0].workload is required"]),
        ("cases:\n - {workload: shop, expect: {rule: a}}", ["2: E02 cases[0].workload 'shop' is not namespace/name"]),
        ("cases:\n - {workload: a/b, expect: {publish: [a..b]}}", ["2: E14 cases[0].expect.publish[0] 'a..b' has an"]),
        ("cases:\n - {workload: a/b, expect: {refused: nope}}", ["2: E02 cases[0].expect.refused must be `revoked`"]),
        ("cases:\n - {workload: a/b, expect: {refused: revoked, account: A}}", ["2: E02 refused excludes account"]),
        (
            "cases:\n - {workload: a/b, issued: 2026-02-31T00:00:00Z, expect: {rule: a}}",
            ["is no time that there is"],
        ),
        ("cases:\n - {workload: a/b, labels: {a: 1}, expect: {rule: a}}", ["2: E02 cases[0].labels.a must be a text"]),
        ("settings: {PORT: 1}\ncases: [{workload: a/b, expect: {rule: a}}]", ["1: E02 settings.PORT is none of NATS_"]),
        ("settings: {INBOX_MODE: no}\ncases: [{workload: a/b, expect: {rule: a}}]", ["INBOX_MODE: must be one of"]),
        (
            "cases: [{workload: a/b, connection: {pod: 1}, expect: {rule: a}}]",
            ["1: E02 cases[0].connection.pod must be"],
        ),
    ],
)
def test_a_bad_table_is_told_whole(desk: Desk, folder: Path, table: str, problems: list[str]) -> None:
    """Every problem with its line, and exit code 2."""
    (folder / "a.test.yaml").write_text(table)
    ran = desk.run("policy", "test", str(folder))

    assert 2 == ran.exit_code
    told = ran.stderr.splitlines()
    assert [] == [problem for problem in problems if not any(problem in line for line in told)], told
    assert all(line.startswith(f"{folder}/a.test.yaml:") for line in told)


def test_what_cannot_be_looked_at(desk: Desk, folder: Path) -> None:
    """A bad policy, a missing one, and no table at all: 2, and whatever else there is still runs."""
    (folder / "b.test.yaml").write_text(TABLE)
    (folder / "c.test.yaml").write_text(TABLE)
    (folder / "c.yaml").write_text("version: 2\nrules: []\n")
    (folder / "empty").mkdir()
    ran, none = desk.run("policy", "test", str(folder)), desk.run("policy", "test", str(folder / "empty"))

    assert (2, 2) == (ran.exit_code, none.exit_code)
    assert f"{folder}/b.yaml: cannot be read: No such file or directory" in ran.stderr
    assert f"{folder}/c.yaml:1: E01" in ran.stderr
    assert f"{folder}/a.test.yaml:3: {FAILURE}" in ran.output
    assert none.stderr.startswith("no table")


def test_until_counts_at_the_tables_time(desk: Desk, folder: Path) -> None:
    """An entry of `revoked` that ends is tested at a time of the table's choice."""
    (folder / "a.yaml").write_text(f'{POLICY}revoked: [{{workload: "shop/web", until: "2026-11-26T10:00:00Z"}}]\n')
    for now, expect in (("2026-11-26T09:59:59Z", "refused: revoked"), ("2026-11-26T10:00:00Z", "rule: teams")):
        (folder / "a.test.yaml").write_text(f"now: {now}\ncases: [{{workload: shop/web, expect: {{{expect}}}}}]\n")
        assert 0 == desk.run("policy", "test", str(folder)).exit_code
