"""A Pod on a test node has the root, rights, variables, volumes and names that a real one has."""

from collections.abc import Iterator

import pytest

from tests.node import Node
from tests.node.example import NAMESPACE, node_in, said, web

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node_in(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_replicas_are_spread_and_shown_as_ready(node: Node) -> None:
    """
    Two replicas land on both nodes, and `kubectl get` shows them running, ready and never restarted.
    """
    shown = said(node, f"kubectl get pods -n {NAMESPACE} -l app=web -o wide --no-headers")

    assert 2 == shown.count("1/1") == shown.count("Running")
    assert {"node-a", "node-b"} == {pod.node for pod in node.pods(NAMESPACE, "app=web")}
    assert "2/2" in said(node, f"kubectl get deployment web -n {NAMESPACE} --no-headers")


def test_a_container_is_as_confined_as_its_security_context_says(node: Node) -> None:
    """
    It runs as its user, in its groups, without a capability, on a root that it cannot write, as PID 1 of its own.
    """
    script = (
        "id; grep -E 'Cap(Eff|Prm|Bnd)|NoNewPrivs' /proc/self/status; ls /proc | grep -cE '^[0-9]+$'; touch /x /tmp/x"
    )
    output = node.shell(f'kubectl exec -n {NAMESPACE} deploy/web -- sh -c "{script}"').output

    assert "uid=65532(nonroot) gid=65532(nonroot) groups=65532(nonroot)" in output
    assert 3 == output.count("0000000000000000")
    assert "NoNewPrivs:\t1" in output
    assert "touch: cannot touch '/x': Read-only file system" in output
    assert "/tmp/x" not in output
    assert "python3" in said(node, f"kubectl exec -n {NAMESPACE} deploy/web -- cat /proc/1/cmdline")


def test_the_environment_is_expanded(node: Node) -> None:
    """
    Variables come from fields and ConfigMaps, $(NAME) is replaced where it is known, and $$ is a dollar.
    """
    env = said(node, f"kubectl exec -n {NAMESPACE} {web(node).name} -- env")

    assert f"POD={web(node).name}\n" in env
    assert "BOTH=hello-$(POD_IS_NOT_KNOWN)-$(GREETING)\n" in env
    assert "KUBERNETES_SERVICE_HOST=10.96.0.1\n" in env
    assert "WEB_SERVICE_HOST" not in env
    assert f"greeting hello from {web(node).name}" in web(node).log.read_text()


def test_names_of_services_resolve_and_reach_every_pod(node: Node) -> None:
    """
    A Service answers under all of its names, from the shell and from Pods, and each Pod gets its share.
    """
    for name in ("web.works", "web.works.svc", "web.works.svc.cluster.local"):
        assert "hello" == said(node, f"curl -s http://{name}/greeting")
    assert "hello" == said(node, f"kubectl exec -n {NAMESPACE} deploy/web -- curl -s http://web/greeting")
    said(node, "for i in 1 2 3 4; do curl -s http://web.works/share; done")
    assert [True, True] == ["GET /share" in pod.log.read_text() for pod in node.pods(NAMESPACE, "app=web")]
    assert 6 == node.shell("curl -s http://web.nowhere.svc.cluster.local").code


def test_projected_volumes_hold_what_they_say(node: Node) -> None:
    """
    A projected token is for its audience and bound to its Pod, only its user can read it, and optional sources may lack.
    """
    script = "cut -d. -f2 token | tr _- /+ | base64 -d 2>/dev/null; stat -Lc %a-%U token; cat colour; ls"
    output = said(node, f"kubectl exec -n {NAMESPACE} {web(node).name} -- sh -c 'cd /var/run/mixed; {script}'")

    assert '"aud":["nats"]' in output
    assert f'"pod":{{"name":"{web(node).name}"' in output
    assert "640-nonroot" in output
    assert "blue" in output
    assert "deep" not in output


def test_a_changed_object_reaches_running_pods_at_once(node: Node) -> None:
    """
    A Secret that is made or changed appears in every Pod that mounts it, as links through ..data, without a restart.
    """
    pods = node.pods(NAMESPACE, "app=web")
    look = f"kubectl exec -n {NAMESPACE} {pods[0].name} -- sh -c 'cat /etc/secret/word /var/run/mixed/deep/word'"
    said(node, f"kubectl create secret generic pass -n {NAMESPACE} --from-literal=word=one")
    node.wait(lambda: node.shell(look).output == "oneone", 10, "the secret")
    said(
        node,
        f"kubectl create secret generic pass -n {NAMESPACE} --from-literal=word=two --dry-run=client -o yaml | kubectl apply -f - 2>&1",
    )
    node.wait(lambda: node.shell(look).output == "twotwo", 10, "the changed secret")

    assert (
        "..data/word" == said(node, f"kubectl exec -n {NAMESPACE} {pods[0].name} -- readlink /etc/secret/word").strip()
    )
    assert {pod.name: 0 for pod in pods} == {pod.name: pod.restarts for pod in node.pods(NAMESPACE, "app=web")}


def test_readiness_follows_its_probe_and_decides_who_is_served(node: Node) -> None:
    """
    A Pod whose probe fails is taken out of its Service without a restart, and comes back.
    """
    said(
        node,
        f'kubectl patch configmap files -n {NAMESPACE} --type=json -p \'[{{"op":"remove","path":"/data/ready"}}]\'',
    )
    node.wait(lambda: not any(pod.ready for pod in node.pods(NAMESPACE, "app=web")), 10, "unready")
    assert 7 == node.wait(lambda: node.shell("curl -s http://web.works/").code, 5, "refused")
    said(node, f'kubectl patch configmap files -n {NAMESPACE} -p \'{{"data":{{"ready":"yes"}}}}\'')
    node.wait(lambda: all(pod.ready for pod in node.pods(NAMESPACE, "app=web")), 10, "ready again")

    assert 0 == sum(pod.restarts for pod in node.pods(NAMESPACE, "app=web"))


def test_port_forward_exec_and_run_do_as_kubectl_does(node: Node) -> None:
    """
    The guide's port-forward, exec and run lines work in the shell, with kubectl's own exit codes.
    """
    forwarded = said(
        node,
        f"kubectl port-forward -n {NAMESPACE} svc/web 8080:80 >forward.log & "
        "for i in $(seq 50); do curl -sf http://localhost:8080/greeting && break; sleep 0.1; done; cat forward.log",
    )

    assert "helloForwarding from 127.0.0.1:8080 -> 8080" in forwarded
    assert 3 == node.shell(f"kubectl exec -n {NAMESPACE} deploy/web -- sh -c 'exit 3'").code
    ran = node.shell(
        f"kubectl run -it --rm look --image=natsio/nats-box --restart=Never -n {NAMESPACE} -- nats --version"
    )
    assert ran.output.startswith("v"), ran.output
    assert "look" not in [pod.name for pod in node.pods(NAMESPACE) if not pod.terminating]


STATEFUL = """
apiVersion: v1
kind: Service
metadata: {name: many}
spec: {clusterIP: None, selector: {app: many}, publishNotReadyAddresses: true, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: many}
spec:
  replicas: 2
  serviceName: many
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: many}}
  template:
    metadata: {labels: {app: many}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: alpine
          command: [sh, -c, "echo start >>/data/starts; trap 'exit 0' TERM; while true; do sleep 0.1; done"]
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}
"""


def test_a_stateful_set_has_names_and_keeps_its_disks(node: Node) -> None:
    """
    Each Pod of a StatefulSet resolves by its own name, and its claim is still there when the Pod was made again.
    """
    node.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=STATEFUL)
    node.kubectl("rollout", "status", "-n", NAMESPACE, "statefulset/many", "--timeout=30s")
    addresses = {pod.name: pod.ip for pod in node.pods(NAMESPACE, "app=many")}
    for name, address in addresses.items():
        assert address in said(node, f"getent hosts {name}.many.{NAMESPACE}.svc.cluster.local")
    assert set(addresses.values()) == set(said(node, f"getent ahostsv4 many.{NAMESPACE} | cut -d' ' -f1").split())
    node.kubectl("delete", "pod", "many-0", "-n", NAMESPACE)
    node.kubectl("rollout", "status", "-n", NAMESPACE, "statefulset/many", "--timeout=30s")

    assert "start\nstart\n" == said(node, f"kubectl exec -n {NAMESPACE} many-0 -- cat /data/starts")
    node.kubectl("delete", "statefulset", "many", "-n", NAMESPACE)


def test_tokens_are_replaced_in_running_pods(node: Node) -> None:
    """
    A projected token is swapped for a new one under the running Pod, as it is before it gets old.
    """
    look = f"kubectl exec -n {NAMESPACE} {web(node).name} -- cat /var/run/mixed/token"
    before = said(node, look)
    node.rotate_tokens()
    node.wait(lambda: said(node, look) != before, 10, "a new token")

    assert 2 == said(node, look).count(".")
