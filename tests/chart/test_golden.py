"""What every case renders to, down to the byte: a change of the chart is a diff that somebody reads.

CHART_GOLDEN=write pytest tests/chart/test_golden.py   writes the files anew
"""

import json
import os
import re
from pathlib import Path

import pytest

from tests.chart.chart import CASES, EACH_CASE, HERE, case, notes_of, objects_in, objects_of, template_of
from tools.chart_readme import version

GOLDEN = HERE / "golden"
NOTES = ("quick-start", "operator-mode", "operator-mode-without-creds", "scoped-elsewhere", "rules-of-your-own", "tls")
# The dashboard and the rules have tests of their own; what is the chart's business is around them.
_LONG = re.compile(r"^(  groups:|  \S+\.json: \|)\n(?:(?: {4}.*)?\n)+", re.MULTILINE)


def compared(file: Path, rendered: str) -> None:
    """Compare with a golden file, the version apart."""
    text = re.sub(rf"(?<![\d.]){re.escape(version())}(?![\d.])", "VERSION", _LONG.sub(r"\1 …\n\n", rendered))
    if os.environ.get("CHART_GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text, f"{file.name} is not what the chart renders (CHART_GOLDEN=write)"


@EACH_CASE
def test_each_case_renders_as_it_did(case: Path) -> None:
    """A case renders to its golden file."""
    compared(GOLDEN / case.name, template_of(case))


@pytest.mark.slow
@EACH_CASE
def test_helm_3_renders_the_same_objects(case: Path) -> None:
    """Helm 3.22 makes of each case what Helm 4 makes of it; only the order of the documents may differ."""
    three, four = (objects_in(template_of(case, program=program)) for program in ("helm-3", "helm"))

    assert sorted(four, key=json.dumps) == sorted(three, key=json.dumps)


@pytest.mark.parametrize("name", NOTES)
def test_the_notes_read_as_they_did(name: str) -> None:
    """What `helm install` says at its end is its golden file, here for the cases that differ in it."""
    compared(GOLDEN / f"{name}.notes.txt", notes_of(case(name)))


def test_there_is_no_golden_file_too_many() -> None:
    """Every golden file belongs to a case."""
    wanted = {path.name for path in CASES} | {f"{name}.notes.txt" for name in NOTES}

    assert wanted == {path.name for path in GOLDEN.iterdir()}


@EACH_CASE
def test_no_case_renders_nulls_or_trailing_blanks(case: Path) -> None:
    """No field is null, no line ends in a blank, and no number became a float."""
    text = template_of(case)

    assert [] == [line for line in text.splitlines() if line != line.rstrip()]
    assert not re.search(r"\d(\.\d+)?e\+\d", text)
    assert [] == [path for each in objects_of(case) for path in nulls(each, each["kind"])]


def nulls(value: object, path: str) -> list[str]:
    """Return the places of nulls."""
    if isinstance(value, dict):
        return [found for name, inside in value.items() for found in nulls(inside, f"{path}.{name}")]
    if isinstance(value, list):
        return [found for number, inside in enumerate(value) for found in nulls(inside, f"{path}[{number}]")]
    return [path] if value is None else []
