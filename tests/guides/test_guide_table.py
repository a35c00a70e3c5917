"""The guide as it was given, line by line: GUIDE_AS_GIVEN.md says of each what became of it, and what it says is what was run.

A line "works" when it stands, word for word, in a block of a document that is walked or rendered; a replacement names a
command of such a block, a value of one, or a section.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.guides.blocks import ROOT, Block, blocks

GUIDE = Path(__file__).with_name("guide-as-given.md")
TABLE = ROOT / "docs" / "GUIDE_AS_GIVEN.md"
DOCUMENTS = [
    ROOT / "docs" / f"{name}.md" for name in ("DEPLOY", "TROUBLESHOOTING", "OPERATOR_SETUP", "NACK_INTEGRATION")
]
WORKS = "works"
PROGRAMS = ("kubectl", "helm", "nats", "nsc", "curl", "echo", "make", "git", "nats-k8s-oidc-callout", "wget", "awk")

_ROW = re.compile(r"^\| (?P<line>`+.+?`+) \| (?P<verdict>.+?) \|(?: (?P<why>.*?) \|)?$")
_SAYS = re.compile(r"# (Expected: .*|issuer should match .*|audience should match .*|- .*(kubectl .*))$")
_BULLET = re.compile(r"^- (?P<said>(?:Kubernetes|`|NATS server|`?nsc|Must be last|High|Low|Service un|Credential).*)$")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    line: str
    verdict: str
    why: str

    @property
    def works(self) -> bool:
        return self.verdict.partition(" ")[0].rstrip(",:") == WORKS

    @property
    def code(self) -> list[str]:
        """What it has in backticks besides the line itself."""
        return [one.replace("\\|", "|") for one in re.findall(r"`([^`]+)`", self.verdict)]

    @property
    def leads(self) -> bool:
        return "](" in self.verdict


def one_line(text: str) -> str:
    return " ".join(text.replace("\\\n", " ").split())


def commands(text: str) -> Iterator[str]:
    """Yield the commands of a shell block, each on one line, and the comments that say what comes out."""
    for line in text.replace("\\\n", " ").splitlines():
        stripped = one_line(line)
        said = _SAYS.match(stripped)
        if said:
            yield said[2] or said[1]
        elif stripped and not stripped.startswith("#"):
            yield stripped


def leaves(value: object, path: str = "") -> Iterator[str]:
    """Yield `path: value` for each value of a document of YAML."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield f"{path}: {yaml.safe_dump(value, default_flow_style=True, width=999).splitlines()[0]}"


def guide_lines() -> list[str]:
    """Return every line of the guide that says what to type, what to write, or what to expect; each once."""
    found: list[str] = []
    for block in blocks(GUIDE):
        text = block.text
        found += leaves(yaml.safe_load(text)) if block.language == "yaml" else commands(text)
    found += [match["said"] for line in GUIDE.read_text().splitlines() if (match := _BULLET.match(line))]
    return list(dict.fromkeys(found))


def rows() -> list[Row]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    matches = [match for line in lines if (match := _ROW.match(line.replace("\\|", "\0")))]
    rows = [
        Row(*(str(match[part] or "").replace("\0", "|") for part in ("line", "verdict", "why"))) for match in matches
    ]
    return [Row(row.line.strip("`").strip(), row.verdict, row.why) for row in rows]


ROWS = rows()


def walked() -> list[Block]:
    return [block for path in DOCUMENTS if path.exists() for block in blocks(path)]


RUN = "\n".join(one_line(block.text) for block in walked() if block.kind == "run")
COMMANDS = {command for block in walked() if block.kind == "run" for command in commands(block.text)}
PRINTED = "\n".join(block.text for block in walked() if block.kind == "output")


def written() -> set[str]:
    """Return every value that the documents write into a file or show as values, as `path: value`."""
    shown = [block for block in walked() if block.language == "yaml" and block.kind != "exempt"]
    # Of a file of ours a document may show a part.
    texts = [(ROOT / block.options["file"]).read_text() if block.kind == "code" else block.text for block in shown]
    # And it may fill in one of ours without showing it.
    texts += [(ROOT / name).read_text() for name in set(re.findall(r"examples/nats/[\w-]+\.yaml", RUN))]
    return {leaf for text in texts for one in yaml.safe_load_all(text) for leaf in leaves(one)}


WRITTEN = written()


def was_run(command: str) -> bool:
    """Say whether a command is part of one that a walk runs; a row may leave out what stands behind it."""
    return any(command in one for one in COMMANDS) or command in RUN


def test_every_line_of_the_guide_has_its_row() -> None:
    """The table has each line of the guide once, in the guide's order, and no other."""
    assert guide_lines() == [row.line for row in ROWS]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.line[:60]) for row in ROWS if row.works])
def test_what_works_was_run(row: Row) -> None:
    """A line that works as written is run, rendered or printed, word for word, by a document that is walked."""
    line = row.line.removeprefix("Expected: ")

    assert was_run(line) or line in WRITTEN or line in PRINTED or not is_checked(row.line)


def test_paths_that_nothing_mounts_say_so() -> None:
    """The guide's files of TLS work only with a Secret that it does not name: each of the four rows names it."""
    why = [row.why for row in ROWS if row.line.startswith("nats.tls.")]

    assert [True] * 4 == ["`nats.tls.existingSecret`" in each for each in why]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.line[:60]) for row in ROWS if not row.works])
def test_what_replaces_it_was_run(row: Row) -> None:
    """A replacement is a command that a walk runs, a value that is written, or a section; and there is a reason."""
    assert row.why
    assert row.code or row.leads
    for code in row.code:
        if code.split()[0] in PROGRAMS:
            # What `keys` prints is run, too: it goes through sh.
            assert was_run(one_line(code)) or code in PRINTED, code
        elif re.match(r"[\w\[\]]+(\.[\w\[\]/-]+)+: ", code):
            assert code in WRITTEN


def is_checked(line: str) -> bool:
    """Say whether a line is a command, a value or an output; the rest (what is needed, what a word means) is prose."""
    return not (_BULLET.match(f"- {line}") or " should match " in line)
