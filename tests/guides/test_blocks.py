"""Every fenced block of the documents says what it is, and somebody runs it."""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.guides.blocks import ROOT, WALKED_KINDS, Block, blocks, documents
from tests.guides.substitutions import PROGRAMS, table

BLOCKS = [block for path in documents() for block in blocks(path)]
OF = {path: blocks(path) for path in documents()}
EXEMPT = tomllib.loads((Path(__file__).parent / "exempt.toml").read_text(encoding="utf-8"))
MOST_EXEMPT = 10


def of_kind(kind: str) -> list[pytest.ParameterSet]:
    return [pytest.param(block, id=block.place) for block in BLOCKS if block.kind == kind]


def walked() -> Counter[str]:
    """Count, for each document, the test files that say `WALKED = ("docs/X.md", …)`."""
    found: Counter[str] = Counter()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and [getattr(one, "id", "") for one in node.targets] == ["WALKED"]:
                found.update(ast.literal_eval(node.value))
    return found


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in documents()])
def test_blocks_say_what_they_are(path: Path) -> None:
    """Each fenced block has a language, a kind, and the options of that kind."""
    assert [] == [f"{block.place}: {fault}" for block in OF[path] for fault in block.faults]


def test_documents_that_want_running_are_walked() -> None:
    """A document with commands is named in the WALKED of exactly one test file, and no other document is."""
    wanting = {str(path.relative_to(ROOT)) for path, found in OF.items() if any(b.kind in WALKED_KINDS for b in found)}

    assert dict.fromkeys(sorted(wanting), 1) == dict(sorted(walked().items()))


def test_few_blocks_are_exempt() -> None:
    """At most ten blocks are run by nobody; each is listed with a reason, and each that is listed exists."""
    ids = [block.options.get("id", "") for block in BLOCKS if block.kind == "exempt"]

    assert sorted(EXEMPT) == sorted(ids)
    assert len(ids) <= MOST_EXEMPT
    assert all(row["reason"] for row in EXEMPT.values())


def in_file(block: Block) -> bool:
    """Say whether a block stands in its file, line for line, at whatever depth."""
    text = (ROOT / block.options["file"]).read_text(encoding="utf-8")
    wanted = [line.strip() for line in block.text.rstrip("\n").splitlines()]
    there = [line.strip() for line in text.splitlines()]
    return any(there[start : start + len(wanted)] == wanted for start in range(len(there)))


@pytest.mark.parametrize("block", of_kind("code"))
def test_printed_code_is_the_file(block: Block) -> None:
    """What a document prints of a file is what stands there, and a test runs that file."""
    assert in_file(block)


def test_every_substitution_has_a_reason() -> None:
    """Each row says what, what instead and why, and a program notes it; each program notes a row, and no other."""
    rows = table()
    noted = {
        program.name: set(re.findall(r'echo ([\w-]+) >> "\$WALK/substituted"', program.read_text(encoding="utf-8")))
        for program in PROGRAMS.iterdir()
    }

    assert all(row.says and row.does and row.reason for row in rows.values())
    assert [] == [name for name, ours in noted.items() if not ours]
    # The node has its own kubectl, tests/image its own docker.
    assert set(rows) - {"kubectl-streams", "image-push"} == {row for ours in noted.values() for row in ours}
