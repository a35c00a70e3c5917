"""What a container sees as its root, as a plan of steps that launch.py carries out in a mount namespace of its own."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Step = list[Any]

_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin\n"
_GROUP = "root:x:0:\nnonroot:x:65532:\n"
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


@dataclass(frozen=True)
class Mount:
    """A folder of the kubelet's that a container has at `target`."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True)
class PodFiles:
    """The files that the kubelet keeps for a Pod, wherever its image comes from."""

    hosts: Path
    resolv_conf: Path
    hostname: Path


@dataclass
class Plan:
    """Steps in order; every target is a path within the root."""

    steps: list[Step] = field(default_factory=list)

    def tmpfs(self, target: str, mode: str) -> None:
        self.steps.append(["tmpfs", target, mode])

    def bind(self, source: Path | str, target: str, *, read_only: bool = True) -> None:
        self.steps.append(["bind", str(source), target, read_only])

    def link(self, text: str, target: str) -> None:
        self.steps.append(["link", text, target])

    def folder(self, target: str, mode: int = 0o755) -> None:
        self.steps.append(["folder", target, mode])

    def file(self, target: str, text: str) -> None:
        self.steps.append(["file", target, text])


def from_machine(machine: dict[str, Any]) -> Plan:
    """Return the root that an image of this machine's programs has: its /usr, our venv and sources, a small /etc."""
    plan = Plan()
    plan.tmpfs("/", "755")
    plan.bind("/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib64"):
        place = Path("/", name)
        if place.is_symlink():
            plan.link(str(place.readlink()), f"/{name}")
        elif place.is_dir():
            plan.bind(place, f"/{name}")
    if not machine["python"].startswith("/usr"):
        plan.bind(machine["python"], machine["python"])
    plan.bind(machine["venv"], "/opt/venv")
    plan.bind(machine["sources"], "/opt/src")
    for name, source in machine["bin"].items():
        plan.bind(source, f"/opt/bin/{name}")
    for target, text in (("passwd", _PASSWD), ("group", _GROUP), ("nsswitch.conf", _NSSWITCH)):
        plan.file(f"/etc/{target}", text)
    for name in ("/etc/ssl", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/alternatives"):
        if Path(name).exists():
            plan.bind(name, name)
    for name in ("/run", "/var/lib", "/home/nonroot", "/root"):
        plan.folder(name)
    plan.link("/run", "/var/run")
    plan.folder("/tmp", 0o1777)
    return plan


def from_image(copy: Path) -> Plan:
    """Return the root of a built image: a copy of its files that this container alone has."""
    plan = Plan()
    plan.bind(copy, "/", read_only=False)
    return plan


def furnish(plan: Plan, files: PodFiles, mounts: list[Mount]) -> None:
    """Add what every container gets: /proc, /dev, names, and its volumes, outer ones first."""
    plan.steps.append(["proc", "/proc"])
    plan.tmpfs("/dev", "755")
    for name in _DEVICES:
        plan.bind(f"/dev/{name}", f"/dev/{name}", read_only=False)
    plan.tmpfs("/dev/shm", "1777")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        plan.link(f"/proc/self/fd/{number}", f"/dev/{name}")
    plan.link("/proc/self/fd", "/dev/fd")
    for source, target in (
        (files.hosts, "/etc/hosts"),
        (files.resolv_conf, "/etc/resolv.conf"),
        (files.hostname, "/etc/hostname"),
    ):
        plan.bind(source, target, read_only=False)
    for mount in sorted(mounts, key=lambda mount: mount.target):
        plan.bind(mount.source, mount.target, read_only=mount.read_only)
