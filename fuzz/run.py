"""Runs the fuzzers: python fuzz/run.py --seconds 20 [--jobs 1] [--keep FOLDER] [TARGET …]

Each is a process of its own, with the kept corpus as its start; one line says what it did. A find is written to
fuzz-finds/ and makes the exit code 1. New inputs go to --keep (so that the next run goes on from there) or are dropped.
"""

import argparse
import concurrent.futures
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
FINDS = ROOT / "fuzz-finds"
NAMES = (
    "token",
    "request",
    "box",
    "key_set",
    "watch",
    "list_page",
    "annotation",
    "manifest",
    "secret_file",
    "log_text",
    "connections",
)
# Longer inputs are slower, not cleverer; what is huge on purpose is for tests/attack.
MAX_BYTES = 2048
SHORTER = {"annotation": 256, "log_text": 256}
# What one input may take: a parser that needs longer for 2 KiB can be stalled.
INPUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Ran:
    """What one fuzzer did."""

    name: str
    executions: int
    seconds: float
    edges: int
    failed: bool
    output: str

    def __str__(self) -> str:
        rate = self.executions / self.seconds if self.seconds else 0
        word = "FOUND SOMETHING" if self.failed else "good"
        return (
            f"{self.name:<12} {self.executions:>10,} executions {self.seconds:>6.0f} s {rate:>8,.0f}/s "
            f"{self.edges:>5} edges  {word}"
        )


def fuzz(name: str, seconds: int, keep: Path | None) -> Ran:
    """Run one fuzzer for so many seconds."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as scratch:
        grown = keep / name if keep else Path(scratch)
        grown.mkdir(parents=True, exist_ok=True)
        FINDS.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "fuzz.one", name, str(grown), str(CORPUS / name)]
        command += [
            f"-max_total_time={seconds}",
            f"-max_len={SHORTER.get(name, MAX_BYTES)}",
            f"-timeout={INPUT_SECONDS}",
        ]
        command += ["-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={FINDS}/{name}-"]
        path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
        began = time.monotonic()
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        output = (ran.stdout + ran.stderr).decode(errors="replace")
        counts = [int(found) for found in re.findall(r"^#(\d+)", output, re.MULTILINE)]
        counts += [int(found) for found in re.findall(r"number_of_executed_units: (\d+)", output)]
        edges = [int(found) for found in re.findall(r" cov: (\d+)", output)]
        return Ran(
            name, max(counts, default=0), time.monotonic() - began, max(edges, default=0), ran.returncode != 0, output
        )


def main(arguments: Sequence[str]) -> int:
    """Run the named fuzzers, or all, and say what each did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20, help="for each target (20)")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once (1)")
    parser.add_argument("--keep", type=Path, help="folder for new inputs")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    options = parser.parse_args(arguments)
    unknown = set(options.targets) - set(NAMES)
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("atheris") is None:
        print(f"NOT FUZZED: atheris is not installed in this Python {sys.version.split()[0]} (requirements/fuzz.txt)")
        return 3
    total, failed = 0, False
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for ran in pool.map(lambda name: fuzz(name, options.seconds, options.keep), options.targets or NAMES):
            print(ran, flush=True)
            total += ran.executions
            if ran.failed:
                failed = True
                print(ran.output[-4000:], flush=True)
    print(f"{total:,} executions in all")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
