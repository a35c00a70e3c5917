"""The rendered Deployment runs: two replicas under their own ServiceAccount, and the guide's own commands pass."""

import asyncio
import datetime
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.chart_world import NAME, NAMESPACE, NATS_URL, Release, shared_release
from tests.fakes.nats_world import Knock, knock
from tests.node import Pod

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

# Word for word.
GUIDE_TEST = """
# 1. Create test ServiceAccount with permissions
kubectl create serviceaccount test-client -n default
kubectl annotate serviceaccount test-client -n default \\
  nats.io/allowed-pub-subjects="test.>" \\
  nats.io/allowed-sub-subjects="test.>"

# 2. Create token
TOKEN=$(kubectl create token test-client -n default --audience=nats)

# 3. Test publish (should succeed)
nats --server=nats://nats.nats-system.svc.cluster.local:4222 \\
  --token=$TOKEN \\
  pub test.hello "world"

# 4. Test unauthorized subject (should fail)
nats --server=nats://nats.nats-system.svc.cluster.local:4222 \\
  --token=$TOKEN \\
  pub other-namespace.forbidden "fail"
# Expected: Permission Denied
"""
GUIDE_LOGS = """
kubectl get pods -n nats-auth
kubectl logs -n nats-auth -l app.kubernetes.io/name=nats-k8s-oidc-callout
"""
FORWARD = "kubectl port-forward -n nats-auth svc/nats-k8s-oidc-callout 8080:8080"
GUIDE_KEYS = """
kubectl exec -it -n nats-auth deployment/nats-k8s-oidc-callout -- \\
  wget -O- https://kubernetes.default.svc/openid/v1/jwks
"""
# Asked for is 1.5 s on a machine of its own; this bound only catches a start that hangs.
LONGEST_START_SECONDS = 10.0


@pytest.fixture(scope="module")
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    return shared_release(request, tmp_path_factory)


def start_seconds(pod: Pod) -> float:
    """Return how long it took from the start of the process to its line `ready`."""
    lines = [json.loads(line) for line in pod.log.read_text().splitlines() if line.startswith("{")]
    ready = next(line["ts"] for line in lines if line["event"] == "ready")
    return datetime.datetime.fromisoformat(ready).timestamp() - pod.started


def nats_address(release: Release) -> str:
    return release.sh("kubectl get service nats -n nats-system -o jsonpath='{.spec.clusterIP}'")


@contextmanager
def logging_in(release: Release, token: str) -> Iterator[Callable[[], list[Knock]]]:
    """Log in again and again in the background until the block ends; what it yields returns what the server said."""
    url, over, knocks = f"nats://{nats_address(release)}:4222", threading.Event(), list[Knock]()

    async def again_and_again() -> None:
        while not over.is_set():
            knocks.append(await knock(url, auth_token=token))
            await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: release.node.inside(lambda: asyncio.run(again_and_again())))
    thread.start()
    try:
        yield lambda: list(knocks)
    finally:
        over.set()
        thread.join()


def test_the_guides_end_to_end_test_passes(release: Release) -> None:
    """
    The guide's section "Test End-to-End" does what it says, word for word.
    """
    *steps, forbidden = GUIDE_TEST.split("\n\n")
    printed = release.sh("\n\n".join(steps))
    token = "TOKEN=$(kubectl create token test-client -n default --audience=nats)\n"
    refused = release.try_sh(token + forbidden)

    assert "serviceaccount/test-client annotated" in printed
    assert 'Published 5 bytes to "test.hello"' in printed
    assert "permissions violation for publish" in refused.output.lower()
    assert 0 != refused.code


def test_the_guides_checks_of_the_service_pass(release: Release) -> None:
    """
    The guide's lines for Pods, logs, health, metrics and the key set print what it promises.
    """
    logs = release.sh(GUIDE_LOGS)
    forwarded = release.sh(
        f"{FORWARD} >/dev/null &\n"
        "until curl -s http://localhost:8080/livez >/dev/null; do sleep 0.05; done\n"
        "curl http://localhost:8080/health\n"
        "curl http://localhost:8080/metrics\n"
        "curl -s http://localhost:8080/metrics | grep cache"
    )

    assert 2 == logs.count("1/1     Running   0")
    assert '"event":"ready"' in logs
    assert '{"status":"ok"}' in forwarded
    assert "\nnats_auth_requests_total " in forwarded
    assert 4 <= forwarded.count("nats_auth_cache_hits")


def test_the_guides_look_at_the_key_set_passes_in_the_pod(release: Release) -> None:
    """
    The guide's `kubectl exec … wget` line reaches the key endpoint from within the Pod.

    From this venv the Pod has the machine's own wget, which the guide's bare line does not tell the cluster's CA and the
    token; the image brings one that knows both (test_chart_image.py has the literal line).
    """
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    told = f'--ca-certificate={folder}/ca.crt --header="Authorization: Bearer $(cat {folder}/token)"'
    url = "https://kubernetes.default.svc/openid/v1/jwks"
    printed = release.sh(f"kubectl exec -n {NAMESPACE} deployment/{NAME} -- sh -c 'wget -qO- {told} {url}'")

    assert {"RS256"} == {key["alg"] for key in json.loads(printed)["keys"]}


def test_helm_test_passes(release: Release) -> None:
    """
    `helm test --logs` runs its Pod, which says that a client gets in.
    """
    printed = release.sh(f"helm test {NAME} -n {NAMESPACE} --logs --timeout 60s", 70)

    assert "Succeeded" in printed
    assert "ok: a client with a token was let in" in printed


def test_doctor_finds_nothing_in_the_pod(release: Release) -> None:
    """
    `doctor`, run in the Pod as NOTES.txt says, goes through to the login of a client and finds nothing wrong.
    """
    printed = release.sh(f"kubectl exec -n {NAMESPACE} deployment/{NAME} -- {NAME} doctor")

    assert "fail" not in printed.lower(), printed


def test_a_rolling_restart_loses_no_login(release: Release, measured: list[str]) -> None:
    """
    While `kubectl rollout restart` replaces both Pods, every login that clients begin is answered, and let in.
    """
    release.account("busy", "web")
    token, before = release.token("busy", "web"), {pod.name for pod in release.pods()}
    with logging_in(release, token) as knocks:
        release.node.wait(lambda: len(knocks()) > 10, 10, "logins before")
        release.sh(f"kubectl rollout restart -n {NAMESPACE} deployment/{NAME}")
        release.rolled_out()
        release.node.wait(lambda: len(release.node.pods(NAMESPACE)) <= 3, 15, "the old Pods to be gone")
        enough = len(knocks()) + 10
        release.node.wait(lambda: len(knocks()) > enough, 10, "logins after")
        seen = knocks()
    pods = release.pods()

    assert {"PONG"} == {one.said for one in seen}
    assert not before & {pod.name for pod in pods}
    starts = [start_seconds(pod) for pod in pods]
    measured.append(f"{len(seen)} logins through a rolling restart, slowest {max(one.seconds for one in seen):.2f} s")
    measured.append(f"start to ready: {', '.join(f'{one:.2f}' for one in starts)} s")
    assert max(starts) < LONGEST_START_SECONDS


def test_an_eviction_is_allowed_one_at_a_time(release: Release) -> None:
    """
    With two replicas one Pod may be evicted, the second only once the first is replaced; a drain goes through.
    """
    release.node.wait(lambda: 2 == len([pod for pod in release.pods() if pod.ready]), 20, "two ready Pods")
    release.node.wait(lambda: allowed(release) == 1, 10, "one disruption allowed")
    first, second = release.pods()
    statuses = [evict(release, first), evict(release, second)]
    release.node.wait(lambda: allowed(release) == 1, 30, "one disruption allowed again")
    drain = f"kubectl drain node-a --pod-selector=app.kubernetes.io/name={NAME} --delete-emptydir-data --timeout=40s"
    printed = release.sh(drain, 50)
    release.sh("kubectl uncordon node-a")
    release.rolled_out()

    assert [201, 429] == statuses
    assert "node/node-a drained" in printed
    assert {"node-b"} == {pod.node for pod in release.pods()}


def allowed(release: Release) -> int:
    return int(release.sh(f"kubectl get pdb {NAME} -n {NAMESPACE} -o jsonpath='{{.status.disruptionsAllowed}}'"))


def evict(release: Release, pod: Pod) -> int:
    path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod.name, "namespace": pod.namespace}}
    return release.node.api.request("POST", f"{path}/eviction", body)[0]


def test_a_changed_secret_reaches_the_running_pods(release: Release) -> None:
    """
    A new login in the Secret is taken over by both running Pods; when NATS knows only the new one, they still answer.
    """
    release.account("turn", "web")
    token = release.token("turn", "web")
    pods = release.pods()
    release.make_creds("next")
    release.sh(
        f"kubectl create secret generic nats-auth-creds -n {NAMESPACE} --from-file=credentials=./next.creds "
        "--dry-run=client -o yaml | kubectl apply -f - 2>/dev/null\n"
        f"{NAME} keys --creds-file next.creds --mode config > nats.conf"
    )
    release.node.wait(lambda: all("file reloaded" in pod.log.read_text() for pod in pods), 20, "the new Secret")
    assert release.log_in(token).let_in
    release.sh(
        "kubectl create configmap nats-config -n nats-system --from-file=nats.conf --dry-run=client -o yaml"
        " | kubectl apply -f - 2>/dev/null\n"
        "kubectl rollout restart -n nats-system statefulset/nats\n"
        "kubectl rollout status -n nats-system statefulset/nats --timeout=30s"
    )
    release.node.wait(lambda: release.log_in(token).let_in, 20, "a login with the new keys")

    assert {(pod.name, 0) for pod in pods} == {(pod.name, pod.restarts) for pod in release.pods()}
    assert NATS_URL in pods[0].log.read_text()
