"""Writes the tables of docs/POLICY_REFERENCE.md and the JSON schema from the loader's own description of the file.

python -m tools.policy_reference   brings both up to date; tests/tools/test_policy_reference.py compares them
"""

import json
import sys
from pathlib import Path

from nats_k8s_oidc_callout.settings.policy.codes import CODES
from nats_k8s_oidc_callout.settings.policy.fields import HEADINGS, schema
from nats_k8s_oidc_callout.settings.policy.shapes import Field, Map
from nats_k8s_oidc_callout.settings.policy.tables import HEADINGS as TABLE_HEADINGS
from tools.marked import with_part, write_part

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "POLICY_REFERENCE.md"
SCHEMA = ROOT / "src" / "nats_k8s_oidc_callout" / "policy.schema.json"
FIELDS = "<!-- begin: made by tools/policy_reference.py from the fields -->"
TABLES = "<!-- begin: made by tools/policy_reference.py from the fields of tables -->"
FINDINGS = "<!-- begin: made by tools/policy_reference.py from the codes -->"


def fields(headings: tuple[tuple[str, Map], ...]) -> str:
    """Return one table for each map of a file."""
    head = "| field | type | default | meaning |\n|---|---|---|---|"
    return "\n\n".join("\n".join((f"### {title}", "", head, *map(_row, map_.fields))) for title, map_ in headings)


def codes() -> str:
    """Return the table of findings."""
    return "\n".join(
        ("| code | what it finds |", "|---|---|", *(f"| `{code}` | {what} |" for code, what in CODES.items()))
    )


def updated(document: str) -> str:
    """Return the document with the tables of today."""
    for mark, part in _parts():
        document = with_part(document, mark, part)
    return document


def _parts() -> tuple[tuple[str, str], ...]:
    return (FIELDS, fields(HEADINGS)), (TABLES, fields(TABLE_HEADINGS)), (FINDINGS, codes())


def schema_text() -> str:
    """Return the JSON schema as it is shipped."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _row(field: Field) -> str:
    return (
        f"| `{field.name}` | {field.shape.words} | {'required' if field.missing else field.default} | {field.meaning} |"
    )


def main() -> int:
    for mark, part in _parts():
        write_part(DOCUMENT, mark, part)
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
