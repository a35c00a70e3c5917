"""The threat table is true as far as a machine can tell: each row of docs/SECURITY_MODEL.md names tests that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import COLLECTED

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "SECURITY_MODEL.md"
STATES = {"stopped", "bounded", "**not stopped**", "**not stopped yet**"}
# The checklist's own numbers: it leaves some out.
CHECKLIST = set(range(1, 91)) - {7, 14, 20, 45, 57, 61, 63, 71, 74}

_ROW = re.compile(r"\| ([CX]\d+) \|")
_PROOF = re.compile(r"`(tests/[\w/]+\.py::\w+)`(?: \[([^\]]*)\])?")


def rows(text: str) -> dict[str, list[str]]:
    """Return the cells of each row by its number; a number that comes twice is an error."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if match := _ROW.match(line):
            assert match[1] not in found, f"{match[1]} stands there twice"
            found[match[1]] = [cell.strip() for cell in line.strip("|").split("|")]
    return found


def proofs(cell: str) -> list[str]:
    """Return the node ids that a row names; a test without its cases in brackets stands for all of them."""
    found = []
    for test, cases in _PROOF.findall(cell):
        found += [f"{test}[{case}]" for case in cases.split(", ")] if cases else [test]
    return found


def missing(table: dict[str, list[str]], known: set[str]) -> list[str]:
    """Return what is wrong with the rows of a table, if these are the tests that exist."""
    whole = known | {node.partition("[")[0] for node in known}
    wrong = []
    for number, cells in table.items():
        named = proofs(cells[-1]) if len(cells) == 5 else []
        if not named:
            wrong.append(f"{number} names no test")
        if len(cells) != 5 or cells[2] not in STATES:
            wrong.append(f"{number} does not say whether it is stopped")
        wrong += [f"{number} names {node}, which does not exist" for node in named if node not in whole]
    return wrong


def collected(files: set[str], here: set[str]) -> set[str]:
    """Return the node ids of the tests in these files, as pytest itself finds them: `here`, when the whole suite runs."""
    if files <= {node.partition("::")[0] for node in here}:
        return here
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-header", "-p", "no:cacheprovider"]
    listed = subprocess.run(
        [*command, *sorted(files)], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert listed.returncode == 0, listed.stdout[-2000:] + listed.stderr[-2000:]
    return {line for line in listed.stdout.splitlines() if "::" in line}


def test_each_row_of_the_threat_table_names_tests_that_exist(pytestconfig: pytest.Config) -> None:
    """No row of the threat table is without a test that pytest can collect, and each says whether it is stopped."""
    table = rows(DOCUMENT.read_text())
    files = {node.partition("::")[0] for cells in table.values() for node in proofs(cells[-1])}

    assert [] == sorted(file for file in files if not (ROOT / file).is_file())
    # A case id may hold spaces, which pytest prints as they are.
    assert [] == missing(table, collected(files, pytestconfig.stash[COLLECTED]))


def test_the_whole_checklist_is_answered() -> None:
    """Every number of the checklist stands in the table."""
    assert CHECKLIST == {int(number[1:]) for number in rows(DOCUMENT.read_text()) if number.startswith("C")}


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        pytest.param("| C1 | a | stopped | b |  |", ["C1 names no test"], id="no test"),
        pytest.param("| C1 | a | stopped | b | `tests/a.py::test_x` |", [], id="all cases"),
        pytest.param("| C1 | a | stopped | b | `tests/a.py::test_x` [one] |", [], id="one case"),
        pytest.param(
            "| C1 | a | stopped | b | `tests/a.py::test_x` [one, two] |",
            ["C1 names tests/a.py::test_x[two], which does not exist"],
            id="a case that is not there",
        ),
        pytest.param(
            "| C1 | a | stopped | b | `tests/a.py::test_y` |",
            ["C1 names tests/a.py::test_y, which does not exist"],
            id="a test that is not there",
        ),
        pytest.param(
            "| C1 | a | maybe | b | `tests/a.py::test_x` |",
            ["C1 does not say whether it is stopped"],
            id="another word",
        ),
    ],
)
def test_a_row_without_proof_is_found(row: str, wrong: list[str]) -> None:
    """The check above sees a row without a test, with one that is gone, and with a case that is gone."""
    assert wrong == missing(rows(row), {"tests/a.py::test_x[one]"})
