"""Everybody comes back at once: measured small, simulated large. docs/SCALING.md has what it means.

    python bench/reconnect.py --json bench/results/reconnect.json     measures, checks the simulation, predicts
    python bench/reconnect.py --simulate-only                         from the numbers that were kept

Real clients, all at the same moment, log in through a real nats-server to the real responder, all on this machine, each
with a token that was never seen. The simulation is given what a login costs whom, alone and with 300 at once, and
the server's profile by phase; it then has to tell the moments at which 200, 500 and 1,000 clients are in. If it can, it
is asked about machines that we don't have. One seed, one answer.
"""

import argparse
import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _reconnect_measure import Run, first_class, medians, shape, summary

from bench._reconnect_predict import CASES, COMPARED, compare, fit, sweep, table
from bench._rows import Row, keep  # _reconnect_measure makes it importable

RESULTS = Path(__file__).resolve().parent / "results" / "reconnect.json"
# So many at once tell what a login costs in a crowd; none of the sizes that are predicted.
SMALL = 300
_SMALL_STORMS, _ALONE_LOGINS, _STEADY_LOGINS = 2, 40, 400


def measure(rounds: int, sizes: Sequence[int]) -> dict[str, Any]:
    """Run the storms of all rounds; return medians and distributions."""
    plan = [SMALL] * _SMALL_STORMS + list(sizes)
    tokens = rounds * (sum(plan) + _ALONE_LOGINS + _STEADY_LOGINS)
    alone, steady, again, crowds = [], [], [], []
    with first_class() as is_first, Run(tokens) as run, run.profiled() as shares:
        for number in range(rounds):
            alone.append(run.storm(1, _ALONE_LOGINS))
            turn = number % len(plan)
            for size in plan[turn:] + plan[:turn]:
                crowds.append(run.storm(size, size))
                told = summary(crowds[-1])
                print(
                    f"round {number}  {size:>5} at once  half in after {told['p50_ms']:5.0f} ms, the last {told['last_ms']:5.0f}"
                    f"  server {told['server_us']:4.0f} µs  responder {told['responder_us']:4.0f} µs  lost {told['lost']}",
                    flush=True,
                )
            steady.append(run.storm(64, _STEADY_LOGINS))
            again.append(run.storm(64, _STEADY_LOGINS, again=True))
    small = [row for row in crowds if row["clients"] == SMALL]
    # Of the others' share no storm is taken that is predicted.
    seen = [*small, *steady, *again]
    return {
        "nats_server": run.server_version,
        "rounds": rounds,
        "cpus": os.cpu_count(),
        "first_class": is_first,
        "others": round(sum(r["others_s"] for r in seen) / sum(r["seconds"] for r in seen), 3),
        "alone": medians([summary(row) for row in alone]),
        "small": medians([summary(row) for row in small]),
        "steady_new": medians([summary(row) for row in steady]),
        "steady_again": medians([summary(row) for row in again]),
        "shares": {phase: round(part, 4) for phase, part in shares.items()},
        "responder_shape": shape([ms for row in alone for ms in row["answered"]]),
        "server_shape": shape(
            [whole - ms for row in alone for whole, ms in zip(row["took"], row["answered"], strict=True)]
        ),
        "sizes": [medians([summary(row) for row in crowds if row["clients"] == size]) for size in sizes],
    }


def rows_of(compared: Sequence[dict[str, Any]], measured: dict[str, Any], cases: Sequence[dict[str, Any]]) -> list[Row]:
    """Return the rows for the table of all benchmarks."""
    rows = []
    for real in measured["sizes"]:
        same = [row for row in compared if row["clients"] == real["clients"] and row["number"] in COMPARED]
        # Too much and too little are both wrong: the number that is missed most, as a ratio of at least 1.
        worst = max(same, key=lambda row: max(row["ratio"], 1 / row["ratio"]))
        apart = round(max(worst["ratio"], 1 / worst["ratio"]), 3)
        what = f"{real['clients']:,} real clients at once, {worst['what']}"
        rows.append(Row(what, worst["measured"], "ms", worst["predicted"], "simulated", apart, 1.15))
    design = cases[0]
    return [
        *rows,
        Row("5,000 clients at once, 2 replicas of one core: too late (simulated)", design["late"], "logins", aim=0),
    ]


def main() -> None:
    """Measure if that is asked for; compare, predict and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sizes", default="200,500,1000", help="how many come at once, in the real runs")
    parser.add_argument("--simulate-only", action="store_true", help=f"with what is kept in {RESULTS.name}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every number here")
    options = parser.parse_args()
    if options.simulate_only:
        measured = json.loads(RESULTS.read_text(encoding="utf-8"))["measured"]
    else:
        measured = measure(options.rounds, [int(size) for size in options.sizes.split(",")])
    costs = fit(measured)
    compared = compare(measured, costs)
    print("\nthe simulation against the real run")
    print(table([tuple(compared[0]), *(tuple(row.values()) for row in compared)]))
    apart = statistics.fmean(abs(row["ratio"] - 1) for row in compared if row["number"] in COMPARED)
    print(f"on the average {100 * apart:.0f} % apart (the first three numbers of each size)\n\nsimulated")
    cases = [case.run(costs) for case in CASES]
    print(table([tuple(cases[0]), *(tuple(row.values()) for row in cases)]))
    about = {name: measured[name] for name in ("nats_server", "rounds", "first_class")}
    fitted = {name: round(1e6 * getattr(value, "mean", value), 1) for name, value in vars(costs).items()}
    keep(
        options.json,
        rows_of(compared, measured, cases),
        about,
        measured=measured,
        costs_us=fitted,
        compared=compared,
        simulated=cases,
        sweep=list(sweep(costs)),
    )


if __name__ == "__main__":
    main()
