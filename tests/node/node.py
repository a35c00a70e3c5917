"""A Node: starts all of it in order, hands out a shell, kubectl and helm in its network, and ends all of it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from tests.e2e.keys import Authority
from tests.node import programs
from tests.node.control_plane import ControlPlane
from tests.node.network import NODES, Network, NetworkError

T = TypeVar("T")

_ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 30.0
_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "helm", "nats", "nats-server-2.15")


class NodeError(Exception):
    """Something in the cluster did not do what was asked; the text has its own words."""


class Done(NamedTuple):
    """How a script ended, and all it printed, both streams in order."""

    code: int
    output: str


@dataclass(frozen=True)
class Pod:
    """A Pod as the API server shows it, with what its kubelet knows beside. `pid` is the host's, 0 if none runs."""

    name: str
    namespace: str
    ip: str
    node: str
    phase: str
    ready: bool
    restarts: int
    terminating: bool
    log: Path
    """Of its first container, of the run that is on now; `logs` has every container's."""
    logs: Mapping[str, Path]
    pid: int
    started: float
    """When the first container's process was started, seconds since the epoch."""
    object: Mapping[str, Any]


def why_not() -> str:
    """Return why no Node can run on this machine, or nothing."""
    missing = [name for name in ("ip", "unshare", "nsenter", "mount") if shutil.which(name) is None]
    unbuilt = programs.unbuilt(_PROGRAMS)
    if os.geteuid() != 0:
        return "a node needs root, for namespaces and mounts"
    if missing:
        return f"a node needs {', '.join(missing)} (iproute2, util-linux)"
    if unbuilt:
        return f"not built: {', '.join(unbuilt)} (make tools)"
    try:
        with tempfile.TemporaryDirectory() as folder:
            network = Network(Path(folder))
            try:
                network.start()
            finally:
                network.stop()
    except (NetworkError, OSError) as error:
        return str(error)
    return ""


class Node:
    """A cluster with a kubelet: see the package's own page. `with Node(folder) as node:` starts it and ends it."""

    def __init__(
        self, folder: Path, image_root: Path | None = None, image_config: Mapping[str, Any] | None = None
    ) -> None:
        """`image_config` is the image's own (Entrypoint, Env, User); without it, what `<image_root>.json` says."""
        self.folder = folder / "node"
        self.network = Network(self.folder)
        self._image_root = image_root
        self._image_config = image_config
        self._kubelet: subprocess.Popen[bytes] | None = None
        self.folder.mkdir(parents=True)
        self.api = ControlPlane(self._made("control-plane"), self.network)
        home = self._made("home")
        self.environment: dict[str, str] = {
            "HOME": str(home),
            "PATH": f"{self.folder / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "KUBECONFIG": str(self.api.kubeconfig),
            "KUBECACHEDIR": str(home / "kube-cache"),
            "HELM_CACHE_HOME": str(home / "helm"),
            "HELM_CONFIG_HOME": str(home / "helm"),
            "HELM_DATA_HOME": str(home / "helm"),
        }
        """Of `shell`, and for whoever uses `enter`."""

    # Life

    def __enter__(self) -> Self:
        try:
            self.network.start()
            programs.install(self.folder)
            self.api.start()
            self._start_kubelet()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End everything at once; folders stay, for whoever wants to read the logs."""
        if self._kubelet is not None:
            self._kubelet.kill()
            self._kubelet.wait()
            self._kubelet = None
        self.api.stop()
        self.network.stop()
        for root in self.folder.glob("pods/*/roots"):
            shutil.rmtree(root, ignore_errors=True)

    # What to do in it

    def enter(self, *command: str, cwd: Path | None = None) -> list[str]:
        """Return the command line that runs `command` in the cluster's network. Its environment is for you to give."""
        return self.network.enter(*command, cwd=cwd)

    def inside(self, act: Callable[[], T]) -> T:
        """Return what `act` returns, run in a thread whose sockets are the cluster's (addresses, not names)."""
        return self.network.inside(act)

    def shell(
        self, script: str, cwd: Path | None = None, timeout: float = 60, env: Mapping[str, str] | None = None
    ) -> Done:
        """Run a bash script in the cluster's network; what it leaves in the background is ended with it."""
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                self.enter("bash", "-c", script, cwd=cwd or Path(self.environment["HOME"])),
                env=self.environment | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            late = ""
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                late = f"\n(not done after {timeout:.0f} s)"
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            printed = output.read().decode(errors="replace") + late
        return Done(124 if late else process.returncode, printed)

    def kubectl(self, *arguments: str, input: str = "", timeout: float = 60) -> str:  # noqa: A002 - as subprocess names it
        """Return what kubectl prints; raise NodeError with its output when it fails."""
        return self._checked("kubectl", *arguments, text=input, timeout=timeout)

    def helm(self, *arguments: str, timeout: float = 120) -> str:
        """Return what helm prints; raise NodeError with its output when it fails."""
        return self._checked("helm", *arguments, timeout=timeout)

    def pods(self, namespace: str, selector: str = "") -> list[Pod]:
        """Return the Pods of a namespace, those that are on their way out last."""
        status, answer = self.api.request("GET", f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")
        if status != 200:
            raise NodeError(f"pods of {namespace}: {status} {answer}")
        return sorted((self._pod(one) for one in answer["items"]), key=lambda pod: (pod.terminating, pod.name))

    def wait(self, condition: Callable[[], T], seconds: float, what: str) -> T:
        """Return what `condition()` returns once that is true; raise NodeError after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                raise NodeError(f"not within {seconds:.0f} s: {what}\n{self._state()}")
            time.sleep(0.05)

    def rotate_tokens(self) -> None:
        """Let the kubelet write new projected tokens into every Pod within seconds, as it does when they get old."""
        done = self.shell("curl -skf -X POST https://127.0.0.1:10250/rotate-tokens")
        if done.code != 0:
            raise NodeError(f"the kubelet: {done.output}")

    # Inside

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _start_kubelet(self) -> None:
        settings = programs.kubelet_settings(self.folder, self.api, self._image_root, self._image_config)
        Authority("test node").serve(self._made("kubelet-tls"), ["kubelet", *NODES.values()])
        file = self.folder / "kubelet.json"
        file.write_text(json.dumps(settings))
        with (self.folder / "kubelet.log").open("ab") as log:
            self._kubelet = subprocess.Popen(
                self.enter(sys.executable, "-m", "tests.node.kubelet", str(file), cwd=_ROOT),
                env={**self.environment, "PYTHONPATH": str(_ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        running = self._kubelet
        ready = self.folder / "kubelet.ready"
        try:
            self.wait(lambda: ready.exists() or running.poll() is not None, _START_SECONDS, "the kubelet")
        except NodeError as error:
            raise NodeError(f"{error}\n{self._tail()}") from None
        if running.poll() is not None:
            raise NodeError(f"the kubelet ended with {running.returncode}:\n{self._tail()}")

    def _checked(self, *command: str, text: str = "", timeout: float) -> str:
        try:
            done = subprocess.run(
                self.enter(*command, cwd=_ROOT),
                check=False,
                input=text,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=self.environment,
            )
        except subprocess.TimeoutExpired as late:
            raise NodeError(f"{' '.join(command)}: not done after {timeout:.0f} s\n{self._state()}") from late
        if done.returncode != 0:
            raise NodeError(f"{' '.join(command)}: {done.stdout}{done.stderr}\n{self._state()}")
        return done.stdout

    def _pod(self, found: dict[str, Any]) -> Pod:
        meta, status = found["metadata"], found["status"]
        folder = self.folder / "pods" / meta["uid"]
        try:
            known = json.loads((folder / "state.json").read_text())
        except OSError:
            known = {}
        containers = [one["name"] for one in found["spec"]["containers"]]
        first = known.get(containers[0], {})
        conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
        return Pod(
            name=meta["name"],
            namespace=meta["namespace"],
            ip=status.get("podIP", ""),
            node=found["spec"].get("nodeName", ""),
            phase=status.get("phase", ""),
            ready=conditions.get("Ready") == "True",
            restarts=sum(one["restartCount"] for one in status.get("containerStatuses", [])),
            terminating="deletionTimestamp" in meta,
            log=folder / f"{containers[0]}.log",
            logs={name: folder / f"{name}.log" for name in containers},
            pid=self.network.host_pid(first["pid"]) if first.get("pid") else 0,
            started=first.get("started", 0.0),
            object=found,
        )

    def _state(self) -> str:
        """Return what a person would look at first, for messages."""
        looked = self.shell(
            "kubectl get pods -A; kubectl get events -A --field-selector type=Warning | tail -20", None, 10
        )
        return looked.output

    def _tail(self) -> str:
        return "\n".join((self.folder / "kubelet.log").read_text(errors="replace").splitlines()[-20:])
