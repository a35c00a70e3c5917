"""An installation by kubectl and helm alone, in our own kubelet's cluster and in kind's: the one is held to the other."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.e2e.chart_world import CHART, INSTALL, NAME, NAMESPACE, NATS, NATS_URL, ROOT
from tests.fakes.nats_modes import Pair
from tests.leaks import SECRETS
from tests.node import Node, why_not

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

Run = Callable[[str], str]
"""Runs a script in a reader's checkout beside a cluster, and returns what it prints; fails where it fails."""
SECONDS = 300
SERVER = """
kubectl create namespace nats-system
kubectl create configmap nats-config -n nats-system --from-file=nats.conf
kubectl apply -n nats-system -f nats.yaml
kubectl rollout status -n nats-system statefulset/nats --timeout=120s
"""
# The image is what `make image` has made, put on the node.
OURS = f"""{INSTALL.rstrip()} \\
  --set image.tag=dev --set image.pullPolicy=Never
kubectl rollout status -n {NAMESPACE} deployment/{NAME} --timeout=120s
"""
# A workload as applications write it: nothing but a mounted token.
WORKLOAD = f"""
apiVersion: v1
kind: Pod
metadata: {{name: SUBJECT, namespace: team}}
spec:
  serviceAccountName: worker
  restartPolicy: Never
  containers:
    - name: main
      image: natsio/nats-box:0.19.2
      command: [sh, -c, 'nats --server={NATS_URL} --token="$(cat /var/run/secrets/nats/token)" pub SUBJECT.hello world']
      volumeMounts: [{{name: token, mountPath: /var/run/secrets/nats, readOnly: true}}]
  volumes:
    - name: token
      projected: {{sources: [{{serviceAccountToken: {{path: token, audience: nats, expirationSeconds: 3600}}}}]}}
"""


@pytest.fixture(scope="module", params=["kubelet", "kind"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A cluster with NATS and our release in it, installed as the guide does."""
    folder = tmp_path_factory.mktemp("any-cluster")
    shutil.copytree(ROOT / CHART, folder / CHART)
    (folder / "nats.yaml").write_text(NATS)
    login = folder / "auth-service.creds"
    login.write_text(SECRETS.register("seed", Pair.new(Kind.USER).seed))
    keys = [sys.executable, "-m", "nats_k8s_oidc_callout", "keys", "--creds-file", str(login), "--mode", "config"]
    (folder / "nats.conf").write_text(subprocess.run(keys, capture_output=True, check=True, text=True).stdout)
    with {"kubelet": ours, "kind": kinds}[request.param](folder) as run:
        run(SERVER)
        run(OURS)
        yield run


@contextmanager
def ours(folder: Path) -> Iterator[Run]:
    if lacking := why_not():
        pytest.skip(lacking)
    with Node(folder / "node") as node:

        def run(script: str) -> str:
            done = node.shell(f"set -eo pipefail\n{script}", folder, SECONDS)
            assert 0 == done.code, done.output
            return done.output

        yield run


@contextmanager
def kinds(folder: Path) -> Iterator[Run]:
    lacking = [program for program in ("docker", "kind", "kubectl", "helm") if shutil.which(program) is None]
    if lacking:
        pytest.skip(f"no cluster of kind: {', '.join(lacking)} not installed (the workflow `nightly` has them)")
    name, environment = f"nats-auth-{os.getpid()}", {**os.environ, "KUBECONFIG": str(folder / "kubeconfig")}

    def run(script: str) -> str:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert 0 == done.returncode, done.stdout
        return done.stdout

    try:
        run(f"kind create cluster --name {name} --wait 180s && kind load docker-image {NAME}:dev --name {name}")
        yield run
    finally:
        run(f"kind delete cluster --name {name}")


def test_a_mounted_token_is_all_that_a_pod_needs(run: Run) -> None:
    """
    A Pod with a projected token publishes in its namespace; in another one it is refused, by NATS and by name.
    """
    run("kubectl create namespace team && kubectl create serviceaccount worker -n team")
    for subject, phase in (("team", "Succeeded"), ("other", "Failed")):
        run(f"kubectl apply -f - <<'END'{WORKLOAD.replace('SUBJECT', subject)}END")
        run(f"kubectl wait -n team --for=jsonpath='{{.status.phase}}'={phase} pod/{subject} --timeout=120s")

    assert 'Published 5 bytes to "team.hello"' in run("kubectl logs -n team team")
    assert 'permissions violation for publish to "other.hello"' in run("kubectl logs -n team other").lower()


def test_helm_test_and_doctor_find_nothing(run: Run) -> None:
    """
    `helm test` lets its client in, and doctor in the Pod finds nothing wrong.
    """
    assert "ok: a client with a token was let in" in run(f"helm test {NAME} -n {NAMESPACE} --logs --timeout 120s")
    assert "fail" not in run(f"kubectl exec -n {NAMESPACE} deployment/{NAME} -- {NAME} doctor").lower()


def test_a_deleted_service_account_is_refused(run: Run) -> None:
    """
    A token of a ServiceAccount that is gone is refused, and the log says why.
    """
    run(
        "kubectl create serviceaccount leaver -n default && kubectl create token leaver -n default --audience=nats > token"
    )
    let_in = run(f"kubectl exec -i -n {NAMESPACE} deployment/{NAME} -- {NAME} explain --token-file /dev/stdin < token")
    run("kubectl delete serviceaccount leaver -n default")
    refused = run(
        f"kubectl exec -i -n {NAMESPACE} deployment/{NAME} -- {NAME} explain --token-file /dev/stdin < token || true"
    )

    assert "default/leaver" in let_in
    assert "unknown_service_account" in refused
