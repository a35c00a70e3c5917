"""A test node starts, watches, restarts and ends Pods as a real one does, and leaves nothing behind."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.node import Node, NodeError, why_not
from tests.node.example import NAMESPACE, node_in, run, said, shows, web
from tests.node.network import BRIDGE, BRIDGE_MAC

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node_in(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_logs_can_be_followed_and_cut(node: Node) -> None:
    """
    `kubectl logs` prints a container's log; --tail, --previous, -f and a label selector work.
    """
    run(node, "counts", "for i in 1 2 3; do echo line $i; done; sleep 1; echo end; exit 3")
    node.wait(partial(shows, node, f"kubectl logs -n {NAMESPACE} counts", "line 3"), 10, "its first lines")

    assert "end" in said(node, f"timeout 20 kubectl logs -f -n {NAMESPACE} counts | tail -1")
    node.wait(lambda: any(pod.restarts for pod in node.pods(NAMESPACE) if pod.name == "counts"), 10, "a restart")
    node.wait(
        lambda: "end\n" == said(node, f"kubectl logs --previous --tail=1 -n {NAMESPACE} counts"), 10, "its last line"
    )
    assert 2 == said(node, f"kubectl logs -n {NAMESPACE} -l app=web --tail=-1").count("greeting hello")
    node.wait(lambda: "CrashLoopBackOff" in node.shell(f"kubectl get pod counts -n {NAMESPACE}").output, 15, "back-off")
    node.kubectl("delete", "pod", "counts", "-n", NAMESPACE)


def test_a_failed_liveness_probe_restarts_the_container(node: Node) -> None:
    """
    A container whose liveness probe fails is stopped and started again, and event and exit code say why.
    """
    text = """
apiVersion: v1
kind: Pod
metadata: {name: sick}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: alpine
      command: [sleep, "600"]
      livenessProbe: {exec: {command: [sh, -c, "echo not well; exit 1"]}, periodSeconds: 1, failureThreshold: 1}
"""
    node.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=text)
    node.wait(lambda: [pod for pod in node.pods(NAMESPACE) if pod.name == "sick" and pod.restarts], 30, "a restart")

    last = "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}"
    node.wait(lambda: said(node, f"kubectl get pod sick -n {NAMESPACE} -o {last}") == "137", 10, "its exit code")
    assert "Liveness probe failed: not well" in said(node, f"kubectl describe pod sick -n {NAMESPACE}")
    node.kubectl("delete", "pod", "sick", "-n", NAMESPACE)


def test_what_is_missing_is_said(node: Node) -> None:
    """
    An unknown image, an absent Secret and a root user that is forbidden each leave the Pod waiting with its reason.
    """
    common = 'restartPolicy: Never, containers: [{name: main, image: %s, command: [sleep, "9"]%s}]%s'
    table = {
        "no-image": (common % ("nobody/has-this:1", "", ""), "ErrImagePull"),
        "no-key": (
            common % ("alpine", ", env: [{name: A, valueFrom: {secretKeyRef: {name: gone, key: a}}}]", ""),
            "CreateContainerConfigError",
        ),
        "root": (common % ("alpine", ", securityContext: {runAsNonRoot: true}", ""), "CreateContainerConfigError"),
        "no-secret": (
            common % ("alpine", "", ", volumes: [{name: v, secret: {secretName: gone}}]"),
            "ContainerCreating",
        ),
    }
    for name, (spec, _) in table.items():
        node.kubectl(
            "apply",
            "-n",
            NAMESPACE,
            "-f",
            "-",
            input=f"{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{spec}}}}}",
        )
    for name, (_, reason) in table.items():
        command = f"kubectl get pod {name} -n {NAMESPACE}"
        node.wait(partial(shows, node, command, reason), 10, f"{name}: {reason}")
    events = said(node, f"kubectl get events -n {NAMESPACE}")

    assert 'secret "gone" not found' in events
    node.kubectl("delete", "pod", *table, "-n", NAMESPACE)


def test_a_deleted_pod_gets_its_grace_and_is_gone(node: Node) -> None:
    """
    On deletion the process gets SIGTERM and may finish; one that ignores it is killed when the grace is over.
    """
    deaf = "trap '' TERM; while true; do sleep 0.1; done"
    run(node, "deaf", deaf)
    node.wait(lambda: any(pod.name == "deaf" and pod.pid for pod in node.pods(NAMESPACE)), 10, "deaf")
    polite = web(node)
    node.kubectl("delete", "pod", "deaf", polite.name, "-n", NAMESPACE)

    assert "asked to stop" in polite.log.read_text()
    assert polite.name not in [pod.name for pod in node.pods(NAMESPACE)]
    node.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/web", "--timeout=20s")


def test_the_gateway_keeps_its_hardware_address(node: Node) -> None:
    """
    The bridge has the address that it was made with, however many Pods joined it since and left.
    """
    assert f"link/ether {BRIDGE_MAC} " in node.shell(f"ip link show {BRIDGE}").output


def test_nothing_is_left_of_a_node_that_was_killed(tmp_path: Path) -> None:
    """
    A test that is killed with SIGKILL takes every process of its node with it, and the next node starts.
    """
    if why_not():
        pytest.skip(why_not())
    script = f"""
import pathlib, time
from tests.node import Node
with Node(pathlib.Path({str(tmp_path)!r})) as node:
    print("up", flush=True)
    time.sleep(60)
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert "up\n" == victim.stdout.readline()
        assert processes_of(tmp_path)
        victim.send_signal(signal.SIGKILL)
    for _ in range(100):
        if not processes_of(tmp_path):
            break
        signal.sigtimedwait([], 0.05)

    assert [] == processes_of(tmp_path)


def processes_of(folder: Path) -> list[str]:
    """Return the processes whose command line names the folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def test_a_command_that_fails_says_what_it_printed(node: Node) -> None:
    """
    node.kubectl raises with kubectl's own words, and a shell that takes too long is ended.
    """
    with pytest.raises(NodeError, match='pods "nobody" not found'):
        node.kubectl("get", "pod", "nobody")
    assert 124 == node.shell("sleep 60", timeout=0.5).code
