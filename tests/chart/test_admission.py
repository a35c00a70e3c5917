"""The ValidatingAdmissionPolicy of the chart is the one that `policy check --admission` prints."""

from typing import Any

import pytest

from nats_k8s_oidc_callout.core.grants import admission
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from tests.chart.chart import ACCOUNT, MIDDLE, case, kinds, one, render
from tools import chart_admission

ON = "--set=admissionPolicy.enabled=true"


def test_the_file_is_up_to_date() -> None:
    """The chart's file says what the filter says: `python -m tools.chart_admission` brings it up to date."""
    assert chart_admission.FILE.read_text(encoding="utf-8") == chart_admission.text()


@pytest.mark.parametrize("grants", JetStreamGrants)
@pytest.mark.parametrize("prefix", ["nats.io/", "nats.example.com/x."])
def test_it_is_what_the_command_prints(grants: JetStreamGrants, prefix: str) -> None:
    """For every prefix and each of jetstreamGrants the policy is the same, but for its name and labels."""
    objects = render(ACCOUNT, ON, f"--set=annotationPrefix={prefix},jetstreamGrants={grants}")
    policy, binding = (one(objects, f"ValidatingAdmissionPolicy{kind}") for kind in ("", "Binding"))
    name = policy["metadata"]["name"]

    assert admission.policy(prefix, grants, name)["spec"] == policy["spec"]
    assert admission.binding((), name)["spec"] == binding["spec"]
    assert ("nats-auth.nats-k8s-oidc-callout", name) == (name, binding["metadata"]["name"])


def test_a_scoped_release_judges_its_own_namespaces_only() -> None:
    """The binding names them."""
    binding: Any = one(render(f"--values={case('scoped')}"), "ValidatingAdmissionPolicyBinding")

    assert admission.binding(["team-b", "team-a"], binding["metadata"]["name"])["spec"] == binding["spec"]


def test_it_is_there_only_when_asked_for() -> None:
    """It reaches beyond the release's namespace, so it is off by itself."""
    assert not [kind for kind in kinds(render(ACCOUNT)) if kind.startswith("Validating")]
    assert one(render(ACCOUNT, ON, f"--kube-version={MIDDLE}"), "ValidatingAdmissionPolicy")
