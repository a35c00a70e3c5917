"""The fenced blocks of a document, each with what is to be done with it.

A block's kind is its language's (bash and sh: run; text: output; a first line `# NAME.yaml`: file), or stands in an
invisible comment right above the fence:

    <!-- block: KIND option=value … -->

    run          executed in the document's shell; exit=N: every failing command ends so, and one does;
                 within=SECONDS: tried again for so long, as a reader would, until it does what is said below it
    output       what the run block above printed; `…` is any text, and alone on its line any lines
    file         written into the document's folder; path=NAME
    values       values for our chart, merged over a `nats.account`
    manifest     what the API server accepts
    server       a configuration that nats-server starts with
    policy       a policy file without an error
    cases        a table of `policy test` without one
    code         equal to (a part of) a file of the checkout, which a test runs; file=PATH
    exempt       listed with its reason in exempt.toml; id=NAME
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("run", "output", "file", "values", "manifest", "server", "policy", "cases", "code", "exempt")
WALKED_KINDS = ("run", "output", "file")
"""What a walk of the document does; the other kinds are looked at one by one (test_blocks.py)."""

_FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})(?P<language>[\w+-]*)\s*$")
_SAYS = re.compile(r"^\s*<!-- block: (?P<kind>[\w-]+)(?P<options>(?: [\w-]+=\S+)*) -->$")
_NAMED = re.compile(r"^(?:#|//) (?P<name>[\w.-]+\.(?:yaml|conf|json|toml))\b")
_BY_LANGUAGE = {"bash": "run", "sh": "run", "text": "output"}
_OPTIONS = {"run": {"exit", "within"}, "file": {"path"}, "code": {"file"}, "exempt": {"id"}}


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` is the fence's, `heading` the nearest one above."""

    document: str
    heading: str
    line: int
    language: str
    kind: str
    options: Mapping[str, str]
    text: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def faults(self) -> list[str]:
        """What is wrong with the block as such: no language, no kind, an option that nobody reads."""
        found = [] if self.language else ["it has no language"]
        if self.kind not in KINDS:
            found.append(
                f"{self.kind!r} is no kind of block" if self.kind else "nothing says what is to be done with it"
            )
        known = _OPTIONS.get(self.kind, set())
        found += [f"{name} is no option of {self.kind}" for name in self.options if name not in known]
        found += [f"{self.kind} wants {name}=" for name in known - {"exit", "within"} if name not in self.options]
        return found


def blocks(path: Path) -> list[Block]:
    """Return every fenced block of a document, in order."""
    found: list[Block] = []
    heading = ""
    said: re.Match[str] | None = None
    opened: tuple[int, re.Match[str], re.Match[str] | None] | None = None
    body: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is not None:
            start, match, comment = opened
            if fence and fence["fence"] == match["fence"] and not fence["language"]:
                found.append(_block(path, heading, start, match, comment, body))
                opened = None
            else:
                body.append(line.removeprefix(match["indent"]))
        elif fence:
            opened, body = (number, fence, said), []
        elif line.startswith("#"):
            heading = line.lstrip("#").strip()
        said = _SAYS.match(line)
    assert opened is None, f"{path}: its last block does not end"
    return found


def _block(
    path: Path, heading: str, line: int, fence: re.Match[str], said: re.Match[str] | None, body: list[str]
) -> Block:
    named = _NAMED.match(body[0]) if body else None
    options: dict[str, str] = {}
    if said is not None:
        kind = said["kind"]
        options = dict(pair.split("=", 1) for pair in said["options"].split())
    elif named is not None:
        kind = "file"
    else:
        kind = _BY_LANGUAGE.get(fence["language"], "")
    if kind == "file" and named is not None:
        options.setdefault("path", named["name"])
    document = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    return Block(document, heading, line, fence["language"], kind, options, "\n".join([*body, ""]))


def documents() -> list[Path]:
    """Return what a user reads: README and everything below docs/."""
    return [ROOT / "README.md", ROOT / "PACKAGE.md", *sorted((ROOT / "docs").rglob("*.md"))]
