"""What logins notice of a policy file of 1,000 rules that is read again: how late answers are, with and without.

Run with `python bench/reload.py [SECONDS] [--json FILE]`. The responder is the real one without its sockets; a login comes every 5 ms,
each from another workload's rule. Compare the two lines of one run only. `busy` is the processor time of this process from
one answer to the next, at most: what the longest would be on a machine that nothing else uses.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prometheus_client import CollectorRegistry

from bench._rows import Row, keep
from nats_k8s_oidc_callout.adapters.telemetry import Metrics, PolicyMetrics
from nats_k8s_oidc_callout.app.namespaces import NamespaceLabels
from nats_k8s_oidc_callout.app.policyfile import SETTLE_SECONDS, LivePolicy
from nats_k8s_oidc_callout.core.model import Allow
from nats_k8s_oidc_callout.settings import Settings, read_policy
from tests.fakes.issuer import AUDIENCE, ISSUER
from tests.test_responder import KUBERNETES, World

RULES = 1000
EVERY_SECONDS = 0.005
_RULE = """\
  - name: team-{number}
    match: {{namespaces: ["team-{number}-*", "shop-{number}"], service_accounts: ["web-*", "api"]}}
    account: APP
    root: "team.{{namespace}}"
    publish: ["events.{number}.>", "audit.{{namespace}}.{{name}}"]
    subscribe: ["events.>"]
    jetstream: ["consume:ORDERS/{{namespace}}"]
    annotations: {{publish: ["team.>", "shared.>"], subscribe: ["team.>", "shared.>"]}}
"""


def policy(version: int) -> str:
    rules = "".join(_RULE.format(number=number) for number in range(RULES - 1))
    return f"version: 1\nrules:\n{rules}  - {{name: all-{version}, match: {{}}}}\n"


async def logins(world: World, seconds: float) -> tuple[list[float], float]:
    """Return how long each answer took, from when it was due, and the most of a processor from one to the next."""
    late = []
    busy = 0.0
    question = world.server.ask(KUBERNETES.token())
    due = time.monotonic() + EVERY_SECONDS
    ends = due + seconds
    while due < ends:
        began = time.process_time()
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        world.responder.receive(question, "_R", "")
        await world.responder.drain()
        late.append(time.monotonic() - due)
        busy = max(busy, time.process_time() - began)
        due = max(due + EVERY_SECONDS, time.monotonic())
    assert all(isinstance(verdict, Allow) for verdict, _ in world.verdicts)
    world.verdicts.clear()
    world.sent.clear()
    return sorted(late), busy


def tell(what: str, late: list[float], busy: float) -> tuple[float, ...]:
    """Print and return the median, the 99th percentile, the longest and the busiest, in milliseconds."""
    shown = tuple(1000 * value for value in (late[len(late) // 2], late[len(late) * 99 // 100], late[-1], busy))
    print(f"{what:<20}" + "".join(f"{value:>10.1f}" for value in shown))
    return shown


async def measure(seconds: float) -> list[Row]:
    """Let logins come for so long at rest, and for so long while the file is read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.yaml"
        path.write_text(policy(0))
        settings = Settings(nats_account="APP", jwt_issuer=(ISSUER,), jwt_audience=AUDIENCE, policy_file=path)
        labels = NamespaceLabels(settings, None, (), Metrics(CollectorRegistry(), ""))
        world = World()
        began = time.monotonic()
        settings = replace(settings, policy=read_policy(path.read_bytes(), settings))
        print(f"{len(policy(0)):,} bytes, {RULES} rules: {time.monotonic() - began:.2f} s to read")
        live = LivePolicy(settings, world.facts, labels, PolicyMetrics())
        texts = policy(0), policy(1)
        stop = asyncio.Event()
        reloads = 0

        async def reload() -> None:
            nonlocal reloads
            while not stop.is_set():
                reloads += 1
                await asyncio.to_thread(path.write_text, texts[reloads % 2])
                await live.poll()

        print(f"{'ms':<20}{'median':>10}{'99 %':>10}{'longest':>10}{'busy':>10}")
        # As `serve` does.
        gc.freeze()
        async with world.running():
            quiet = tell("at rest", *await logins(world, seconds))
            task = asyncio.create_task(reload())
            busy = tell("while it is read", *await logins(world, seconds))
            stop.set()
            await task
        print(f"{reloads} times, {seconds / reloads:.2f} s each with {SETTLE_SECONDS:g} s to settle")
    what = f"answers while a policy of {RULES:,} rules is read"
    names = ("the middle one", "one in a hundred", "the latest")
    return [
        Row(f"{what}: {name}", round(late, 1), "ms", round(rest, 1), "at rest")
        for name, late, rest in zip(names, busy, quiet, strict=False)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", type=float, nargs="?", default=10.0, help="at rest, and again while it is read")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    keep(options.json, asyncio.run(measure(options.seconds)), {"seconds": options.seconds})


if __name__ == "__main__":
    main()
