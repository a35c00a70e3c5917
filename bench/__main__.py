"""All benchmarks, one after the other, and one table of what they found beside what we want.

    python -m bench [NAME …]          the quick form, at most 10 minutes; results and plots go to build/bench
    python -m bench --long [NAME …]   what is kept: bench/results, docs/images and docs/PERFORMANCE.md (an hour, a quiet machine)
    python -m bench --write-docs      measures nothing; writes the tables of docs/PERFORMANCE.md anew from bench/results

Numbers of two runs don't compare, ratios do. Exit code 1 if a benchmark failed; an aim that is missed is no failure.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import _page, _plots
from bench._rows import Row, aligned, read

ROOT = Path(__file__).resolve().parent.parent
RESULTS, QUICK = ROOT / "bench" / "results", ROOT / "build" / "bench"


@dataclass(frozen=True)
class Benchmark:
    """A script of this folder, and what it is told."""

    name: str
    quick: str
    """Script and arguments; empty: only the long form takes part."""
    seconds: float
    """What the quick form may take; then it is ended. It takes less than half on two quiet cores."""
    long: str
    needs_go: bool = False


BENCHMARKS = (
    Benchmark("storm", "storm.py --parallel 64,256 --rounds 3", 110,
              "storm.py --parallel 1,16,64,256 --rounds 5 --scale 0.4 --gogc 800", needs_go=True),
    Benchmark("decide", "decide.py", 40, "decide.py --rounds 24"),
    Benchmark("memory", "memory.py --quick", 80, "memory.py --rounds 3"),
    Benchmark("scale", "scale.py --quick", 90, "scale.py"),
    Benchmark("policy", "policy.py --rounds 5", 30, "policy.py --rounds 24"),
    Benchmark("sessions", "sessions.py table", 55, "sessions.py table"),
    Benchmark("sessions-mass", "", 0, "sessions.py mass"),
    Benchmark("reload", "reload.py 5", 25, "reload.py 10"),
    Benchmark("flood", "flood.py", 125, "flood.py --logins 2000"),
    Benchmark("reconnect", "reconnect.py --simulate-only", 45, "reconnect.py"),
)  # fmt: skip


class NotMeasured(Exception):
    """A benchmark found nothing. The text says why."""


def run(benchmark: Benchmark, *, long: bool, into: Path) -> list[Row]:
    """Let it run; return what it found. Raises NotMeasured."""
    if benchmark.needs_go and shutil.which("go") is None:
        raise NotMeasured("needs Go")
    script, *arguments = (benchmark.long if long else benchmark.quick).split()
    fresh, log = QUICK / f"{benchmark.name}.new", QUICK / f"{benchmark.name}.log"
    fresh.unlink(missing_ok=True)
    command = [sys.executable, str(ROOT / "bench" / script), *arguments, "--json", str(fresh)]
    with log.open("wb") as output:
        # A session of its own, so that its servers end with it.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=ROOT
        )
        try:
            code = process.wait(None if long else benchmark.seconds)
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"took longer than {benchmark.seconds:g} s") from None
        finally:
            end(process)
    if code:
        last = log.read_text(errors="replace").strip().rpartition("\n")[2]
        raise NotMeasured(f"failed: {last[:60]} … ({os.path.relpath(log)})")
    try:
        rows = read(fresh)
    except (OSError, ValueError, KeyError, TypeError):
        raise NotMeasured("kept no rows (bench/_rows.py)") from None
    shutil.copyfile(fresh, into / f"{benchmark.name}.json")
    return rows


def end(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started, if it still runs."""
    if process.poll() is not None:
        return
    # As by Ctrl-C, so that it clears up; then whatever is left.
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def measure(benchmarks: Iterable[Benchmark], *, long: bool, into: Path) -> tuple[list[Sequence[str]], bool]:
    """Run each; return the lines of the table, and whether none failed."""
    lines: list[Sequence[str]] = []
    good = True
    for benchmark in benchmarks:
        began = time.monotonic()
        print(f"{benchmark.name} …", end=" ", flush=True)
        try:
            lines += [row.cells() for row in run(benchmark, long=long, into=into)]
            print(f"{time.monotonic() - began:.0f} s", flush=True)
        except NotMeasured as why:
            good &= benchmark.needs_go and str(why) == "needs Go"
            lines.append((benchmark.name, f"not measured: {why}", "", "", "", "–"))
            print(f"not measured: {why}", flush=True)
    return lines, good


def main() -> int:
    """Do what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"only these: {' '.join(one.name for one in BENCHMARKS)}"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--long", action="store_true", help="as long as numbers need that are kept")
    what.add_argument("--write-docs", action="store_true", help="only write the document")
    given = parser.parse_args()
    if unknown := set(given.names) - {one.name for one in BENCHMARKS}:
        parser.error(f"no such benchmark: {' '.join(sorted(unknown))}")
    if given.write_docs:
        _page.write()
        return 0
    into, images = (RESULTS, _plots.IMAGES) if given.long else (QUICK, QUICK)
    QUICK.mkdir(parents=True, exist_ok=True)
    for earlier in QUICK.glob("*.json"):
        earlier.unlink()
    chosen = [one for one in BENCHMARKS if (given.long or one.quick) and (not given.names or one.name in given.names)]
    began = time.monotonic()
    lines, good = measure(chosen, long=given.long, into=into)
    print(
        f"\n{aligned(lines)}\n\n{len(chosen)} benchmarks, {time.monotonic() - began:.0f} s; numbers in {os.path.relpath(into)}"
    )
    for image in _plots.draw(into, images):
        print("plot:", os.path.relpath(image))
    if given.long:
        _page.write()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
