"""Becomes a container's first process: lays its root, goes into it, gives up every right, and runs its command.

Started by the kubelet in the Pod's network namespace with `python -I -S`, so only the standard
library, and nothing here may be slow. The argument is the plan, a JSON file. With a process and a command behind it, it
becomes a further process of that container instead, as confined as the first.
"""

import ctypes
import errno
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

_BIND, _REC, _REMOUNT, _RDONLY, _NOSUID, _NODEV, _PRIVATE = 4096, 16384, 32, 1, 2, 4, 1 << 18
_NEW_MOUNTS, _NEW_PIDS = 0x20000, 0x20000000
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_LAST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str | Path, kind: str, flags: int, data: str = "") -> None:
    words = (source.encode(), str(target).encode(), kind.encode())
    if _libc.mount(*words, ctypes.c_ulong(flags), data.encode() or None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} on {target}: {os.strerror(number)}")


def within(root: Path, path: str) -> Path:
    """Return where `path` is when `root` is the root: a link in an image must not lead out to the machine's own files."""
    found, parts = root, [part for part in path.split("/") if part]
    for _ in range(400):
        if not parts:
            return found
        part = parts.pop(0)
        if part in {".", ".."}:
            found = found if part == "." or found == root else found.parent
            continue
        step = found / part
        if step.is_symlink():
            text = str(step.readlink())
            found = root if text.startswith("/") else found
            parts = [one for one in text.split("/") if one] + parts
        else:
            found = step
    raise OSError(errno.ELOOP, f"{path} in {root}")


class Root:
    """The root folder while it is laid; its methods are the steps of a plan."""

    def __init__(self, place: str) -> None:
        self.place = Path(place)

    def tmpfs(self, target: str, mode: str) -> None:
        place = self._made(target)
        mount("tmpfs", place, "tmpfs", _NOSUID, f"mode={mode}")

    def proc(self, target: str) -> None:
        mount("proc", self._made(target), "proc", _NOSUID | _NODEV)

    def bind(self, source: str, target: str, read_only: bool) -> None:
        place = within(self.place, target)
        if Path(source).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        mount(source, place, "", _BIND | _REC)
        if read_only:
            mount("", place, "", _BIND | _REMOUNT | _RDONLY)

    def link(self, text: str, target: str) -> None:
        folder, _, name = target.rpartition("/")
        place = self._made(folder) / name
        if not place.exists() and not place.is_symlink():
            place.symlink_to(text)

    def folder(self, target: str, mode: int) -> None:
        self._made(target).chmod(mode)

    def file(self, target: str, text: str) -> None:
        folder, _, name = target.rpartition("/")
        (self._made(folder) / name).write_text(text)

    def _made(self, target: str) -> Path:
        place = within(self.place, target)
        place.mkdir(parents=True, exist_ok=True)
        return place


def become(plan: dict[str, Any]) -> None:
    """Give up what the Pod's securityContext does not grant, for good."""
    if plan["drop_capabilities"]:
        for capability in range(_LAST_CAPABILITY + 1):
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups(plan["groups"])
    os.setgid(plan["gid"])
    os.setuid(plan["uid"])
    if plan["no_new_privileges"]:
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def execute(plan: dict[str, Any], command: list[str]) -> NoReturn:
    os.chdir("/")
    try:
        os.chdir(plan["workdir"])
        become(plan)
        os.execvpe(command[0], command, plan["env"])
    except OSError as error:
        sys.stderr.write(f"exec {command[0]}: {error.strerror}\n")
        sys.exit(127 if error.errno == errno.ENOENT else 126)


def begin(plan: dict[str, Any]) -> NoReturn:
    """Start the container's first process, PID 1 of a namespace of its own; end as it ends."""
    if _libc.unshare(_NEW_MOUNTS | _NEW_PIDS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if os.fork() != 0:
        end_as_child()
    mount("", "/", "", _REC | _PRIVATE)
    root = Root(plan["root"])
    for name, *arguments in plan["steps"]:
        getattr(root, name)(*arguments)
    if plan["read_only"]:
        mount("", root.place, "", _BIND | _REMOUNT | _RDONLY)
    os.chroot(root.place)
    execute(plan, plan["command"])


def enter(plan: dict[str, Any], pid: str, command: list[str]) -> NoReturn:
    """Become a further process of the container whose first one is `pid`; end as it ends."""
    spaces = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in ("net", "pid", "mnt")]
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY)
    for space in spaces:
        if _libc.setns(space, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    # A PID namespace is for children only.
    if os.fork() == 0:
        os.fchdir(root)
        os.chroot(".")
        execute(plan, command)
    end_as_child()


def end_as_child() -> NoReturn:
    _, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    # Past the buffers, which the child has written.
    os._exit(128 - code if code < 0 else code)


def main(path: str, *entering: str) -> NoReturn:
    plan = json.loads(Path(path).read_text())
    os.umask(0o022)
    if entering:
        enter(plan, entering[0], list(entering[1:]))
    begin(plan)


if __name__ == "__main__":
    main(*sys.argv[1:])
