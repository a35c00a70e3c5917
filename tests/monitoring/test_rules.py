"""The alerts, by promtool: each fires on its fault and on nothing else, and each has a runbook."""

import errno
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from tests.monitoring import mutants, shipped
from tests.monitoring.shipped import (
    DOCUMENT,
    FOREIGN,
    NAMESPACE,
    RULES,
    UNIT_TESTS,
    alerts,
    groups,
    known,
    records,
    rules_text,
    run_promtool,
    run_unit_tests,
    selectors,
)
from tests.side_by_side import side_by_side
from tests.test_docs import anchors, families

SEVERITIES = {"critical", "warning", "info"}
EACH_ALERT = pytest.mark.parametrize("name", sorted(alerts()))


@cache
def expectations() -> list[dict[str, Any]]:
    """Return every moment at which a unit test looks for an alert."""
    tests = [test for file in UNIT_TESTS for test in yaml.load(file.read_text(), yaml.CSafeLoader)["tests"]]
    return [expected for test in tests for expected in test.get("alert_rule_test", ())]


@pytest.mark.parametrize("namespace", [NAMESPACE, ""], ids=["one-namespace", "all-namespaces"])
def test_rules_are_valid(namespace: str, tmp_path: Path) -> None:
    """The rules are accepted by promtool, as the chart renders them and as they are used by hand."""
    file = tmp_path / "rules.yml"
    file.write_text(rules_text(namespace))
    code, said = run_promtool("check", "rules", "--lint=all", "--lint-fatal", str(file))

    assert (0, True) == (code, "SUCCESS" in said), said


@pytest.mark.parametrize(
    ("code", "of", "starts"), [("EFAULT", "promtool", 3), ("EFAULT", None, 1), ("EACCES", "promtool", 1)]
)
def test_promtool_is_started_again_only_where_it_did_not_run(
    code: str, of: str | None, starts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that the machine refused is tried again, twice; whatever else goes wrong is not."""
    seen: list[object] = []

    def refuse(command: list[str], **_options: object) -> NoReturn:
        seen.append(command)
        raise OSError(getattr(errno, code), "no", of)

    monkeypatch.setattr(shipped, "promtool", lambda: "promtool")
    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(OSError, match="no"):
        run_promtool("check", "rules")

    assert [["promtool", "check", "rules"]] * starts == seen


@pytest.mark.parametrize("namespace", [NAMESPACE, ""], ids=["one-namespace", "all-namespaces"])
def test_each_alert_fires_on_its_fault_and_on_nothing_else(namespace: str, tmp_path: Path) -> None:
    """The unit tests hold, for one release and for rules that cover all of them."""
    other = "unscoped" if namespace else "scoped"
    names = [file.stem for file in UNIT_TESTS if file.stem != other]
    code, said = run_unit_tests(tmp_path, rules_text(namespace), *names)

    assert 0 == code, said


@EACH_ALERT
def test_each_alert_has_a_unit_test_of_both_kinds(name: str) -> None:
    """For every alert a unit test names a moment when it fires, and one just before, or after, when it does not."""
    wanted = [expected for expected in expectations() if expected["alertname"] == name]

    assert {True, False} == {bool(expected["exp_alerts"]) for expected in wanted}


@EACH_ALERT
def test_each_alert_says_what_to_do(name: str) -> None:
    """An alert has a severity, a summary in one line, a description, and a link to its own runbook."""
    alert = alerts()[name]

    assert alert["labels"]["severity"] in SEVERITIES
    assert {"summary", "description", "runbook_url"} == set(alert["annotations"])
    assert 0 < len(alert["annotations"]["summary"]) <= 100
    assert alert["annotations"]["runbook_url"].endswith(f"#{name.lower()}")


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    """docs/MONITORING.md has a heading for every alert, and none for one that is gone; each has its four parts."""
    text = DOCUMENT.read_text()
    runbooks = dict(re.findall(r"^### (NatsAuthCallout\w+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))

    assert set(alerts()) == set(runbooks)
    assert {name.lower() for name in alerts()} <= anchors(DOCUMENT)
    for name, runbook in runbooks.items():
        parts = re.findall(r"^\*\*(What it means|Be sure|Do|Clients)\.\*\*", runbook, re.MULTILINE)
        assert ["What it means", "Be sure", "Do", "Clients"] == parts, name


def test_every_metric_of_the_rules_is_exposed() -> None:
    """
    A rule names nothing but what we expose, what another rule of the file records, and a short list of others' metrics.
    """
    ours = families() | known() | {"process_start_time_seconds", "nats_auth_request_duration_seconds_bucket"}
    named = {name for group in groups() for rule in group["rules"] for name, _ in selectors(rule["expr"])}

    assert set() == named - ours - records() - FOREIGN
    assert set() == records() - named, "a record that no alert uses"


def test_every_selector_is_scoped() -> None:
    """Each series is asked for within the namespace, so that two releases' rules never speak about each other."""
    text = RULES.read_text()
    rules = [rule for group in groups(text) for rule in group["rules"]]
    names = re.compile(r"(?<![\w:\"])(?:nats_auth[\w:]+|process_\w+|kube_\w+|up)\b(?!\s*\()")

    for rule in rules:
        without_labels = re.sub(r"\{[^{}]*\}", "{}", rule["expr"])
        assert all(without_labels[found.end()] == "{" for found in names.finditer(without_labels)), rule
        assert all("NAMESPACE_SELECTOR" in matchers for _, matchers in selectors(rule["expr"])), rule


@pytest.mark.slow
@pytest.mark.parametrize("group", range(len(groups())), ids=lambda number: str(groups()[number]["name"]))
def test_one_group_alone_passes_its_unit_tests(group: int, tmp_path: Path) -> None:
    """Nothing but the fault that a mutant has makes the tests below fail."""
    right = mutants.Mutant("none", group, 0, {})
    code, said = run_unit_tests(tmp_path, right.rules, *right.unit_tests)

    assert 0 == code, said


@pytest.mark.parametrize("mutant", [pytest.param(mutant, id=mutant.name) for mutant in mutants.chosen()])
def test_unit_tests_notice(mutant: mutants.Mutant, tmp_path: Path) -> None:
    """A wrong metric, a flipped comparison, a bound that moved, and a lost `for` are all seen by the unit tests."""
    code, said = run_unit_tests(tmp_path, mutant.rules, *mutant.unit_tests)

    assert 0 != code, said
    assert "FAILED" in said


EVERY_MUTANT = (*mutants.every(), *mutants.moved())
ALL_MUTANTS = {mutant.name: mutant for mutant in EVERY_MUTANT}
assert len(ALL_MUTANTS) == len(EVERY_MUTANT), "two mutants of one name"


@pytest.fixture(scope="module")
def verdicts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], tuple[int, str]]]:
    """Say what promtool made of a mutant; two at a time."""
    folder = tmp_path_factory.mktemp("mutants")

    def run(name: str) -> tuple[int, str]:
        mutant = ALL_MUTANTS[name]
        place = folder / str(list(ALL_MUTANTS).index(name))
        place.mkdir()
        return run_unit_tests(place, mutant.rules, *mutant.unit_tests)

    yield from side_by_side(
        request, test_unit_tests_notice_every_mutant.__name__, lambda params: str(params["name"]), run
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_MUTANTS)
def test_unit_tests_notice_every_mutant(name: str, verdicts: Callable[[str], tuple[int, str]]) -> None:
    """So it is for every metric, every comparison and every `for` of every rule."""
    code, said = verdicts(name)

    assert 0 != code, said
    assert "FAILED" in said
