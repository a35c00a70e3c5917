"""Writes the tables of the chart's README.md from the comments of its values.yaml, between two marks.

    python -m tools.chart_readme   brings the document up to date; tests/chart/test_values.py compares them

In values.yaml `## ` begins a section, and a comment `# --` describes the value below it.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.marked import with_part, write_part

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "nats-k8s-oidc-callout"
DOCUMENT, VALUES = CHART / "README.md", CHART / "values.yaml"
BEGIN = "<!-- begin: made by tools/chart_readme.py from values.yaml -->"
_KEY = re.compile(r"( *)([A-Za-z][A-Za-z0-9]*):")


@dataclass(frozen=True, slots=True)
class Value:
    """One described value: its place, as `--set` names it, its section and its words."""

    path: str
    section: str
    meaning: str
    default: object


class Undescribed(Exception):
    """A value of values.yaml has no comment, or a comment no value."""


def described() -> Iterator[Value]:
    """Yield every described value in the order of the file; raise Undescribed."""
    text = VALUES.read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    section, words, parents = "", "", list[str]()
    open_value: int | None = None  # depth of the described value whose inside is not told again
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare.startswith("## "):
            section, open_value = bare.removeprefix("## "), None
        elif bare.startswith("# -- "):
            words = bare.removeprefix("# -- ")
        elif bare.startswith("#"):
            words = f"{words} {bare.lstrip('# ')}" if words else ""
        elif found := _KEY.match(line):
            depth = len(found[1]) // 2
            if open_value is not None and depth > open_value:
                continue
            parents[depth:] = [found[2]]
            open_value = depth if words else None
            default = _at(values, parents)
            if words:
                yield Value(".".join(parents), section, words, default)
            elif not isinstance(default, dict) or not default:
                raise Undescribed(f"values.yaml:{number}: {'.'.join(parents)} has no comment")
            words = ""


def tables() -> str:
    """Return one table for each section."""
    parts: dict[str, list[str]] = {}
    for value in described():
        row = f"| `{value.path}` | {_shown(value.default)} | {value.meaning.replace('|', chr(92) + '|')} |"
        parts.setdefault(value.section, []).append(row)
    head = "| value | default | meaning |\n|---|---|---|"
    return "\n\n".join("\n".join((f"### {section}", "", head, *rows)) for section, rows in parts.items())


def updated(document: str) -> str:
    """Return the document with the tables of today."""
    return with_part(document, BEGIN, tables())


def version() -> str:
    """Return the version of the chart."""
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"])


def _at(values: Any, path: list[str]) -> object:  # noqa: ANN401  # YAML of any shape
    for name in path:
        values = values[name]
    return values


def _shown(default: object) -> str:
    if default == "":
        return ""
    if isinstance(default, str):
        return f"`{default}`"
    if isinstance(default, (dict, list)) and default:
        text = json.dumps(default, separators=(", ", ": ")).replace('"', "")
        return f"`{text}`"
    return f"`{json.dumps(default)}`"


def main() -> int:
    write_part(DOCUMENT, BEGIN, tables())
    return 0


if __name__ == "__main__":
    sys.exit(main())
