"""The container image, built for real and unpacked: `image()` builds it once a run, and all of it is gone at the end.

Its base is tools/image.py's stand-in for Docker's image of Python. A container of it is a process of this machine: root
changed to the image, mounted read-only, in a mount namespace of its own, as the image's user. The network is the host's.
"""

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import responder
from tests.e2e.forked import becoming
from tools.image import READ, ROOT, Inputs, Store, inputs, missing_for_stand_in, stand_in

TAG = "localhost/nats-k8s-oidc-callout:test"
USER = 65532

# $1 is the image's root, $2 what stands at /mnt (may be empty), $3 a hosts file (may be empty); the rest is the command.
_ENTER = """set -e
root=$1 data=$2 hosts=$3
shift 3
mount --bind "$root" "$root"
[ -z "$data" ] || mount --bind "$data" "$root/mnt"
[ -z "$hosts" ] || mount --bind "$hosts" "$root/etc/hosts"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -o remount,bind,ro "$root"
exec "$@"
"""


@dataclass(frozen=True)
class Image:
    """A built image: its file system, and its configuration as registries know it (`User`, `Entrypoint`, …)."""

    rootfs: Path
    config: Mapping[str, Any]
    layers: Sequence[str]
    """What each layer holds, as a digest; the first is the base's."""
    id: str
    """The digest of its configuration, which names all layers."""
    checkout: Path
    """What it was built from."""
    what: Inputs
    store: Store

    def command(
        self, *arguments: str, env: Mapping[str, str] | None = None, data: Path | None = None, hosts: Path | None = None
    ) -> list[str]:
        """Return the command that runs the entry point with these arguments, as `docker run IMAGE …` would."""
        return self.program(*self.config["Entrypoint"], *arguments, env=env, data=data, hosts=hosts)

    def program(
        self, *command: str, env: Mapping[str, str] | None = None, data: Path | None = None, hosts: Path | None = None
    ) -> list[str]:
        """Return the command that runs any program of the image; `data` is seen at /mnt, read-only for the image's user."""
        user, _, group = self.config["User"].partition(":")
        variables = dict(entry.split("=", 1) for entry in self.config["Env"]) | {"HOME": "/"} | dict(env or {})
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh"]
        enter += [str(self.rootfs), str(data or ""), str(hosts or "")]
        enter += ["chroot", f"--userspec={user}:{group}", "--groups=", str(self.rootfs)]
        return [*enter, "/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items()), *command]

    def run(self, command: Sequence[str], seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run what `command` or `program` returned to its end."""
        return subprocess.run(
            command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=seconds
        )

    def files(self) -> Iterator[Path]:
        """Yield everything in it, folders too, without following a link."""
        for folder, folders, files in os.walk(self.rootfs):
            yield from (Path(folder, name) for name in (*folders, *files))

    def inside(self, path: Path) -> str:
        """Return a path of this machine as the image knows it."""
        return f"/{path.relative_to(self.rootfs)}"


class Container(responder.ResponderProcess):
    """The image's responder as a process, with exactly this environment."""

    def __init__(self, image: Image, env: Mapping[str, str], data: Path) -> None:
        super().__init__({})
        self._code = becoming(image.command(env={"HOST": "127.0.0.1", "PORT": "0"} | dict(env), data=data))

    def cpu_seconds(self) -> float:
        """Return what it has used so far: unlike a clock this does not measure the machine's other work."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def status(self) -> str:
        """Return what the kernel says about the process."""
        return Path(f"/proc/{self.pid}/status").read_text()


def missing() -> str:
    """Say why no image can be built here; empty if one can."""
    return missing_for_stand_in()


@functools.cache
def image() -> Image:
    """Return the image of this checkout; built at the first call, and then skips the test if that cannot be done here."""
    reason = missing()
    if reason:
        pytest.skip(f"the image cannot be built here: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="image-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy_inputs(ROOT, folder / "checkout")
    return built(folder, folder / "checkout", inputs())


def copy_inputs(checkout: Path, to: Path) -> None:
    """Copy what the build reads, so that nobody who works in the checkout changes it meanwhile."""
    to.mkdir()
    for name in READ:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, to / name)


def built(folder: Path, checkout: Path, what: Inputs) -> Image:
    """Build an image in this folder; who asked deletes it."""
    store = Store(folder, shared=stand_in())
    store.build(TAG, what, checkout)
    described = json.loads(store.run("inspect", "--type", "image", TAG))
    container = store.run("from", "--pull-never", TAG)
    return Image(
        rootfs=Path(store.run("mount", container)),
        config=described["OCIv1"]["config"],
        layers=described["OCIv1"]["rootfs"]["diff_ids"],
        id=described["FromImageID"],
        checkout=checkout,
        what=what,
        store=store,
    )
