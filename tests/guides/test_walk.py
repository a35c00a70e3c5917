"""The harness itself: what a block is, how output is compared, and that a walk sees every failure."""

from pathlib import Path

import pytest

from tests.guides.blocks import Block, blocks
from tests.guides.walk import Machine, Walk, WalkError, matches

FENCE = "```"


def document(folder: Path, text: str) -> Path:
    path = folder / "GUIDE.md"
    path.write_text(text.replace("'''", FENCE))
    return path


def test_blocks_are_found_with_their_kinds(tmp_path: Path) -> None:
    """The language says the kind, a named first line makes a file, and a comment above says otherwise."""
    text = (
        "# Guide\n\n'''bash\ntrue\n'''\n\n'''text\nx\n'''\n\n## Files\n\n- a list:\n\n  '''yaml\n  # a.yaml\n  a: 1\n  '''\n\n"
        "<!-- block: run exit=1 within=5 -->\n'''sh\nfalse\n'''\n\n'''yaml\nb: 2\n'''\n\n'''\nno language\n'''\n"
    )
    found = blocks(document(tmp_path, text))

    assert [
        ("Guide", 3, "run", {}, "true\n"),
        ("Guide", 7, "output", {}, "x\n"),
        ("Files", 15, "file", {"path": "a.yaml"}, "# a.yaml\na: 1\n"),
        ("Files", 21, "run", {"exit": "1", "within": "5"}, "false\n"),
        ("Files", 25, "", {}, "b: 2\n"),
        ("Files", 29, "", {}, "no language\n"),
    ] == [(one.heading, one.line, one.kind, dict(one.options), one.text) for one in found]
    assert [0, 0, 0, 0, 1, 2] == [len(one.faults) for one in found]


@pytest.mark.parametrize(
    ("kind", "options"),
    [("shell", {}), ("file", {}), ("code", {}), ("exempt", {}), ("run", {"retry": "5"}), ("output", {"exit": "1"})],
)
def test_a_block_that_says_too_little_or_too_much_is_at_fault(kind: str, options: dict[str, str]) -> None:
    """A kind that is none, a missing option, and one that nobody reads are faults."""
    assert Block("x.md", "", 1, "text", kind, options, "").faults


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        pytest.param("a\nb\n", "a\nb\n", True, id="the same"),
        pytest.param("a\n", "a\nb\n", False, id="a line more"),
        pytest.param("a\nb\n", "a\n", False, id="a line less"),
        pytest.param("at … ok\n", "at 12:04:11 ok\n", True, id="any text"),
        pytest.param("at … ok\n", "at 12:04\n11 ok\n", False, id="any text, within a line"),
        pytest.param("a\n…\nd\n", "a\nb\nc\nd\n", True, id="any lines"),
        pytest.param("a\n…\nd\n", "a\nd\n", True, id="no lines"),
        pytest.param("…\nd\n", "a\nb\n", False, id="any lines, and then one"),
        pytest.param("NAME   READY\n", "NAME READY\n", True, id="columns"),
        pytest.param("f(x) [1]\n", "f(x) [1]\n", True, id="no pattern"),
        pytest.param("", "", True, id="nothing"),
        pytest.param("", "a\n", False, id="nothing, and something"),
    ],
)
def test_output_is_compared(expected: str, printed: str, same: bool) -> None:
    """`…` is any text within a line, and alone on a line any lines; blanks count once."""
    assert same == matches(expected, printed)


def test_a_walk_keeps_the_shell(tmp_path: Path) -> None:
    """Variables, the directory, files and background jobs last from block to block."""
    text = (
        "'''bash\nmkdir -p deep && cd deep\nNAME=x\nsleep 60 &\n'''\n\n'''yaml\n# a.yaml\na: 1\n'''\n\n"
        "'''bash\ncat a.yaml\necho \"$NAME ${PWD##*/}\"\nkill %1\n'''\n\n'''text\n# a.yaml\na: 1\nx deep\n'''\n"
    )
    with Walk(document(tmp_path, text), Machine(), tmp_path / "world") as walk:
        walk.run()

    assert 2 == len(walk.ran)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        pytest.param("'''bash\nfalse\ntrue\n'''", "ended with 1", id="an early command fails"),
        pytest.param("'''bash\necho a\n'''\n\n'''text\nb\n'''", "it printed", id="other output"),
        pytest.param(
            "<!-- block: run exit=1 -->\n'''bash\ntrue\n'''", "nothing failed", id="it should fail and does not"
        ),
        pytest.param("<!-- block: run exit=1 -->\n'''bash\n(exit 2)\n'''", "ended with 2", id="it fails otherwise"),
        pytest.param("'''bash\nexit 3\n'''", "the shell ended", id="it leaves"),
        pytest.param("'''bash\nif\n'''", "syntax error", id="it is no shell"),
    ],
)
def test_a_walk_sees_what_goes_wrong(tmp_path: Path, block: str, said: str) -> None:
    """A command that fails, prints something else, or ends the shell, fails the walk."""
    with (
        Walk(document(tmp_path, f"# Guide\n\n{block}\n"), Machine(), tmp_path / "world") as walk,
        pytest.raises(WalkError, match=said),
    ):
        walk.run()


def test_a_walk_tries_again_as_long_as_the_document_says(tmp_path: Path) -> None:
    """`within` runs a block again until it prints what is below it."""
    text = "<!-- block: run within=20 -->\n'''bash\necho x >> tries\nwc -l < tries\n'''\n\n'''text\n3\n'''\n"
    with Walk(document(tmp_path, text), Machine(), tmp_path / "world") as walk:
        walk.run()

    assert ["x", "x", "x"] == (tmp_path / "world" / "tries").read_text().split()
