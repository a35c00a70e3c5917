"""What 1,000 to 100,000 ServiceAccounts cost the real `serve`: the start, memory, pauses of its event loop, a busy watch.

    python bench/scale.py [--quick] [--sizes 1000,50000] [--starts N] [--json FILE]
    python bench/scale.py --real 10000       kube-apiserver, which `make tools` builds: the start alone

A scripted API server in another process, TLS, a real nats-server. Each size runs plain and with *control*: a policy of 52
rules that goes by labels of namespaces, so that these are followed as well, and session control with 100 live sessions.

    ready      from the start of the process to /readyz 200: seconds, and processor seconds
    list       the seconds that its first list of ServiceAccounts took
    turn       the longest turn of the event loop in processor milliseconds: at the start, in a busy watch, at a whole list
    watch      the share of a processor at 1,000 events a second, above that at rest
    relist     a list that a watch's 410 forces: processor seconds, and the most memory meanwhile (VmHWM)

Seconds are those of this machine at that moment: compare ratios of one run only.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent.parent / "src")]

from bench._rows import Row, aligned, keep, number  # noqa: E402  # the line above makes ours importable
from bench._scale_real import real_api  # noqa: E402
from bench._scale_world import SESSIONS, Api, Responder, World, scripted_api  # noqa: E402

SIZES, QUICK = (1000, 10_000, 50_000, 100_000), (1000, 50_000)
RATE = 1000
COLUMNS = {
    "ready_s": "ready s",
    "ready_cpu_s": "CPU s",
    "list_s": "list s",
    "start_turn_ms": "turn ms",
    "rss_mib": "MiB",
    "watch_percent": "watch %",
    "watch_turn_ms": "turn ms",
    "relist_cpu_s": "relist CPU s",
    "relist_turn_ms": "turn ms",
    "peak_mib": "peak MiB",
}
Found = dict[str, float]
Table = dict[tuple[int, bool], Found]


def measure(world: World, api: Api, *, controlled: bool, starts: int, seconds: float) -> Found:
    """Return the numbers of one size; of the start the least of so many, since all else that runs here only adds."""
    every: list[Found] = []
    for _ in range(starts - 1):
        with world.responder(api.variables, controlled=controlled) as responder:
            every.append(start(responder))
    with world.responder(api.variables, controlled=controlled) as responder, contextlib.ExitStack() as clients:
        every.append(start(responder))
        found = {name: min(one[name] for one in every) for name in every[0]}
        if not api.tells:
            return found
        for one in range(SESSIONS if controlled else 0):
            # None of those whose annotations change: theirs would end.
            clients.enter_context(world.log_in(api.token(10 * one + 2)))
        return found | watch(responder, api, seconds) | relist(responder, api)


def start(responder: Responder) -> Found:
    """Return what it took to be ready."""
    ready = {"ready_s": responder.wait_ready(), "ready_cpu_s": responder.cpu()}
    responder.wait_lists(1)
    # What follows at once belongs to the start, too.
    time.sleep(0.5)
    turn = 1e3 * responder.longest_turn(responder.began)
    return ready | {"list_s": responder.lists()[0], "start_turn_ms": turn, "rss_mib": responder.mib("VmRSS")}


def watch(responder: Responder, api: Api, seconds: float) -> Found:
    """Return what so many seconds of events take."""
    rest = _share(responder, seconds / 2)
    api.tell(f"rate {RATE}")
    time.sleep(0.5)
    began = time.monotonic()
    busy = _share(responder, seconds)
    api.tell("rate 0")
    return {"watch_percent": busy - rest, "watch_turn_ms": 1e3 * responder.longest_turn(began)}


def _share(responder: Responder, seconds: float) -> float:
    began, cpu = time.monotonic(), responder.cpu()
    time.sleep(seconds)
    return 100 * (responder.cpu() - cpu) / (time.monotonic() - began)


def relist(responder: Responder, api: Api) -> Found:
    """Return what a whole list takes while it is ready."""
    responder.forget_peak()
    listed, began, cpu = len(responder.lists()), time.monotonic(), responder.cpu()
    api.tell("expire")
    responder.wait_lists(listed + 1)
    took = responder.cpu() - cpu
    turn = 1e3 * responder.longest_turn(began)
    return {"relist_cpu_s": took, "relist_turn_ms": turn, "peak_mib": responder.mib("VmHWM")}


def run(sizes: Sequence[int], starts: int, seconds: float, *, real: bool) -> Table:
    """Measure every size, plain and controlled."""
    table: Table = {}
    for count in sizes:
        with tempfile.TemporaryDirectory(prefix="bench-scale-") as scratch:
            folder = Path(scratch)
            world = World(folder)
            with world.server, (real_api if real else scripted_api)(count, folder) as api:
                for controlled in (False, True):
                    table[count, controlled] = measure(
                        world, api, controlled=controlled, starts=starts, seconds=seconds
                    )
    return table


def compare(table: Table) -> list[Row]:
    """Return what the table comes to: the largest aim, control beside plain, one size beside another."""
    sizes = sorted({count for count, _ in table})
    least, most = sizes[0], 50_000 if 50_000 in sizes else sizes[-1]
    plain, control, small = table[most, False], table[most, True], table[least, False]
    many = f"{most:,} ServiceAccounts"
    aimed = most == 50_000
    rows = [
        Row(f"start to ready, {many}", plain["ready_s"], "s", aim=2.5 if aimed else None),
        Row("the same with control", control["ready_s"], "s", plain["ready_s"], "without"),
        Row(f"memory when ready, {many}", plain["rss_mib"], "MiB"),
        Row("the same with control", control["rss_mib"], "MiB", plain["rss_mib"], "without"),
        Row(f"longest turn of the loop at the start, {many}", plain["start_turn_ms"], "ms"),
    ]
    if "peak_mib" in plain:
        rows += [
            Row(f"longest turn at a relist, {many}", plain["relist_turn_ms"], "ms"),
            Row(f"peak of a relist, {many}", plain["peak_mib"], "MiB", plain["rss_mib"], "before"),
            Row(f"watch at {RATE:,} events a second", plain["watch_percent"], "% of a CPU"),
            Row("the same with control", control["watch_percent"], "% of a CPU", plain["watch_percent"], "without"),
        ]
    if most > least:
        for name, what, unit, times in (
            ("rss_mib", "memory", "KiB", 1024),
            ("ready_cpu_s", "first list", "CPU ms", 1000),
            ("relist_cpu_s", "relist", "CPU ms", 1000),
        ):
            if name in plain:
                each = (plain[name] - small[name]) * times * 1000 / (most - least)
                rows.append(Row(f"1,000 ServiceAccounts more, {what}", each, unit))
    return rows


def shown(table: Table) -> str:
    """Return the table for a terminal."""
    lines = [
        (f"{count:,}", "control" if controlled else "plain", *(number(found[name]) if name in found else "" for name in COLUMNS))
        for (count, controlled), found in table.items()
    ]  # fmt: skip
    return aligned(lines, ("ServiceAccounts", "", *COLUMNS.values()))


def plainly(table: Mapping[tuple[int, bool], Found]) -> list[Mapping[str, object]]:
    """Return the table as it is kept."""
    return [
        {"serviceaccounts": count, "control": controlled, **{name: round(value, 4) for name, value in found.items()}}
        for (count, controlled), found in table.items()
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,000 and 50,000: less than a minute")
    parser.add_argument("--sizes", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--starts", type=int, help="of each size, of which the least counts (3, or 2 with --quick)")
    parser.add_argument("--real", type=int, metavar="N", help="so many ServiceAccounts in a real kube-apiserver")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sizes = [given.real] if given.real else given.sizes or (QUICK if given.quick else SIZES)
    starts = given.starts or (2 if given.quick else 3)
    table = run(sizes, starts, 2.0 if given.quick else 4.0, real=bool(given.real))
    rows = compare(table)
    print(shown(table), aligned([row.cells() for row in rows]), sep="\n\n")
    keep(given.json, rows, {"server": "kube-apiserver" if given.real else "scripted"}, table=plainly(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
