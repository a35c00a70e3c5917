"""The life of a release, by the real helm on a real API server: lint, install, upgrade, rollback, uninstall."""

import functools

import pytest

from tests.e2e.chart_world import CHART, NAME, NAMESPACE, Release, shared_release
from tests.node import Node, NodeError

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

# What comes and goes by itself, whatever is installed.
_OF_THE_CLUSTER = {"Event", "Lease", "ComponentStatus", "IPAddress"}


@pytest.fixture(scope="module")
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    return shared_release(request, tmp_path_factory)


@functools.cache
def kinds_of(node: Node) -> list[str]:
    return node.kubectl("api-resources", "--verbs=list", "-o", "name").split()


def objects(release: Release) -> set[str]:
    """Return everything that is in the cluster, of every kind that can be listed, cluster-scoped ones included."""
    kinds = kinds_of(release.node)
    columns = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name"
    listed = release.sh(f"kubectl get {','.join(kinds)} -A --no-headers --ignore-not-found -o {columns}")
    return {" ".join(line.split()) for line in listed.splitlines() if line.split()[0] not in _OF_THE_CLUSTER}


def started(release: Release, namespace: str) -> bool:
    """Return whether a release's Pods are at work: a process that is PID 1 and has not come to its handlers is deaf."""
    pods = release.pods(namespace)
    return bool(pods) and all(pod.pid and '"event":"started"' in pod.log.read_text() for pod in pods)


def test_lint_is_strict_and_clean(release: Release) -> None:
    """
    `helm lint --strict` has nothing to say about the chart with the guide's values, and refuses a value of its schema.
    """
    values = "--set nats.account=AUTH_ACCOUNT"

    assert "1 chart(s) linted, 0 chart(s) failed" in release.sh(f"helm lint --strict ./{CHART} {values}")
    assert 0 != release.try_sh(f"helm lint --strict ./{CHART} {values} --set nats.acount=x").code


def test_the_guides_install_gives_two_ready_replicas(release: Release) -> None:
    """
    `helm install` with exactly the guide's three --set ends in two ready Pods on two nodes, each under that very name.
    """
    pods = release.pods()

    assert [True, True] == [pod.ready for pod in pods]
    assert {"node-a", "node-b"} == {pod.node for pod in pods}
    assert {NAME} == {pod.object["spec"]["serviceAccountName"] for pod in pods}
    for kind in ("deployment", "service", "serviceaccount", "poddisruptionbudget"):
        release.sh(f"kubectl get {kind} -n {NAMESPACE} {NAME}")


def test_without_an_account_it_is_refused_by_name(release: Release) -> None:
    """
    An install that lacks nats.account fails before anything is made, and says which value is missing.
    """
    done = release.try_sh(f"helm install other ./{CHART} -n {NAMESPACE}")

    assert 0 != done.code
    assert "nats.account" in done.output
    assert "other" not in release.sh(f"helm list -n {NAMESPACE} --short").split()


def test_upgrade_and_rollback_reach_the_pods(release: Release) -> None:
    """
    An upgrade rolls the Pods to the new values, and a rollback to the old ones; `--wait` returns when they are ready.
    """

    def levels() -> list[str]:
        pods = [pod for pod in release.pods() if pod.ready]
        return [
            one["value"]
            for pod in pods
            for one in pod.object["spec"]["containers"][0]["env"]
            if one["name"] == "LOG_LEVEL"
        ]

    before = {pod.name for pod in release.pods()}
    release.sh(
        f"helm upgrade {NAME} ./{CHART} -n {NAMESPACE} --reuse-values --set logLevel=debug --wait --timeout 60s", 70
    )
    upgraded = {pod.name for pod in release.pods()}
    assert ["debug", "debug"] == levels()
    assert not before & upgraded
    release.sh(f"helm rollback {NAME} 1 -n {NAMESPACE} --wait --timeout 60s", 70)

    assert ["info", "info"] == levels()
    assert "Rollback to 1" in release.sh(f"helm history {NAME} -n {NAMESPACE}")


def test_an_upgrade_that_cannot_start_leaves_the_old_pods_at_work(release: Release) -> None:
    """
    With a value that the service refuses, the rollout stops at the first new Pod; both old ones stay ready.
    """
    before = {pod.name for pod in release.pods()}
    with pytest.raises(NodeError):
        release.node.helm(
            "upgrade", NAME, CHART, "-n", NAMESPACE, "--reuse-values", "--wait", "--timeout", "6s",
            "--set", "nats.credentials.existingSecretKey=no-such-key",
        )  # fmt: skip
    ready = {pod.name for pod in release.pods() if pod.ready}
    release.sh(f"helm rollback {NAME} -n {NAMESPACE} --wait --timeout 60s", 70)

    assert before == ready
    assert before == {pod.name for pod in release.pods()}


def test_uninstall_leaves_nothing(release: Release) -> None:
    """
    After `helm uninstall` every object of every kind that came with the install is gone, in every namespace and none.

    Installed with everything turned on that this API server has kinds for; scoped, so that Roles elsewhere count, too.
    """
    release.sh("kubectl create namespace short && kubectl create namespace short-a")
    release.sh("kubectl create secret generic nats-auth-creds -n short --from-file=credentials=./auth-service.creds")
    release.node.wait(lambda: "default" in release.sh("kubectl get sa -n short-a -o name"), 10, "ServiceAccounts")
    before = objects(release)
    release.sh(
        f"helm install brief ./{CHART} -n short --set nats.account=AUTH_ACCOUNT --set networkPolicy.enabled=true "
        "--set namespaces={short-a} --set metrics.dashboard.enabled=true --set admissionPolicy.enabled=true "
        """--set-json 'policy.inline={"version":1,"rules":[{"name":"all","match":{"namespace_labels":{"a":"*"}}}]}'"""
    )
    release.node.wait(lambda: started(release, "short"), 60, "its Pods")
    made = objects(release) - before
    release.sh("helm uninstall brief -n short --wait --timeout 60s", 70)
    release.node.wait(lambda: not objects(release) & made, 30, f"nothing left of {sorted(made)}")

    kinds = {line.split()[0] for line in made}
    assert {"Deployment", "Role", "RoleBinding", "ClusterRoleBinding", "NetworkPolicy", "ConfigMap", "Secret"} <= kinds
    assert {"ClusterRole", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} <= kinds
