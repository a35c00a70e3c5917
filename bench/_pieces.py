"""Folds a py-spy recording of the responder into pieces: where a login's CPU time goes.

    py-spy record --nonblocking -r 300 -f raw -o FILE -p PID …     while a storm runs against that process
    python bench/_pieces.py FILE MICROSECONDS bench/results/profile.json

MICROSECONDS is the CPU time of one login, as bench/storm.py tells for the same storm. A sample belongs to the first
piece, from the innermost frame outwards, that knows one of its functions.
"""

import json
import sys
from collections import Counter
from pathlib import Path

PIECES = (
    ("Ed25519: verify the request", ("crypto_sign_open",)),
    ("Ed25519: two signatures", ("crypto_sign ", "SigningKey.sign (nacl")),
    ("RS256: verify the token", ("AlgModel.verify (joserfc", "ESAlgorithm.verify")),
    (
        "read the token, check its claims",
        ("core/identity/tokens.py", "core/identity/issuers.py", "core/identity/keyset.py"),
    ),
    ("log line, metrics", ("adapters/telemetry", "app/outcomes.py")),
    ("NATS client", ("nats/aio", "nats/protocol", "adapters/nats")),
    ("read the request", ("core/nats/callout.py:open_request", "open_request (")),
    ("write the answer", ("encode (nats_k8s_oidc_callout/core/nats/callout", "responder/signing.py")),
    ("decide: ServiceAccount, permissions, expiry", ("core/decide.py",)),
    ("queue and turns", ("responder/",)),
)


def piece(stack: list[str]) -> str:
    for frame in reversed(stack):
        for name, marks in PIECES:
            if any(mark in frame for mark in marks):
                return name
    return "event loop, all else"


def main(recording: Path, microseconds: float, kept: Path) -> None:
    samples: Counter[str] = Counter()
    for row in recording.read_text().splitlines():
        stack, _, count = row.rpartition(" ")
        frames = stack.split(";")
        # Threads of the pool that wait for work, and the loop's own wait, are no work.
        if "_worker (concurrent" in frames[-1] or "select (" in frames[-1]:
            continue
        samples[piece(frames)] += int(count)
    total = sum(samples.values())
    order = [*(name for name, _ in PIECES), "event loop, all else"]
    found = [
        {"piece": name, "share": round(samples[name] / total, 4), "us": round(samples[name] / total * microseconds, 1)}
        for name in order
    ]
    kept.write_text(json.dumps({"samples": total, "us": microseconds, "pieces": found}, indent=1) + "\n")
    for row in found:
        print(f"{row['us']:7.1f} µs {100 * float(row['share']):5.1f} %  {row['piece']}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
