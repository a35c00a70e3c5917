"""Writes the chart's files/admission.yaml: what the ValidatingAdmissionPolicy says for each of `jetstreamGrants`.

python -m tools.chart_admission   brings the file up to date; tests/chart/test_admission.py compares them
"""

from pathlib import Path

from nats_k8s_oidc_callout.cli.admission import as_yaml
from nats_k8s_oidc_callout.core.grants import admission
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants

FILE = Path(__file__).resolve().parent.parent / "helm" / "nats-k8s-oidc-callout" / "files" / "admission.yaml"
_HEAD = """\
# Made by tools/chart_admission.py from the annotation filter (src/nats_k8s_oidc_callout/core/grants): do not edit.
# The spec of the ValidatingAdmissionPolicy, by jetstreamGrants; templates/admissionpolicy.yaml puts annotationPrefix in.
"""


def text() -> str:
    """Return the file as it is to be."""
    specs = {grants.value: admission.policy("nats.io/", grants)["spec"] for grants in JetStreamGrants}
    return _HEAD + as_yaml(specs)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
