"""A policy in the chart: checked before an upgrade, in force in the Pods, changed without a restart, told to tenants."""

from collections.abc import Iterator

import pytest

from tests.e2e.chart_world import CHART, NAME, NAMESPACE, Release, shared_release
from tests.node import NodeError

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

TEXT = """\
version: 1
rules:
  - name: closed
    match:
      namespace_labels: {example.com/stage: "off"}
    refuse: not yet
  - name: everybody
    match: {}
    annotations: any
"""
# `helm rollback` takes it all back, and leaves it to the next test file as it was.
UPGRADE = f"helm upgrade {NAME} ./{CHART} -n {NAMESPACE} --reuse-values --set-file policy.inline=policy.yaml"


def upgrade(release: Release, text: str, *more: str) -> str:
    (release.folder / "policy.yaml").write_text(text)
    return release.sh(f"{UPGRADE} {' '.join(more)} --wait --timeout 60s", 70)


@pytest.fixture(scope="module")
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """The shared release with the policy, and two workloads, of which one is in a namespace that is closed."""
    release = shared_release(request, tmp_path_factory)
    before = release.sh(f"helm history {NAME} -n {NAMESPACE} -o json | grep -o '\"revision\":[0-9]*' | tail -1")
    release.account("opened", "web")
    release.account("closed", "web")
    release.sh("kubectl label namespace closed example.com/stage=off")
    upgrade(release, TEXT, "--set admissionPolicy.enabled=true")
    yield release
    release.sh(f"helm rollback {NAME} {before.strip().partition(':')[2]} -n {NAMESPACE} --wait --timeout 60s", 70)


def let_in(release: Release) -> list[bool]:
    return [release.log_in(release.token(namespace, "web")).let_in for namespace in ("opened", "closed")]


def test_the_platform_decides(release: Release) -> None:
    """
    A rule goes by the label of a namespace, which the Pods may read with the rights that came with it.
    """
    assert [True, False] == let_in(release)
    assert '"reason":"refused_by_rule"' in release.sh(f"kubectl logs -n {NAMESPACE} -l app.kubernetes.io/name={NAME}")


def test_a_policy_that_cannot_be_used_changes_nothing(release: Release) -> None:
    """
    The upgrade stops at the Job, whose log says where the mistake is; Pods and policy are what they were.
    """
    before = {pod.name for pod in release.pods()}
    (release.folder / "policy.yaml").write_text(TEXT.replace("refuse", "refuze"))
    failed = release.try_sh(f"{UPGRADE} --timeout 60s", 70)
    told = release.sh(f"kubectl logs -n {NAMESPACE} job/{NAME}-policy-check")

    assert 0 != failed.code
    assert "pre-upgrade hooks failed" in failed.output
    assert "/etc/nats-policy/policy.yaml:6: E02 rule closed: " in told
    assert before == {pod.name for pod in release.pods()}
    assert [True, False] == let_in(release)


def test_a_change_counts_without_a_restart(release: Release) -> None:
    """
    The Pods that were there decide by the new text as soon as the kubelet has brought it.
    """
    before = {pod.name for pod in release.pods()}
    upgrade(release, TEXT.replace('"off"', '"shut"'))
    release.node.wait(lambda: all(let_in(release)), 30, "the closed namespace is open")

    assert before == {pod.name for pod in release.pods()}


def test_a_tenant_hears_of_it_at_kubectl_annotate(release: Release) -> None:
    """
    What would be left out is refused with the entry and the reason; what would be taken is taken.
    """
    annotate = ("annotate", "--overwrite", "-n", "opened", "serviceaccount/web")

    with pytest.raises(NodeError) as told:
        release.node.kubectl(*annotate, "nats.io/allowed-sub-subjects=orders.>, _INBOX_SA.>")
    assert 'nats.io/allowed-sub-subjects: "_INBOX_SA.>" is reserved for inboxes and replies.' in str(told.value)
    release.node.kubectl(*annotate, "nats.io/allowed-sub-subjects=orders.>")
