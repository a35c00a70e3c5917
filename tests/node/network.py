"""The cluster's network, mount and PID namespace. They are held by one process and end, with all in them, when it does."""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

BRIDGE: Final = "cni0"
BRIDGE_MAC: Final = "02:00:0a:f4:00:01"
"""Fixed: else the bridge takes the lowest address of its Pods, and another one whenever that Pod goes. Others then send to
the old one for seconds, and lose a DNS question, which a resolver repeats only after 5 s."""
GATEWAY: Final = "10.244.0.1"
SERVICES: Final = "10.96.0.0/16"
API_HOST: Final = "10.96.0.1"
DNS_HOST: Final = "10.96.0.10"
NODES: Final = {"node-a": "10.240.0.11", "node-b": "10.240.0.12"}
SEARCH: Final = "{namespace}.svc.cluster.local svc.cluster.local cluster.local"
_CLONE_NEWNET = 0x40000000
_STOP_SECONDS = 10.0

# PID 1 of the namespaces. It ends when we do, however that happens: its stdin ends with us. Then the kernel ends all
# processes of the PID namespace, and the rest goes with the last of them. Nothing here has a name that could be left.
_INIT = f"""
set -e
ip link set lo up
ip link add {BRIDGE} address {BRIDGE_MAC} type bridge
ip address add {GATEWAY}/16 dev {BRIDGE}
ip link set {BRIDGE} up
# Every address of a Service is one of this machine: the API server, DNS and the Service proxy listen on them.
ip route add local {SERVICES} dev lo
{"".join(f"ip address add {address}/32 dev lo{chr(10)}" for address in NODES.values())}
mount --bind "$1" /etc/resolv.conf
mount --bind "$2" /etc/hosts
echo up
read -r _
"""


class NetworkError(Exception):
    """The namespaces could not be made; the text has what the system said."""


class Network:
    """The namespaces of one cluster. `start` makes them, `stop` ends every process in them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holder: subprocess.Popen[str] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._pid = 0

    def start(self) -> None:
        resolv, hosts = self._folder / "resolv.conf", self._folder / "hosts"
        resolv.write_text(f"nameserver {DNS_HOST}\nsearch {SEARCH.format(namespace='default')}\noptions ndots:5\n")
        hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "bash", "-c", _INIT, "init", str(resolv), str(hosts)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            # Ctrl-C is for the test, which then ends us in order.
            start_new_session=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        said = self._holder.stdout.readline()
        if said != "up\n":
            said += self._holder.stdout.read()
            self.stop()
            raise NetworkError(f"no namespaces of our own: {said.strip()}")
        outer = self._holder.pid
        self._pid = int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])
        self._threads = ThreadPoolExecutor(4, "cluster-network", _enter_network, (self._pid,))

    def stop(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None
        if self._holder is not None:
            # PID 1 itself first: the one outside then waits until it is gone, which is when all others are.
            if self._pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            try:
                self._holder.communicate(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._holder.kill()
                self._holder.communicate()
            self._holder, self._pid = None, 0

    def enter(self, *command: str, cwd: Path | None = None) -> list[str]:
        """Return the command that runs `command` in the namespaces, in this folder (else where we are)."""
        # Not nsenter's own --wd: that folder would be one of the mount namespace outside.
        place = f"--chdir={cwd or Path.cwd()}"
        return ["nsenter", f"--target={self._pid}", "--net", "--mount", "--pid", "--", "env", place, *command]

    def inside(self, act: Callable[[], T]) -> T:
        """Return what `act` returns, run in a thread whose sockets are the cluster's. Names do not resolve there."""
        assert self._threads is not None, "the network is not up"
        return self._threads.submit(act).result()

    def host_pid(self, pid: int) -> int:
        """Return what the host calls a process of our PID namespace; 0 when it is gone."""
        ours = (Path("/proc") / str(self._pid) / "ns/pid_for_children").readlink()
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                names = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:")).split()[1:]
                # Its names, outermost first; a container's process has one more, within its own namespace.
                depth = len(self._names()) - 1
                if len(names) > depth and int(names[depth]) == pid and _is_below(status.parent, ours):
                    return int(names[0])
            except (OSError, StopIteration):
                continue
        return 0

    def _names(self) -> list[str]:
        status = Path(f"/proc/{self._pid}/status").read_text()
        return next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]


def _is_below(process: Path, namespace: Path) -> bool:
    """Say whether a process is in this PID namespace or one made in it, by going up its ancestors."""
    while process.name not in {"0", "1"}:
        if (process / "ns/pid").readlink() == namespace:
            return True
        parent = next(line for line in (process / "status").read_text().splitlines() if line.startswith("PPid:"))
        process = process.parent / parent.split()[1]
    return False


def _enter_network(pid: int) -> None:
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        # Of this thread alone; os.setns is there from Python 3.12 on.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(descriptor)
