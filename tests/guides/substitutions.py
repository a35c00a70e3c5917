"""What stands in for the things that cannot exist in a test: the rows of substitutions.toml, and how they are seen.

Programs in programs/ are found before all others. One that stands in for something notes the row in $WALK/substituted.
"""

import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent
PROGRAMS = _HERE / "programs"


@dataclass(frozen=True, slots=True)
class Substitution:
    """One row: what a document says, what is done instead, and why."""

    name: str
    says: str
    does: str
    reason: str


def table() -> dict[str, Substitution]:
    rows = tomllib.loads((_HERE / "substitutions.toml").read_text(encoding="utf-8"))
    return {name: Substitution(name, row["says"], row["does"], row["reason"]) for name, row in rows.items()}


def used(state: Path) -> list[Substitution]:
    """Return the rows that were used in a walk; one that is not in the table is an error."""
    noted = state / "substituted"
    names = dict.fromkeys(noted.read_text().split()) if noted.exists() else {}
    return [table()[name] for name in names]


def variables() -> dict[str, str]:
    """Return what the programs want to know."""
    return {"GUIDES_PYTHON": sys.executable, "GUIDES_CHECKOUT": str(_HERE.parents[1])}


def path_first(folders: Sequence[Path] = (PROGRAMS,)) -> str:
    """Return the folders that go before everything else on PATH."""
    return ":".join(str(folder) for folder in folders)
