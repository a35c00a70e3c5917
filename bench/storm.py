"""Real clients log in through a real nats-server, and we look at what the responder spends on each.

    python bench/storm.py                                  a short look, half a minute
    python bench/storm.py --rounds 5 --parallel 1,16,64,256 --scale 0.4 --gogc 800 --json bench/results/storm.json
    python bench/storm.py --against 'mine=/path/to/responder --flag'      any command that takes our variables

Each responder runs as a process of its own with every check, log line and metric on, beside a nats-server of its own
(config mode, no xkey, 200 ServiceAccounts). A storm is cut into slices in which they take turns, so that what else the
machine does meets all of them; CPU time is the kernel's. Compare ratios of one run only.

`new`: every login brings a token that this responder has never seen. `again`: 200 tokens, each seen before.
"""

import argparse
import contextlib
import itertools
import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from _storm_world import ACCOUNTS, Contender, Pool, cpu_nanoseconds, go_program, nats_server, resident_mib

from bench._rows import Row as Found  # the line above makes it importable
from bench._rows import keep

LOGINS = {1: 400, 16: 1500, 64: 2500, 256: 2500}
TOKENS = {"new": "tokens never seen", "again": "tokens that come again"}
AIMS, AIMED = {"new": 0.75, "again": 0.6}, (64, 256)
_SLICE = 500
# Log lines may be written some time after the answer.
_SETTLE_SECONDS = 0.25

# What was seen of one storm; `Found` is what goes into the table of all benchmarks.
Row = dict[str, Any]


def measure(contender: Contender, generator: Path, pool: Pool, options: dict[str, object]) -> Row:
    """Return one slice's numbers; microseconds are CPU time for each login."""
    allows = contender.allows()
    before = cpu_nanoseconds(contender.pid), cpu_nanoseconds(contender.server.pid)
    seen = contender.storm(generator, pool, options)
    time.sleep(_SETTLE_SECONDS)
    after = cpu_nanoseconds(contender.pid), cpu_nanoseconds(contender.server.pid)
    spent, served = ((new - old) / 1000 / max(1, seen["logins"]) for old, new in zip(before, after, strict=True))
    late = contender.allows() - allows - seen["allowed"]
    lost = seen["refused"] + sum(seen.pop("failed", {}).values())
    return {"responder_us": spent, "server_us": served, "late": late, "lost": lost, **seen}


def whole(slices: Sequence[Row], contender: Contender) -> Row:
    """Return one storm's numbers from those of its slices."""
    row: Row = {name: sum(one[name] for one in slices) for name in ("logins", "allowed", "lost", "late")}
    for name in ("responder_us", "server_us", "per_second", "p50_ms", "p99_ms"):
        row[name] = round(statistics.median(one[name] for one in slices), 2)
    row["longest_ms"] = max(one["longest_ms"] for one in slices)
    row["rss_mib"] = round(resident_mib(contender.pid), 1)
    return row


def plan(kinds: Sequence[str], levels: Sequence[int], rounds: int, scale: float) -> Iterator[list[dict[str, Any]]]:
    """Yield every storm as its slices. The first ACCOUNTS tokens are those that come again."""
    used = ACCOUNTS
    for number, kind, level in itertools.product(range(rounds), kinds, levels):
        logins = max(level, int(LOGINS.get(level, 2500) * scale))
        count = max(1, round(logins / max(_SLICE, 4 * level)))
        about = {"round": number, "tokens": kind, "parallel": level}
        slices = []
        for _ in range(count):
            options: dict[str, object] = {"parallel": level, "logins": logins // count}
            options["skip" if kind == "new" else "cycle"] = used if kind == "new" else ACCOUNTS
            used += logins // count if kind == "new" else 0
            slices.append({"about": about, "options": options, "used": used})
        yield slices


def run(options: argparse.Namespace) -> list[Row]:
    """Run all rounds, and return one row for each storm of each responder."""
    levels = [int(level) for level in options.parallel.split(",")]
    storms = list(plan(options.tokens.split(","), levels, options.rounds, options.scale))
    pool = Pool.of(storms[-1][-1]["used"], options.alg)
    generator = go_program("storm")
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        worlds = [
            stack.enter_context(Contender(name, command, env, pool)) for name, command, env in contenders(options)
        ]
        for world in worlds:
            world.warm_up(generator, pool)
        turn = 0
        for slices in storms:
            seen: dict[str, list[Row]] = {world.name: [] for world in worlds}
            for one in slices:
                # Who goes first changes, so that nobody always meets the same machine.
                turn = (turn + 1) % len(worlds)
                for world in worlds[turn:] + worlds[:turn]:
                    seen[world.name].append(measure(world, generator, pool, one["options"]))
            for world in worlds:
                rows.append({**slices[0]["about"], "responder": world.name, **whole(seen[world.name], world)})
                print(line(rows[-1]), flush=True)
    return rows


def contenders(options: argparse.Namespace) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Yield name, command and extra variables of everybody who takes part; ours is the first."""
    yield "ours", [sys.executable, "-m", "nats_k8s_oidc_callout"], {}
    if not options.alone:
        opponent = str(go_program("opponent"))
        yield "Go", [opponent], {}
        if options.gogc:
            yield f"Go, GOGC={options.gogc}", [opponent], {"GOGC": str(options.gogc)}
    for extra in options.against:
        name, _, command = extra.partition("=")
        yield name, shlex.split(command), {}


def line(row: Row) -> str:
    return (
        f"round {row['round']}  {row['tokens']:<5} {row['parallel']:>3} parallel  {row['responder']:<13}"
        f"{row['responder_us']:7.0f} µs  server {row['server_us']:5.0f} µs  {row['per_second']:6.0f}/s"
        f"  p50 {row['p50_ms']:6.1f}  p99 {row['p99_ms']:6.1f} ms  late {row['late']}"
        f"  lost {row['lost']}  {row['rss_mib']:.0f} MiB"
    )


def medians(rows: Sequence[Row]) -> list[Row]:
    """Return the median of each number over the rounds, and the CPU time as a share of the first opponent's."""
    found = []
    cases = dict.fromkeys((row["tokens"], row["parallel"], row["responder"]) for row in rows)
    for tokens, parallel, name in cases:
        same = [r for r in rows if (r["tokens"], r["parallel"], r["responder"]) == (tokens, parallel, name)]
        row: Row = {"tokens": tokens, "parallel": parallel, "responder": name, "rounds": len(same)}
        for key in ("responder_us", "server_us", "per_second", "p50_ms", "p99_ms", "rss_mib"):
            row[key] = round(statistics.median(r[key] for r in same), 2)
        row["late"] = sum(r["late"] for r in same)
        row["lost"] = sum(r["lost"] for r in same)
        rivals = {
            r["round"]: r["responder_us"]
            for r in rows
            if (r["tokens"], r["parallel"]) == (tokens, parallel) and r["responder"] == "Go"
        }
        ratios = [r["responder_us"] / rivals[r["round"]] for r in same if r["round"] in rivals]
        row["ratio"] = round(statistics.median(ratios), 3) if ratios else None
        found.append(row)
    return found


def table(rows: Sequence[Row]) -> str:
    """Return the medians as a Markdown table."""
    lines = [
        "| tokens | parallel | responder | CPU µs/login | of the opponent's | server µs/login | logins/s | p50 ms | p99 ms | late | lost | MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in medians(rows):
        ratio = f"{row['ratio']:.2f}" if row["ratio"] else ""
        lines.append(
            f"| {row['tokens']} | {row['parallel']} | {row['responder']} | {row['responder_us']:.0f} | {ratio}"
            f" | {row['server_us']:.0f} | {row['per_second']:.0f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f}"
            f" | {row['late']} | {row['lost']} | {row['rss_mib']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for; print each storm, and the medians at the end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--parallel", default="16,64", help="how many clients at a time: 1,16,64,256")
    parser.add_argument("--tokens", default="new,again", help="new, again or both")
    parser.add_argument("--scale", type=float, default=0.5, help="more or fewer logins in each storm")
    parser.add_argument("--alg", default="RS256", choices=("RS256", "ES256"))
    parser.add_argument("--alone", action="store_true", help="without the opponent in Go")
    parser.add_argument("--gogc", type=int, default=0, help="the opponent once more, with this GOGC")
    parser.add_argument("--against", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every number here")
    options = parser.parse_args()
    rows = run(options)
    print(f"\n{table(rows)}")
    about = {"nats_server": Path(nats_server()).name, "alg": options.alg, "rounds": options.rounds}
    keep(options.json, beside_go(medians(rows)), about, medians=medians(rows), storms=rows)


def beside_go(found: Sequence[Row]) -> list[Found]:
    """Return what a login costs us, beside the opponent."""
    go = {(row["tokens"], row["parallel"]): row["responder_us"] for row in found if row["responder"] == "Go"}
    ours = [row for row in found if row["responder"] == "ours" and row["parallel"] in AIMED]
    return [
        Found(
            f"CPU of the responder for a login, {row['parallel']} at a time, {TOKENS[row['tokens']]}",
            row["responder_us"],
            "µs",
            go.get((row["tokens"], row["parallel"])),
            "the same in Go",
            row["ratio"],
            AIMS[row["tokens"]],
            row["late"] + row["lost"],
        )
        for row in ours
    ]


if __name__ == "__main__":
    main()
