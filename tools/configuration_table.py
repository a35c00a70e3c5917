"""Writes the reference tables of docs/CONFIGURATION.md from the settings class, between two marks.

python -m tools.configuration_table   brings the document up to date; tests/settings/test_document.py compares them
"""

import sys
from enum import Enum
from pathlib import Path

from nats_k8s_oidc_callout.settings import VARIABLES
from nats_k8s_oidc_callout.settings.declaring import Group, Variable
from tools.marked import with_part, write_part

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "CONFIGURATION.md"
BEGIN = "<!-- begin: made by tools/configuration_table.py from the settings class -->"


def tables() -> str:
    """Return one table for each group, in the order of the class."""
    parts = []
    for group in Group:
        rows = [_row(variable) for variable in VARIABLES.values() if variable.group is group]
        head = "| variable | default | meaning | a changed file counts |\n|---|---|---|---|"
        parts.append("\n".join((f"### {group.value}", "", head, *rows)))
    return "\n\n".join(parts)


def updated(document: str) -> str:
    """Return the document with the tables of today."""
    return with_part(document, BEGIN, tables())


def _row(variable: Variable) -> str:
    first, *others = (f"`{name}`" for name in variable.names)
    names = first + (f" (also {', '.join(others)})" if others else "")
    return f"| {names} | {variable.shown or _shown(variable.default)} | {variable.meaning} | {variable.changes} |"


def _shown(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default.value if isinstance(default, Enum) else default}`"


def main() -> int:
    write_part(DOCUMENT, BEGIN, tables())
    return 0


if __name__ == "__main__":
    sys.exit(main())
