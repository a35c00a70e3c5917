"""Starts processes as forks of one that has done the responder's imports: they are most of what a start costs."""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Each fork has its own environment, log and end; who waits for it keeps its exit code beside the log.
_ANCESTOR = """
import json, os, signal, sys
from nats_k8s_oidc_callout.cli import serve

def be(env, log, code):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), 1)
    os.dup2(1, 2)
    exec(code, {"__name__": "__main__"})
    sys.exit()

signal.signal(signal.SIGINT, signal.SIG_IGN)
for line in sys.stdin:
    env, log, code = json.loads(line)
    if os.fork() == 0:
        child = os.fork()
        if child == 0:
            be(env, log, code)
        os.write(1, b"%d\\n" % child)
        _, status = os.waitpid(child, 0)
        with open(f"{log}.code", "w") as file:
            file.write(f"{os.waitstatus_to_exitcode(status)}\\n")
        os._exit(0)
"""
_ASKING = threading.Lock()


@functools.cache
def _ancestor(path: str) -> "subprocess.Popen[str]":
    """Start what is forked, with nothing of our environment but the PYTHONPATH; it ends when we do."""
    return subprocess.Popen(
        [sys.executable, "-c", _ANCESTOR],
        env={"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def becoming(command: Sequence[str]) -> str:
    """Return code that makes a fork another program altogether."""
    return f"import os; os.execvp({command[0]!r}, {[*command]!r})"


class Forked:
    """A process that runs `code`, with what is used of Popen's methods."""

    def __init__(self, code: str, env: Mapping[str, str], log: Path) -> None:
        """`env` is all of its environment, and what it says goes to the end of `log`."""
        log.touch()
        self._code = log.with_name(f"{log.name}.code")
        self._code.unlink(missing_ok=True)
        with _ASKING:
            ancestor = _ancestor(env["PYTHONPATH"])
            assert ancestor.stdin is not None
            assert ancestor.stdout is not None
            ancestor.stdin.write(json.dumps([dict(env), str(log), code]) + "\n")
            self.pid = int(ancestor.stdout.readline())

    def poll(self) -> int | None:
        code = self._code.read_text() if self._code.exists() else ""
        return int(code) if code.endswith("\n") else None

    def wait(self, seconds: float) -> int:
        deadline = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError
            # It is no child of ours: nothing tells of its end but the file.
            time.sleep(0.01)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)
