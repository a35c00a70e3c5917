"""What bench/scale.py runs: a scripted API server, a nats-server, the real responder, and a look at its process."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from bench.serviceaccounts import account  # noqa: E402  # the lines above make it importable
from tests.e2e.session_plans import one_node  # noqa: E402
from tests.fakes.authority import Authority  # noqa: E402
from tests.fakes.issuer import AUDIENCE, ISSUER, Issuer  # noqa: E402
from tests.fakes.nats_world import NatsServer, free_port  # noqa: E402

SESSIONS = 100
"""Live sessions where sessions are looked after, of ServiceAccounts that events are about."""
_START_SECONDS = 30.0
_RULE = '  - {{name: team-{number}, match: {{namespaces: ["team-{number:03}*"]}}, publish: ["events.{number}.>"]}}\n'
POLICY = (
    "version: 1\nrules:\n"
    + "".join(_RULE.format(number=number) for number in range(50))
    + '  - {name: labelled, match: {namespace_labels: {example.com/team: "team-99"}}, publish: ["labelled.>"]}\n'
    + '  - {name: everybody, match: {}, annotations: {publish: [">"], subscribe: [">"]}}\n'
)


@dataclass(frozen=True)
class Api:
    """An API server that runs, and the variables of whoever asks it."""

    variables: Mapping[str, str]
    issuer: Issuer = field(default_factory=Issuer)
    _orders: "subprocess.Popen[str] | None" = None

    @property
    def tells(self) -> bool:
        """Whether it can be told what happens."""
        return self._orders is not None

    def tell(self, order: str) -> None:
        """Have it do something; _scale_api.py has the words."""
        assert self._orders is not None
        assert self._orders.stdin is not None
        self._orders.stdin.write(f"{order}\n")
        self._orders.stdin.flush()
        _said(self._orders)

    def token(self, number: int) -> str:
        """Return a token of a ServiceAccount."""
        one = account(number)["metadata"]
        return self.issuer.token(namespace=one["namespace"], name=one["name"], uid=one["uid"], now=time.time())


def _said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def scripted_api(count: int, folder: Path) -> Iterator[Api]:
    """Run the server of _scale_api.py."""
    issuer, authority = Issuer(), Authority()
    (folder / "jwks.json").write_bytes(issuer.jwks())
    mounted = folder / "mounted"
    mounted.mkdir()
    for name, content in (("token", b"mounted"), ("namespace", b"nats-auth"), ("ca.crt", authority.certificate)):
        (mounted / name).write_bytes(content)
    files = (*authority.write(folder), folder / "jwks.json")
    command = [sys.executable, str(ROOT / "bench/_scale_api.py"), str(count), *map(str, files)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = _said(process)
            variables = {
                "KUBERNETES_SERVICE_HOST": "127.0.0.1",
                "KUBERNETES_SERVICE_PORT": port,
                "K8S_CREDENTIALS_DIR": str(mounted),
                "JWKS_URL": f"https://127.0.0.1:{port}/openid/v1/jwks",
                "JWT_ISSUER": ISSUER,
                "JWT_AUDIENCE": AUDIENCE,
            }
            yield Api(variables, issuer, process)
        finally:
            process.kill()


class Responder:
    """`serve` with its clock, started at once. Use it as a context manager."""

    def __init__(self, variables: Mapping[str, str], folder: Path) -> None:
        self._turns, self._log = folder / "turns", folder / "log"
        self._port = free_port()
        ours = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "HOST": "127.0.0.1"}
        self._env = {**ours, "PORT": str(self._port), **variables}

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        command = [sys.executable, str(ROOT / "bench/_scale_serve.py"), str(self._turns), "serve"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_ready(self) -> float:
        """Return how many seconds after the start of the process /readyz said 200 for the first time."""
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > self.began + _START_SECONDS:
                raise RuntimeError(f"the responder is not ready:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.005)
        return time.monotonic() - self.began

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=30) as answer:
                return bool(answer.status == 200)
        except (urllib.error.HTTPError, OSError):
            return False

    def lists(self, resource: str = "serviceaccounts") -> Sequence[float]:
        """Return how many seconds each whole list took, by its log."""
        lines = (json.loads(line) for line in self._log.read_text().splitlines() if '"informer listed"' in line)
        return [line["seconds"] for line in lines if line["resource"] == resource]

    def wait_lists(self, number: int) -> None:
        """Return once so many whole lists of ServiceAccounts are in."""
        ends = time.monotonic() + _START_SECONDS
        while len(self.lists()) < number:
            if time.monotonic() > ends:
                raise RuntimeError(f"not listed again:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.02)

    def cpu(self) -> float:
        """Return the processor seconds of all its threads so far."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def mib(self, which: str) -> float:
        """Return VmRSS or VmHWM."""
        found = re.search(rf"{which}:\s+(\d+)", Path(f"/proc/{self._process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    def forget_peak(self) -> None:
        """Let VmHWM begin again at what is resident now."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def longest_turn(self, since: float) -> float:
        """Return the most processor seconds that one turn of its loop took since that monotonic time; 2 ms at least."""
        turns = (line.split() for line in self._turns.read_text().splitlines())
        return max((float(seconds) for at, seconds in turns if float(at) >= since), default=0.002)


class World:
    """A nats-server for one responder after the other, with what both need."""

    def __init__(self, folder: Path) -> None:
        self._plan = one_node(folder)
        self._folder = folder
        (folder / "policy.yaml").write_text(POLICY)
        self.server = NatsServer(self._plan.texts[0])

    def responder(self, variables: Mapping[str, str], *, controlled: bool) -> Responder:
        """Return a responder; `controlled` by a policy that goes by labels, and looking after live sessions."""
        more = {"POLICY_FILE": str(self._folder / "policy.yaml"), "SESSION_CONTROL": "on", "SESSION_SUBJECTS": "nko"}
        nats = {"NATS_URL": self.server.url, **self._plan.variables}
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        return Responder({**nats, **variables, **(more if controlled else {})}, folder)

    def log_in(self, token: str) -> socket.socket:
        """Return a client that was let in."""
        client = socket.create_connection(("127.0.0.1", self.server.port), 10)
        reader = client.makefile("rb")
        reader.readline()
        options = {"verbose": False, "pedantic": False, "protocol": 1, "lang": "bench", "auth_token": token}
        client.sendall(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        said = reader.readline()
        if said != b"PONG\r\n":
            raise RuntimeError(f"not let in: {said.decode()}")
        return client
