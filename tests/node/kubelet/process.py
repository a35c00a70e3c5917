"""One run of a container: what it runs as, its root laid out, its process started, and further commands in it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.node.kubelet.api import Object
from tests.node.kubelet.downward import BadConfiguration, expand
from tests.node.kubelet.root import Mount, PodFiles, from_image, from_machine, furnish

_LAUNCH = Path(__file__).with_name("launch.py")
# Past the venv, whose links and path files cost a tenth of a second.
_PYTHON = str(Path(sys.base_prefix, "bin", Path(sys.executable).resolve().name))
_PATH = "/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Identity:
    """Who a container runs as."""

    uid: int
    gid: int
    groups: list[int]
    read_only: bool
    drop_capabilities: bool
    no_new_privileges: bool


def identity(pod: Object, container: Mapping[str, Any], image_user: str) -> Identity:
    """Return what the two securityContexts and the image say together; raise BadConfiguration as the kubelet does."""
    whole = pod["spec"].get("securityContext") or {}
    own = whole | (container.get("securityContext") or {})
    user, _, group = image_user.partition(":")
    if user and not user.isdigit() and own.get("runAsNonRoot") and "runAsUser" not in own:
        raise BadConfiguration(f"container has runAsNonRoot and image has non-numeric user ({user})")
    uid = own.get("runAsUser", int(user) if user.isdigit() else 0)
    if own.get("runAsNonRoot") and uid == 0:
        raise BadConfiguration("container has runAsNonRoot and image will run as root")
    groups = [*whole.get("supplementalGroups", []), *([whole["fsGroup"]] if "fsGroup" in whole else [])]
    return Identity(
        uid=uid,
        gid=own.get("runAsGroup", int(group) if group.isdigit() else 0),
        groups=groups,
        read_only=bool(own.get("readOnlyRootFilesystem")),
        drop_capabilities=uid != 0 or "ALL" in (own.get("capabilities") or {}).get("drop", []),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
    )


@dataclass(frozen=True)
class Order:
    """All that a start needs."""

    folder: Path
    """Of the Pod."""
    name: str
    image: Mapping[str, Any]
    machine: dict[str, Any]
    container: Mapping[str, Any]
    env: Mapping[str, str]
    identity: Identity
    files: PodFiles
    mounts: list[Mount]
    network: int
    """A process in the Pod's network namespace."""


class Process:
    """A running container. `pid` is its first process, as the kubelet sees it."""

    def __init__(self, outer: asyncio.subprocess.Process, pid: int, order: Order) -> None:
        self._outer = outer
        self.pid = pid
        self.order = order

    async def wait(self) -> int:
        """Return the exit code, 128 and the signal's number when one ended it."""
        code = await self._outer.wait()
        return 128 - code if code < 0 else code

    def signal(self, number: signal.Signals) -> None:
        if self._outer.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def enter(self, *command: str) -> list[str]:
        """Return the command that runs `command` in the container, as confined as its first process."""
        return [
            _PYTHON,
            "-I",
            "-S",
            str(_LAUNCH),
            str(plan_of(self.order.folder, self.order.name)),
            str(self.pid),
            *command,
        ]

    async def run(self, command: list[str], seconds: float) -> tuple[int, str]:
        """Run a command in the container; return its exit code and output."""
        started = await asyncio.create_subprocess_exec(
            *self.enter(*command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(seconds):
                said, _ = await started.communicate()
        except TimeoutError:
            started.kill()
            await started.wait()
            return 124, f"command timed out after {seconds} s"
        return started.returncode or 0, said.decode(errors="replace")


def plan_of(folder: Path, container: str) -> Path:
    """Return where the plan of a container's last start is."""
    return folder / f"{container}.plan.json"


async def start(order: Order, log: Path) -> Process:
    """Start the container's process, its output going to `log`."""
    place = order.folder / "roots" / order.name
    file = plan_of(order.folder, order.name)
    env = {"PATH": _PATH, "HOME": "/", **order.image["env"], **order.env}
    plan = from_machine(order.machine)
    if order.image["root"]:
        await asyncio.to_thread(_copy, Path(order.image["root"]), place)
        plan = from_image(place)
    else:
        await asyncio.to_thread(place.mkdir, parents=True, exist_ok=True)
    furnish(plan, order.files, order.mounts)
    command = _command(order, env)
    if not command:
        raise BadConfiguration("no command specified")
    who = order.identity
    text = json.dumps(
        {
            "root": str(place),
            "steps": plan.steps,
            "read_only": who.read_only,
            "workdir": order.container.get("workingDir") or order.image.get("workdir") or "/",
            "command": command,
            "env": env,
            "uid": who.uid,
            "gid": who.gid,
            "groups": who.groups,
            "drop_capabilities": who.drop_capabilities,
            "no_new_privileges": who.no_new_privileges,
        }
    )
    file.write_text(text)
    with log.open("ab") as output:
        outer = await asyncio.create_subprocess_exec(
            "nsenter", f"--net=/proc/{order.network}/ns/net", "--",
            _PYTHON, "-I", "-S", str(_LAUNCH), str(file),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd="/",
        )  # fmt: skip
    return Process(outer, await _child_of(outer), Order(**{**order.__dict__, "env": env}))


def _command(order: Order, env: Mapping[str, str]) -> list[str]:
    # As Kubernetes has it: a command replaces both of the image's, arguments alone only the second.
    own, arguments = order.container.get("command"), order.container.get("args")
    entrypoint = own or order.image["entrypoint"]
    rest = arguments or ([] if own else order.image["command"])
    return [expand(word, env) for word in [*entrypoint, *rest]]


async def _child_of(outer: asyncio.subprocess.Process) -> int:
    while outer.returncode is None:
        found = _children(outer.pid)
        if found:
            return found[0]
        await asyncio.sleep(0.001)
    return outer.pid


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _copy(image: Path, place: Path) -> None:
    # Hard links: the files are the image's own, which nobody may write; the folders, where mounts go, are ours.
    if place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-al", str(image), str(place)], check=True, stdin=subprocess.DEVNULL)
