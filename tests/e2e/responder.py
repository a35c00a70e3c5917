"""The real command as a process of its own, with exactly the environment that a test gives it.

Whatever a responder writes stays in LOG_FILES until the run is over: `leak_scan` reads all of it at the end.
"""

import atexit
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import nats_k8s_oidc_callout
from tests.e2e.forked import Forked, becoming
from tests.leaks import SECRETS

DECISIONS = ("allowed", "denied", "dropped")
START_SECONDS = 20.0
# The responder itself gives up after 10 s of leaving.
STOP_SECONDS = 15.0

_PROMPT = """
import signal, sys
sys.argv = ["nats-k8s-oidc-callout"]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as __main__ does, before the imports
from nats_k8s_oidc_callout.adapters.http import server
server.RENDER_SECONDS = 0.0
from nats_k8s_oidc_callout.adapters import files, keyfolder
from nats_k8s_oidc_callout.app import policyfile
files.INTERVAL_SECONDS = keyfolder.INTERVAL_SECONDS = policyfile.INTERVAL_SECONDS = 0.5
from nats_k8s_oidc_callout.__main__ import run
run()
"""
_SEED = re.compile(r"S[OANUXC][A-Z2-7]{56}")
_LOGS = Path(tempfile.mkdtemp(prefix="responder-logs-"))
LOG_FILES: list[Path] = []
"""The log of every responder of this run, ended or not."""

_running: "weakref.WeakSet[Forked]" = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """Leave no responder behind, whatever became of the test that started it."""
    for process in list(_running):
        process.send_signal(signal.SIGKILL)
    shutil.rmtree(_LOGS, ignore_errors=True)


def new_log(name: str) -> Path:
    """Return a file for what a process says; it is scanned for secrets at the end of the run."""
    LOG_FILES.append(_LOGS / f"{len(LOG_FILES):03d}-{name}.log")
    return LOG_FILES[-1]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return what a responder's process gets: `given`, what Python itself needs, and a loopback port for health."""
    register_secrets(given)
    source = str(Path(nats_k8s_oidc_callout.__file__).parents[1])
    ours = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": source}
    return {**ours, "LOG_LEVEL": "debug", "HOST": "127.0.0.1", "PORT": "0", **given}


def register_secrets(env: Mapping[str, str]) -> None:
    """Make secrets of every credential that an environment holds or names the file of."""
    for name, value in env.items():
        if name == "NATS_TOKEN":
            SECRETS.register("password", value)
        elif name == "NATS_URL":
            for url in value.split(","):
                parts = urlsplit(url)
                # A user alone is a token, and then as secret as a password.
                secret = parts.password if parts.password is not None else parts.username
                if secret:
                    SECRETS.register("password", unquote(secret))
        elif name.endswith(("_FILE", "_PATH")) and Path(value).is_file():
            register_file(Path(value))


def register_file(path: Path) -> None:
    """Make secrets of the seeds in a file, and of the JWT of a creds file."""
    text = path.read_text(errors="replace")
    if "BEGIN NATS USER JWT" in text:
        SECRETS.register("creds", text)
    for seed in _SEED.findall(text):
        SECRETS.register("seed", seed)


class ResponderProcess:
    """`nats-k8s-oidc-callout` with the environment `env`. Use it as a context manager; it is started on entering.

    It looks at its files twice a second, and renders its metrics for each who asks, so that tests can compare them before
    and after; `as_shipped` is as it is.
    """

    def __init__(
        self, env: Mapping[str, str], *, name: str = "responder", as_shipped: bool = False, before: str = ""
    ) -> None:
        """`before` are lines of Python for what no setting changes, as how long keys are good."""
        self.env = environment(env)
        shipped = becoming([sys.executable, "-m", "nats_k8s_oidc_callout"])
        self._code = shipped if as_shipped else before + _PROMPT
        self.log_file = new_log(name)
        self._process: Forked | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.stop()

    def start(self) -> None:
        self._process = Forked(self._code, self.env, self.log_file)
        _running.add(self._process)

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def port(self) -> int:
        """The port of health and metrics; waits for the line that tells it."""
        if not self._port:
            self._until(lambda: self.events("http listening"), START_SECONDS, "http listening")
            self._port = int(self.events("http listening")[0]["port"])
        return self._port

    @property
    def _started(self) -> Forked:
        assert self._process is not None, "not started"
        return self._process

    # What it says

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """Return every whole JSON line so far."""
        whole = self.log().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def events(self, *names: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] in names]

    def decisions(self, **fields: object) -> list[dict[str, Any]]:
        """Return the lines about logins that have these fields (`connection="…"`). `allowed` may be 0.1 s late."""
        return [line for line in self.events(*DECISIONS) if fields.items() <= line.items()]

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of one of its pages."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Return every sample, by its name with its labels as they are written."""
        samples = [line.rpartition(" ") for line in self.get("/metrics")[1].splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in samples}

    def denials(self, reason: str) -> float:
        return self.metrics()[f'nats_auth_denials_total{{reason="{reason}"}}']

    @property
    def ready(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def wait_ready(self, seconds: float = START_SECONDS) -> Self:
        """Return once it is ready; fail with its log when it ends or is not in time."""
        self._until(lambda: self.ready, seconds, "ready")
        return self

    def _until(self, true: Callable[[], object], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert self.running, f"the responder ended with {self._started.poll()}:\n{self.log()[-4000:]}"
            assert time.monotonic() < deadline, f"not {what} within {seconds} s:\n{self.log()[-4000:]}"
            time.sleep(0.02)

    # How it ends

    def signal(self, number: signal.Signals) -> None:
        self._started.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Return its exit code; fail, and end it, when it takes longer."""
        try:
            return self._started.wait(seconds)
        except TimeoutError:
            self.kill()
            raise AssertionError(f"it did not end within {seconds} s:\n{self.log()[-4000:]}") from None

    def stop(self) -> int:
        """End it as an orchestrator does, and return its exit code."""
        self.stop_softly()
        return self.wait()

    def stop_softly(self) -> None:
        """Tell it to go, as an orchestrator does, without waiting for that."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self._started.send_signal(signal.SIGKILL)
        self.wait()
