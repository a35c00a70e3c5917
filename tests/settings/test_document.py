"""The reference table, and that what it promises is read."""

import re

from nats_k8s_oidc_callout.settings import VARIABLES
from tests.settings import whole
from tools import configuration_table


def test_every_variable_is_read() -> None:
    """A setting that nothing reads would be a promise that nothing keeps."""
    package = configuration_table.DOCUMENT.parent.parent / "src" / "nats_k8s_oidc_callout"
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py")))

    assert [] == [field for field in VARIABLES if not re.search(rf"\w\.{field}\b", code)]


def test_the_document_is_up_to_date() -> None:
    """docs/CONFIGURATION.md says what the class says: `python -m tools.configuration_table` brings it up to date."""
    document = configuration_table.DOCUMENT.read_text(encoding="utf-8")

    assert configuration_table.updated(document) == document
    assert all(f"`{name}`" in document for name in whole.VARIABLES)
