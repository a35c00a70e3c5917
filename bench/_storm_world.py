"""What a storm needs around it: tokens made beforehand, the programs in Go, a NATS server, and responders to compare."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from nats_k8s_oidc_callout.core.nats.nkeys import Kind  # noqa: E402  # the lines above make it importable
from tests.fakes.issuer import AUDIENCE, ISSUER, Issuer, IssuerKey, issuer_key  # noqa: E402
from tests.fakes.nats_modes import Pair, config_mode  # noqa: E402
from tests.fakes.nats_world import NatsServer, find_binary  # noqa: E402
from tools import build  # noqa: E402

ACCOUNTS = 200
LIFETIME = 86_400
_START_SECONDS = 20.0
_TICK = 1e9 / os.sysconf("SC_CLK_TCK")


def workload(number: int) -> tuple[str, str, str]:
    """Return namespace, name and uid of the ServiceAccount that the token `number` is of."""
    number %= ACCOUNTS
    return f"team-{number % 20:02}", f"worker-{number:03}", f"1f0e6c1e-8b0d-4a52-9d6b-{number:012}"


def manifests() -> bytes:
    """Return all ServiceAccounts as one list; a tenth of them has annotations for us."""
    items = []
    for number in range(ACCOUNTS):
        namespace, name, uid = workload(number)
        meta: dict[str, object] = {"namespace": namespace, "name": name, "uid": uid}
        if number % 10 == 0:
            meta["annotations"] = {
                "nats.io/allowed-pub-subjects": f"orders.{number}.>, shared.{namespace}",
                "nats.io/allowed-sub-subjects": f"orders.{number}.>",
            }
        items.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    return json.dumps({"apiVersion": "v1", "kind": "ServiceAccountList", "items": items}).encode()


@dataclass(frozen=True)
class Pool:
    """Tokens in a file, one a line, and the key set that belongs to them. All are different, and good for a day."""

    tokens: Path
    jwks: Path

    @classmethod
    def of(cls, count: int, alg: str) -> Self:
        """Return a pool of at least `count` tokens; one that was made within the last 12 hours is taken again."""
        folder = build.cache() / "bench" / f"tokens-{alg}"
        tokens, jwks = folder / "tokens.txt", folder / "jwks.json"
        young = tokens.exists() and time.time() - tokens.stat().st_mtime < 12 * 3600
        if not young or tokens.read_bytes().count(b"\n") < count:
            print(f"making {count} tokens ({alg}) …", flush=True)
            folder.mkdir(parents=True, exist_ok=True)
            key = issuer_key(alg)
            jwks.write_bytes(Issuer(keys=[key]).jwks())
            unfinished = tokens.with_suffix(".new")
            unfinished.write_text("".join(f"{_token(key, number)}\n" for number in range(count)))
            unfinished.rename(tokens)
        return cls(tokens, jwks)


def _token(key: IssuerKey, number: int) -> str:
    namespace, name, uid = workload(number)
    jti = f"5b8f4c1a-2f7e-4b43-9a52-{number:012}"
    pod = f"{name}-7d9c5b5c8d-{number % 7}"
    return Issuer(keys=[key]).token(
        namespace=namespace, name=name, uid=uid, pod=pod, now=time.time(), lifetime=LIFETIME, claims={"jti": jti}
    )


def go_program(name: str) -> Path:
    """Return the program of bench/`name`, built into the cache beside the tools; raise FileNotFoundError without Go."""
    go = shutil.which("go")
    if go is None:
        raise FileNotFoundError(f"bench/{name} wants Go 1.26 or later on PATH")
    made = build.cache() / "bench" / name
    made.parent.mkdir(parents=True, exist_ok=True)
    # Go's own cache makes this a matter of milliseconds when nothing has changed.
    command = [go, "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o", str(made), "."]
    subprocess.run(
        command, check=True, cwd=ROOT / "bench" / name, env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    )
    return made


def nats_server() -> str:
    """Return the newest nats-server here: the one that tests pin if it is built, else the demo's."""
    return str(build.path("nats-server-2.15") or find_binary())


def cpu_nanoseconds(pid: int) -> int:
    """Return what all threads of a process have used, exact where the kernel tells so, else in whole ticks."""
    try:
        return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    except (OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int((int(fields[11]) + int(fields[12])) * _TICK)


def resident_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


class Contender:
    """One responder with a NATS server of its own. Use it as a context manager.

    `command` is any program that takes our variables and answers the callout in config mode.
    """

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], pool: Pool) -> None:
        self.name = name
        self._command = command
        self._scratch = tempfile.TemporaryDirectory(prefix="bench-storm-")
        folder = Path(self._scratch.name)
        self.log = folder / "responder.log"
        issuer, user = Pair.new(Kind.ACCOUNT), Pair.new(Kind.USER)
        accounts = folder / "serviceaccounts"
        accounts.mkdir()
        (accounts / "all.json").write_bytes(manifests())
        (folder / "issuer.seed").write_text(issuer.seed)
        (folder / "user.seed").write_text(user.seed)
        self.server = NatsServer(config_mode(issuer=issuer, responder=user).text, binary=nats_server(), started=False)
        self._env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "src"),
            "NATS_URL": self.server.url,
            "NATS_ACCOUNT": "APP",
            "NATS_AUTH_ACCOUNT": "AUTH",
            "NATS_CREDS_FILE": str(folder / "user.seed"),
            "NATS_SIGNING_KEY_FILE": str(folder / "issuer.seed"),
            "JWKS_FILE": str(pool.jwks),
            "SERVICE_ACCOUNTS_DIR": str(accounts),
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
            "HOST": "127.0.0.1",
            "PORT": "0",
            **env,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.server.start()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.server.__exit__()
        self._scratch.cleanup()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def allows(self) -> int:
        """Return how many logins the responder says that it has allowed, by its log: one line each."""
        return self.log.read_bytes().count(b'"allowed"')

    def storm(self, generator: Path, pool: Pool, options: Mapping[str, object]) -> dict[str, Any]:
        """Let clients log in; return what the generator has seen."""
        command = [str(generator), "-server", f"127.0.0.1:{self.server.port}", "-tokens", str(pool.tokens)]
        command += [text for name, value in options.items() for text in (f"-{name}", str(value))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=300)
        seen: dict[str, Any] = json.loads(done.stdout)
        return seen

    def warm_up(self, generator: Path, pool: Pool) -> None:
        """Wait until logins work, and let each ServiceAccount log in twice; those tokens come again later."""
        deadline = time.monotonic() + _START_SECONDS
        knock = {"parallel": 1, "logins": 1, "patience": 3}
        while not self.storm(generator, pool, knock)["allowed"]:
            if self.ended or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not answer:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)
        self.storm(generator, pool, {"parallel": 16, "logins": 2 * ACCOUNTS, "cycle": ACCOUNTS})
        # Its log lines may be written a little later, and must not be counted with the first storm's.
        time.sleep(0.25)
