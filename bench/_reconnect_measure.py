"""The real run of bench/reconnect.py: real clients, a real nats-server and the real responder on this machine."""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from _storm_world import ACCOUNTS, Contender, Pool, cpu_nanoseconds, go_program, nats_server

from tests.fakes.nats_world import free_port

Row = dict[str, Any]

# Log lines may be written some time after the answer, and the server closes connections.
_SETTLE_SECONDS = 0.3
# The functions of nats-server that are a phase, by what their names end with; the last one has a number of its own.
_PHASES = {
    "accept": r"\(\*Server\)\.acceptConnections",
    "greet": r"\(\*Server\)\.createClientEx",
    "ask": r"\(\*Server\)\.processClientOrLeafCallout",
    "send": r"\(\*Server\)\.internalSendLoop",
    "answer": r"\(\*Server\)\.processClientOrLeafCallout\.func\d+",
}
_PROFILE_SECONDS = 30


@contextmanager
def first_class() -> Iterator[bool]:
    """Let what is started here go before everything else on the machine, as far as that may be set; yield whether."""
    name = f"bench-reconnect-{os.getpid()}"
    for root, file, weight in (
        (Path("/sys/fs/cgroup/cpu"), "cpu.shares", "262144"),
        (Path("/sys/fs/cgroup"), "cpu.weight", "10000"),
    ):
        group = root / name
        try:
            group.mkdir()
            (group / file).write_text(weight)
            (group / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        try:
            yield True
        finally:
            (root / "cgroup.procs").write_text(str(os.getpid()))
            with suppress(OSError):
                group.rmdir()
        return
    yield False


class Run:
    """One responder and one nats-server, and storms against them. Use it as a context manager."""

    def __init__(self, tokens: int) -> None:
        self._pool = Pool.of(ACCOUNTS + tokens, "RS256")
        self._generator = go_program("storm")
        self._used = ACCOUNTS
        self._profile_port = free_port()
        self._contender = Contender("ours", [sys.executable, "-m", "nats_k8s_oidc_callout"], {}, self._pool)
        self._contender.server.text += f"\nprof_port: {self._profile_port}\n"
        self.server_version = nats_version()

    def __enter__(self) -> Self:
        self._contender.__enter__()
        self._contender.warm_up(self._generator, self._pool)
        return self

    def __exit__(self, *_: object) -> None:
        self._contender.__exit__(*_)

    def storm(self, clients: int, logins: int, again: bool = False) -> Row:
        """Let so many log in at a time, and stay; return moments in ms, and microseconds of a processor for each login."""
        world = self._contender
        pids = world.pid, world.server.pid
        options: dict[str, object] = {"parallel": clients, "logins": logins, "hold=true": "", "each=true": ""}
        options["cycle" if again else "skip"] = ACCOUNTS if again else self._used
        self._used += 0 if again else logins
        command = [str(self._generator), "-server", f"127.0.0.1:{world.server.port}"]
        command += ["-tokens", str(self._pool.tokens)]
        command += [text for name, value in options.items() for text in (f"-{name}", str(value)) if text]
        allows, logged = world.allows(), world.log.stat().st_size
        before = [cpu_nanoseconds(pid) for pid in pids]
        found = json.loads(
            subprocess.run(command, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=120).stdout
        )
        after = [cpu_nanoseconds(pid) for pid in pids]
        time.sleep(_SETTLE_SECONDS)
        each = [one for one in found["each"] if one[3]]
        ours = sum(new - old for new, old in zip(after, before, strict=True)) / 1e6 + found["clients_cpu_ms"]
        responder, server = ((new - old) / 1e3 / logins for new, old in zip(after, before, strict=True))
        return {
            "clients": clients,
            "logins": logins,
            "responder_us": responder,
            "server_us": server,
            "client_us": found["clients_cpu_ms"] * 1e3 / logins,
            "seconds": found["seconds"],
            "others_s": max(0.0, found["machine_cpu_ms"] - ours) / 1e3,
            "ended": [one[2] for one in each],
            "took": [one[2] - one[1] for one in each],
            "informed": [one[1] - one[0] for one in each],
            "answered": _answer_times(world.log, logged),
            "lost": logins - len(each),
            "late": world.allows() - allows - len(each),
        }

    @contextmanager
    def profiled(self) -> Iterator[dict[str, float]]:
        """Yield what, once the block has ended, has each phase's share of the server's time."""
        shares: dict[str, float] = {}
        file = self._contender.log.with_name("profile")
        url = f"http://127.0.0.1:{self._profile_port}/debug/pprof/profile?seconds={_PROFILE_SECONDS}"
        fetch = threading.Thread(target=lambda: file.write_bytes(urllib.request.urlopen(url).read()))
        fetch.start()
        yield shares
        fetch.join()
        shares.update(_phases(file))


def nats_version() -> str:
    """Return the version of the server that is measured."""
    return subprocess.run([nats_server(), "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]


def _answer_times(log: Path, begin: int) -> list[float]:
    """Return the ms that the responder says for each login, by its log from there on."""
    with log.open("rb") as file:
        file.seek(begin)
        return [json.loads(line)["ms"] for line in file if b'"allowed"' in line]


def _phases(profile: Path) -> dict[str, float]:
    """Return each phase's share of the time, without that of the garbage collector, which all need alike."""
    go = shutil.which("go")
    assert go is not None
    text = subprocess.run(
        [go, "tool", "pprof", "-top", "-cum", "-unit=ms", "-nodefraction=0", "-nodecount=100000", str(profile)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    spent: dict[str, float] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 6 and fields[3].endswith("ms") and fields[4].endswith("%"):
            name = " ".join(fields[5:]).removesuffix(" (inline)")
            spent[name] = max(spent.get(name, 0.0), float(fields[3].removesuffix("ms")))
    total = re.search(r"Total samples = ([\d.]+)(ms|s)", text)
    assert total is not None
    whole = float(total[1]) * (1000 if total[2] == "s" else 1) - spent.get("runtime.gcBgMarkWorker", 0.0)
    shares = {
        phase: max((ms for name, ms in spent.items() if re.search(pattern + "$", name)), default=0.0) / whole
        for phase, pattern in _PHASES.items()
    }
    # `ask` waits for `answer`, which runs elsewhere: they don't overlap.
    return {**shares, "finish": 1.0 - sum(shares.values())}


def summary(row: Row) -> Row:
    """Return the numbers of one storm that are compared."""
    ended, took = sorted(row["ended"]), sorted(row["took"])
    return {
        "clients": row["clients"],
        "last_ms": ended[-1],
        "p50_ms": ended[len(ended) // 2],
        "p99_ms": ended[int(0.99 * (len(ended) - 1))],
        "took_p50_ms": took[len(took) // 2],
        "took_p99_ms": took[int(0.99 * (len(took) - 1))],
        "in": len(ended),
    } | {name: row[name] for name in ("lost", "late", "responder_us", "server_us", "client_us", "others_s")}


def medians(rows: Sequence[Row]) -> Row:
    """Return the median of each number."""
    return {
        name: statistics.median(row[name] for row in rows) if name != "clients" else value
        for name, value in rows[0].items()
    }


def shape(values: Sequence[float], parts: int = 50) -> list[float]:
    """Return the distribution as quantiles, of mean 1."""
    found = statistics.quantiles(values, n=parts)
    mean = statistics.fmean(found)
    return [round(value / mean, 3) for value in found]
