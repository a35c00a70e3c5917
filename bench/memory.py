"""What the real `serve` holds in memory, and what one of everything that it keeps costs.

    python bench/memory.py                                        this checkout
    python bench/memory.py --against ../other-checkout            beside another one, taking turns
    python bench/memory.py --python /opt/runtime/bin/python       another interpreter, with what requirements/ pins
    python bench/memory.py --quick                                no tokens

    ready          200 ServiceAccounts from an API server over TLS, the issuer's keys from it, one nats-server
    tokens         the same process after so many logins, each with a token that it had not seen
    accounts       ready with 50,000 ServiceAccounts
    controlled     ready with a policy of 50 rules and session control

VmRSS has everything, with pages of libraries that processes share; RssAnon is what is this process's alone; VmHWM the
most so far. `rich` is hidden, since the image has none. The bytes of one token, grant, ServiceAccount and session are
tracemalloc's, beside what our own bounds count for it: they must count no less.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from bench._memory_costs import costs  # noqa: E402  # the lines above make ours importable
from bench._memory_world import ApiServer  # noqa: E402
from bench._rows import Row, aligned, keep  # noqa: E402
from bench._storm_world import Pool, go_program, nats_server  # noqa: E402
from tests.e2e.session_plans import one_node  # noqa: E402
from tests.fakes.issuer import AUDIENCE, ISSUER  # noqa: E402
from tests.fakes.nats_world import NatsServer, free_port  # noqa: E402

ACCOUNTS, TOKENS = 50_000, 20_000
WHICH = ("VmRSS", "VmHWM", "RssAnon")
REACH = {"ready": 62.0, "accounts": 82.0, "tokens": 75.0}
"""MiB of VmRSS that are to be reached."""
WORDS = {
    "ready": "memory: ready",
    "tokens": f"memory: after {TOKENS:,} tokens",
    "accounts": f"memory: {ACCOUNTS:,} ServiceAccounts",
    "controlled": "memory: ready, with policy and session control",
}
_COMMAND = (
    "import sys; sys.modules['rich'] = None; sys.argv = ['nats-k8s-oidc-callout', 'serve']; "
    "from nats_k8s_oidc_callout.__main__ import run; run()"
)
_START_SECONDS, _SETTLE_SECONDS = 60.0, 2.0
_POLICY = "version: 1\nrules:\n" + "".join(
    f'  - {{name: team-{n}, match: {{namespaces: ["team-{n:02}"]}}, publish: ["events.{n}.>"]}}\n' for n in range(49)
) + '  - {name: everybody, match: {}, annotations: {publish: [">"], subscribe: [">"]}}\n'  # fmt: skip

Memory = dict[str, float]


def memory(pid: int) -> Memory:
    """Return MiB by the kernel's names."""
    text = Path(f"/proc/{pid}/status").read_text()
    return {name: int(re.findall(rf"{name}:\s+(\d+)", text)[0]) / 1024 for name in WHICH}


@contextmanager
def serving(python: str, source: Path, variables: Mapping[str, str], folder: Path) -> Iterator[int]:
    """Run `serve` from this source until it is ready, and give its process id."""
    port, log = free_port(), folder / "serve.log"
    ours = {"PATH": os.environ["PATH"], "PYTHONPATH": str(source), "HOST": "127.0.0.1", "PORT": str(port)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [python, "-c", _COMMAND], env={**ours, **variables}, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        ends = time.monotonic() + _START_SECONDS
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"{source} is not ready:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        time.sleep(_SETTLE_SECONDS)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.HTTPError, OSError):
        return False


class World:
    """What `serve` needs around it. Use it as a context manager."""

    def __init__(self, folder: Path, pool: Pool | None) -> None:
        self._folder, self._pool = folder, pool
        self._plan = one_node(folder)
        self._server = NatsServer(self._plan.texts[0], binary=nats_server(), started=False)
        jwks = pool.jwks.read_bytes() if pool else None
        self._few, self._many = (ApiServer(count, folder / str(count), jwks) for count in (0, ACCOUNTS))
        (folder / "policy.yaml").write_text(_POLICY)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._server.start()
        self._stack.push(self._server)
        for api in (self._few, self._many):
            self._stack.enter_context(api)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, python: str, source: Path) -> dict[str, Memory]:
        """Return the memory of each row."""
        nats = {"NATS_URL": self._server.url, **self._plan.variables, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
        control = {"POLICY_FILE": str(self._folder / "policy.yaml"), "SESSION_CONTROL": "on", "SESSION_SUBJECTS": "nko"}
        rows = {}
        with serving(python, source, {**nats, **self._few.variables}, self._folder) as pid:
            rows["ready"] = memory(pid)
            if self._pool is not None:
                self._log_in(self._pool)
                rows["tokens"] = memory(pid)
        with serving(python, source, {**nats, **self._many.variables}, self._folder) as pid:
            rows["accounts"] = memory(pid)
        with serving(python, source, {**nats, **self._few.variables, **control}, self._folder) as pid:
            rows["controlled"] = memory(pid)
        return rows

    def _log_in(self, pool: Pool) -> None:
        command = [str(go_program("storm")), "-server", f"127.0.0.1:{self._server.port}", "-tokens", str(pool.tokens)]
        options = {"parallel": 16, "logins": TOKENS}
        command += [text for name, value in options.items() for text in (f"-{name}", str(value))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=300)
        seen = json.loads(done.stdout)
        if seen["allowed"] < TOKENS:
            raise RuntimeError(f"not all were let in: {seen}")
        time.sleep(_SETTLE_SECONDS)


def median(rounds: Sequence[dict[str, Memory]]) -> dict[str, Memory]:
    """Return the median of each number, in MiB."""
    return {
        row: {name: round(statistics.median(one[row][name] for one in rounds), 1) for name in WHICH}
        for row in rounds[0]
    }


def rows_of(ours: Mapping[str, Memory], theirs: Mapping[str, Memory] | None) -> list[Row]:
    """Return what VmRSS is, beside what it may be; or beside another checkout's."""
    found = []
    for row, memory_ in ours.items():
        measured = memory_["VmRSS"]
        if theirs:
            found.append(Row(WORDS[row], measured, "MiB", theirs[row]["VmRSS"], "before"))
        else:
            found.append(Row(WORDS[row], measured, "MiB", aim=REACH.get(row)))
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout, or the folder of its package")
    parser.add_argument("--python", default=sys.executable, help="what runs `serve`")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sources = [ROOT / "src"]
    if given.against:
        nested = given.against / "src"
        sources.append((nested if nested.is_dir() else given.against).resolve())
    for source in sources:
        # A start that has to compile holds more.
        subprocess.run([given.python, "-m", "compileall", "-q", str(source)], check=True)
    pool = None if given.quick else Pool.of(TOKENS, "RS256")
    found: list[list[dict[str, Memory]]] = [[] for _ in sources]
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as folder, World(Path(folder), pool) as world:
        for _ in range(given.rounds):
            for source, rounds in zip(sources, found, strict=True):
                rounds.append(world.measure(given.python, source))
    ours, *others = map(median, found)
    rows = rows_of(ours, others[0] if others else None)
    one = costs()
    rows += [
        Row(f"memory: one {name}", cost["bytes"], "B", cost["counted"] or None, "counted as")
        for name, cost in one.items()
    ]
    if "tokens" in ours:
        each = round((ours["tokens"]["VmRSS"] - ours["ready"]["VmRSS"]) * 2**20 / TOKENS)
        rows.append(Row(f"memory: one of {TOKENS:,} tokens, in the process", each, "B"))
    print(aligned([row.cells() for row in rows]))
    print()
    print(
        aligned([[row, *(f"{memory_[name]:.1f}" for name in WHICH)] for row, memory_ in ours.items()], ["MiB", *WHICH])
    )
    version = "import platform; print(platform.python_version())"
    python = subprocess.run([given.python, "-c", version], capture_output=True, check=True, text=True).stdout.strip()
    about = {"python": python, "libc": " ".join(platform.libc_ver()), "rounds": len(found[0])}
    keep(given.json, rows, about, mib=ours)
    return 0


if __name__ == "__main__":
    sys.exit(main())
