"""Pods without a cluster: a client example as a process, its token in a folder that is rotated as the kubelet does."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import nats_k8s_oidc_callout
from tests.e2e.responder import new_log

NAMESPACE = "shop"
STOP_SECONDS = 15.0


class TokenFolder:
    """A mounted token: a link to a folder that is swapped as a whole, so that nobody ever reads half a token."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        folder.mkdir(parents=True)
        (folder / "token").symlink_to("..data/token")

    @property
    def file(self) -> Path:
        return self._folder / "token"

    def write(self, token: str) -> None:
        self._number += 1
        aside = self._folder / f"..{self._number}"
        aside.mkdir()
        (aside / "token").write_text(token)
        (self._folder / "..new").symlink_to(aside.name)
        (self._folder / "..new").replace(self._folder / "..data")


@dataclass
class Workload:
    """One running example, named as its ServiceAccount. Use it as a context manager; it is started on entering."""

    name: str
    command: Sequence[str]
    url: str
    tokens: TokenFolder
    more: Mapping[str, str] = field(default_factory=dict)
    """Variables beside, or instead of, those that every example has."""
    process: "subprocess.Popen[bytes] | None" = None
    log_file: Path = field(default_factory=Path)

    def __enter__(self) -> Self:
        self.log_file = new_log(f"client-{self.name}")
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command), env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.started.kill()
            self.started.wait()

    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(nats_k8s_oidc_callout.__file__).parents[1]),
            "NATS_URL": self.url,
            "TOKEN_FILE": str(self.tokens.file),
            "NAMESPACE": NAMESPACE,
            "SERVICE_ACCOUNT": self.name,
            **self.more,
        }

    @property
    def started(self) -> "subprocess.Popen[bytes]":
        assert self.process is not None, "not started"
        return self.process

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def echoes(self) -> int:
        """How many requests to itself were answered: each needs its subscription, the reply and the private inbox."""
        return sum(line.startswith("echo ") for line in self.log().splitlines())

    def stop(self) -> tuple[int | None, float]:
        """End it as the kubelet does; return its exit code, None if it had to be killed, and how long it took."""
        began = time.monotonic()
        self.started.terminate()
        try:
            return self.started.wait(STOP_SECONDS), time.monotonic() - began
        except subprocess.TimeoutExpired:
            self.started.kill()
            self.started.wait()
            return None, time.monotonic() - began
