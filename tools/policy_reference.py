"""Writes the tables of docs/POLICY_REFERENCE.md and the JSON schema from the loader's own description of the file.

python -m tools.policy_reference   brings both up to date; tests/settings/test_policy_reference.py compares them
"""

import json
import sys
from pathlib import Path

from nats_k8s_oidc_callout.settings.policy.codes import CODES
from nats_k8s_oidc_callout.settings.policy.fields import HEADINGS, schema
from nats_k8s_oidc_callout.settings.policy.shapes import Field
from tools.marked import with_part, write_part

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "POLICY_REFERENCE.md"
SCHEMA = ROOT / "src" / "nats_k8s_oidc_callout" / "policy.schema.json"
FIELDS = "<!-- begin: made by tools/policy_reference.py from the fields -->"
FINDINGS = "<!-- begin: made by tools/policy_reference.py from the codes -->"


def fields() -> str:
    """Return one table for each map of the file."""
    head = "| field | type | default | meaning |\n|---|---|---|---|"
    return "\n\n".join("\n".join((f"### {title}", "", head, *map(_row, map_.fields))) for title, map_ in HEADINGS)


def codes() -> str:
    """Return the table of findings."""
    return "\n".join(
        ("| code | what it finds |", "|---|---|", *(f"| `{code}` | {what} |" for code, what in CODES.items()))
    )


def updated(document: str) -> str:
    """Return the document with the tables of today."""
    return with_part(with_part(document, FIELDS, fields()), FINDINGS, codes())


def schema_text() -> str:
    """Return the JSON schema as it is shipped."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _row(field: Field) -> str:
    return (
        f"| `{field.name}` | {field.shape.words} | {'required' if field.missing else field.default} | {field.meaning} |"
    )


def main() -> int:
    write_part(DOCUMENT, FIELDS, fields())
    write_part(DOCUMENT, FINDINGS, codes())
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
