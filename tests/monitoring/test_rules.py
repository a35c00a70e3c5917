"""The alerts, by promtool: each fires on its fault and on nothing else, and each has a runbook."""

import errno
import re
import subprocess
from collections.abc import Mapping
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
def test_unit_tests_notice_every_mutant(group: int, tmp_path: Path) -> None:
    """
    A metric misspelt, a comparison flipped, a bound that moved and a lost `for` are each seen by the unit tests of the group
    that they are in, for every rule of it; the group as it is passes them.
    """
    right = mutants.Mutant("none", group, 0, {})
    every = [right, *(mutant for mutant in (*mutants.every(), *mutants.moved()) if mutant.group == group)]
    unnoticed = {mutant.name: mutant for mutant in every}
    assert len(every) == len(unnoticed), "two mutants of one name"

    for unit_tests in right.unit_tests:
        for alone in (True, False):
            unnoticed = passed(unit_tests, unnoticed, tmp_path / f"{unit_tests}-{alone}", alone=alone)

    assert ["none"] == list(unnoticed)


def passed(
    unit_tests: str, broken: Mapping[str, mutants.Mutant], folder: Path, *, alone: bool
) -> dict[str, mutants.Mutant]:
    """
    Return the mutants that these unit tests do not notice (`alone`: those of them that name the broken rule). One promtool
    judges all, and a test that has nothing to do with the rule is asked last: both took minutes.
    """
    whole = yaml.load((Path(__file__).parent / f"{unit_tests}.yaml").read_text(), yaml.CSafeLoader)
    for number, mutant in enumerate(broken.values()):
        place = folder / str(number)
        place.mkdir(parents=True)
        chosen = [test for test in whole["tests"] if not alone or mutant.broken in str(test)]
        (place / "rules.yml").write_text(mutant.rules)
        (place / "tests.yaml").write_text(yaml.dump({**whole, "tests": chosen}, Dumper=yaml.CSafeDumper))
    code, said = run_promtool("test", "rules", *(f"{number}/tests.yaml" for number in range(len(broken))), cwd=folder)
    verdicts = re.findall(r"^Processing test file: (\d+)/.*\n( *SUCCESS)?", said, re.MULTILINE)
    assert [str(number) for number in range(len(broken))] == [number for number, _ in verdicts], said
    good = {name: broken[name] for name, (_, success) in zip(broken, verdicts, strict=True) if success}
    assert code == (1 if len(good) < len(broken) else 0), said
    return good
