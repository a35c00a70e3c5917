"""What nine whole installs render to, down to the byte: a change of the chart is a diff that somebody reads.

CHART_GOLDEN=write pytest tests/chart/test_golden.py   writes the files anew
"""

import json
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.chart import CASES, CHART, EACH_CASE, HERE, case, notes_of, objects_in, objects_of, template_of
from tools import chart_readme
from tools.chart_readme import version

GOLDEN = HERE / "golden"
VALUES: Any = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
UNSET = object()
# helm says the notes of an upgrade only to a release that is there.
ONLY_IN_AN_UPGRADE = ["This was an upgrade: if clients get in today, only steps 3 and 4 are left."]
# The dashboard, the rules and the admission policy have tests of their own; what is the chart's business is around them.
_LONG = re.compile(
    r"^(?:(  groups:|  \S+\.json: \|)\n(?:(?: {4}.*)?\n)+|(  variables:)\n(?: {2}[- ].*\n)+)", re.MULTILINE
)


@EACH_CASE
def test_each_case_renders_as_it_did(case: Path) -> None:
    """A case renders to its golden file, the version apart; what `helm install` says stands at its end."""
    said = textwrap.indent(notes_of(case), "# ")
    whole = _LONG.sub(r"\1\2 …\n\n", template_of(case)) + f"---\n# NOTES\n\n{said}"
    text = re.sub(rf"(?<![\d.]){re.escape(version())}(?![\d.])", "VERSION", whole)
    file = GOLDEN / case.name
    if os.environ.get("CHART_GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text, f"{file.name} is not what the chart renders (CHART_GOLDEN=write)"


@pytest.mark.slow
@EACH_CASE
def test_helm_3_renders_the_same_objects(case: Path) -> None:
    """Helm 3.22 makes of each case what Helm 4 makes of it; only the order of the documents may differ."""
    three, four = (objects_in(template_of(case, program=program)) for program in ("helm-3", "helm"))

    assert sorted(four, key=json.dumps) == sorted(three, key=json.dumps)


def test_there_is_no_golden_file_too_many() -> None:
    """Every golden file belongs to a case."""
    assert {path.name for path in CASES} == {path.name for path in GOLDEN.iterdir()}


def test_every_line_of_the_templates_is_rendered() -> None:
    """Each line with words of its own, each variable and each warning is in what some case renders or says."""
    # No whole install, since it could not start: files of TLS that nothing mounts.
    unmounted = notes_of(case("production"), "--set=extraVolumeMounts=null")
    rendered = "\n".join([*map(template_of, CASES), *map(notes_of, CASES), unmounted])

    assert [] == [
        f"{file.name}: {words}"
        for file in sorted((CHART / "templates").rglob("*.*"))
        for words in words_of(file)
        if not re.search(words, rendered, re.MULTILINE)
    ]


def words_of(template: Path) -> Iterator[str]:
    """Yield patterns for what a template itself says, and not only its values; refusals have tests of their own."""
    text = re.sub(r"\{\{-? *(/\*.*?\*/|fail .*?) *-?\}\}", "", template.read_text(encoding="utf-8"), flags=re.DOTALL)
    # Tables that templates read, and nobody renders.
    text = re.sub(r'define "[^"]*\.(variables|thresholds|secrets)" .*?\n\{\{- end -\}\}', "", text, flags=re.DOTALL)
    if template.name == "_refusals.tpl":
        return
    yield from (f"^ *- name: {name}$" for name in re.findall(r'\(list "([A-Z_\d]+)"', text))
    for warning in re.findall(r'append \$warnings \(?(?:printf )?"((?:[^"\\]|\\.)*)"', text):
        yield "^- " + ".+".join(map(re.escape, warning.replace("\\n", "\n").split("%s")))
    # A define in one template is used in others, so an action may span lines and lines stand anywhere.
    for line in re.sub(r"\{\{.*?\}\}", "\0", text, flags=re.DOTALL).splitlines():
        if re.search(r"\w", line) and line not in ONLY_IN_AN_UPGRADE:
            yield "^ *" + ".*".join(map(re.escape, line.strip().split("\0"))) + "$"


def test_every_value_is_set_by_a_case() -> None:
    """No value of the chart keeps its default in all of the cases."""
    values = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in CASES]

    assert [] == [
        value.path
        for value in chart_readme.described()
        if all(at(each, value.path) == at(VALUES, value.path) or at(each, value.path) is UNSET for each in values)
    ]


def at(values: Any, path: str) -> Any:
    """Return the value of this path; UNSET where it is not set."""
    for name in path.split("."):
        values = values.get(name, UNSET) if isinstance(values, dict) else UNSET
    return values


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
