"""What a policy file of 1,000 rules costs a login: cold, when the grant must be made, and warm, when it is kept.

    python bench/policy.py [--rounds N] [--batch N] [--json FILE]

50,000 ServiceAccounts in 5,000 namespaces. Cold is `decide` with a new token and no grant kept, and of that the policy's
own part: finding the rule and its terms, and making the grant. Warm is a login, bytes in to bytes out as in decide.py, with
a token seen before and the grant kept. Each kind of policy takes its turn in every round, beside none at all; medians of
the rounds, CPU time of this process. Compare ratios of one run only. What logins notice while a file is read again:
reload.py.
"""

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent.parent / "src")]

from bench._rows import Row, keep  # noqa: E402  # the line above makes ours importable
from nats_k8s_oidc_callout.core.decide import Facts, decide  # noqa: E402
from nats_k8s_oidc_callout.core.grants.globs import Glob  # noqa: E402
from nats_k8s_oidc_callout.core.grants.grants import Grants  # noqa: E402
from nats_k8s_oidc_callout.core.grants.policy import Policy  # noqa: E402
from nats_k8s_oidc_callout.core.grants.rules import CeilingTemplates, Given, Match, Rule  # noqa: E402
from nats_k8s_oidc_callout.core.grants.templates import Template  # noqa: E402
from nats_k8s_oidc_callout.core.identity import keyset  # noqa: E402
from nats_k8s_oidc_callout.core.identity.keyset import KeySet  # noqa: E402
from nats_k8s_oidc_callout.core.identity.verified import VerifiedTokens  # noqa: E402
from nats_k8s_oidc_callout.core.model import Allow, Request  # noqa: E402
from nats_k8s_oidc_callout.core.nats import callout  # noqa: E402
from nats_k8s_oidc_callout.core.nats.signers import config_mode  # noqa: E402
from tests.fakes.issuer import UID, Issuer  # noqa: E402
from tests.fakes.rules import CLAIMS, PREFIX, RULE  # noqa: E402
from tests.fakes.server import ISSUER as SIGNER  # noqa: E402
from tests.fakes.server import NOW, Server  # noqa: E402
from tests.fakes.serviceaccounts import item, listed  # noqa: E402

SIGNERS = config_mode("APP", [SIGNER])
RULES, NAMESPACES, ACCOUNTS_EACH = 1000, 5000, 10
AIM = 1.03
"""The most that a warm login may cost, in logins without a policy."""


def namespace_of(number: int) -> str:
    """Return a name as five teams' parts in a thousand places have it."""
    return f"team-{number % RULES}-part-{number // RULES}"


LABELS = {namespace_of(number): {"example.com/team": f"team-{number % RULES}"} for number in range(NAMESPACES)}


def _mixed(number: int) -> Match:
    """A quarter each: literal namespaces, a glob, a capture, names beside a glob."""
    team = f"team-{number}"
    if number % 4 == 0:
        return Match(tuple(Glob.of(f"{team}-part-{part}") for part in range(5)))
    if number % 4 == 1:
        return Match((Glob.of(f"{team}-*"),))
    if number % 4 == 2:
        return Match((Glob.of(f"{team}-{{part}}"),))
    return Match((Glob.of(f"{team}-*"),), (Glob.of("app-*"), Glob.of("default")))


def _ends(number: int) -> Match:
    return Match((Glob.of(f"*-{number}-part-*"),))


def _labels(number: int) -> Match:
    return Match(labels=(("example.com/team", (Glob.of(f"team-{number}"),)),))


def _stages(number: int) -> Match:
    """Namespaces of one prefix, told apart by a label."""
    return Match((Glob.of("team-*"),), labels=(("example.com/team", (Glob.of(f"team-{number}"),)),))


POLICIES: dict[str, Callable[[int], Match]] = {
    "names and globs": _mixed,
    "a label each": _labels,
    "a label each, one glob for all": _stages,
    "globs that begin with *": _ends,
}


def policy_of(match: Callable[[int], Match], rules: int = RULES, digest: str = "0" * 64) -> Policy:
    """Return a policy of so many rules, each of which gives, denies and limits something."""

    def texts(*found: str) -> tuple[Template, ...]:
        return tuple(Template.of(text) for text in found)

    def given(*found: str) -> tuple[Given, ...]:
        return tuple(Given(template, "rule") for template in texts(*found))

    every: list[Rule] = [
        replace(
            RULE,
            name=f"team-{number}",
            match=match(number),
            account=Template.of("APP"),
            root=Template.of("team.{namespace}"),
            publish=given(f"events.{number}.>", "audit.{namespace}.{name}"),
            subscribe=given("events.>"),
            jetstream=given("consume:ORDERS/{namespace}"),
            deny_publish=texts("team.{namespace}.frozen.>"),
            ceilings=CeilingTemplates(texts("team.>", "shared.*.>"), texts("team.>", "shared.>"), texts("consume:*")),
        )
        for number in range(rules)
    ]
    return Policy(every, digest=digest)


@dataclass
class Kind:
    """One policy, and what it took in each round: microseconds each."""

    name: str
    policy: Policy
    facts: Facts
    cold: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    """Of a cold decision, the policy's part."""
    warm: list[float] = field(default_factory=list)


def timed(work: Callable[[], None], count: int) -> float:
    """Return CPU microseconds for each of `count`."""
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) / 1000 / count


def measure(rounds: int, batch: int) -> list[Kind]:
    """Return every kind with its times; `batch` workloads log in, spread over all rules."""
    issuer, server = Issuer(), Server()
    keys = KeySet()
    keys.replace(keyset.parse_jwks(issuer.jwks()).keys, 0.0)
    annotations = {
        f"{PREFIX}allowed-pub-subjects": "team.a,shared.x.y,other.z",
        f"{PREFIX}allowed-sub-subjects": "shared.>",
    }
    accounts = listed(
        *(
            item(namespace_of(place), f"app-{number}", UID, annotations=annotations)
            for place in range(NAMESPACES)
            for number in range(ACCOUNTS_EACH)
        )
    )
    places = [namespace_of(number * NAMESPACES // batch + number % RULES % 7) for number in range(batch)]
    questions = [
        server.ask(issuer.token(namespace=place, name="app-3", claims={"jti": f"jti-{place}"})) for place in places
    ]
    requests = [_opened(question) for question in questions]

    def facts(policy: Policy) -> Facts:
        return Facts(CLAIMS, (), keys, accounts, Grants(policy, PREFIX), labels=LABELS.get)

    # The same grant, as if the settings gave it: without a file there is one rule.
    policies = {"none": policy_of(lambda _: Match(), 1, "")} | {name: policy_of(m) for name, m in POLICIES.items()}
    kinds = [Kind(name, policy, facts(policy)) for name, policy in policies.items()]
    gc.collect()
    # As `serve` does once everything is loaded; the collector itself stays on.
    gc.freeze()
    for number in range(rounds + 1):
        for kind in kinds:
            kind.facts.verified = VerifiedTokens()
            kind.facts.grants = Grants(kind.policy, PREFIX)
            cold = timed(lambda: _decide_all(requests, kind.facts), batch)  # noqa: B023  # called at once
            warm = timed(lambda: _answer_all(questions, kind.facts), batch)  # noqa: B023
            grants = Grants(kind.policy, PREFIX)
            own = timed(lambda: _grant_all(places, grants, annotations), batch)  # noqa: B023
            # The first round fills caches of Python's own.
            if number:
                kind.cold.append(cold)
                kind.warm.append(warm)
                kind.own.append(own)
    return kinds


def _opened(question: bytes) -> Request:
    return callout.open_request(question, "", SIGNERS.answers, (), clear_allowed=True)[0]


def _allowed(request: Request, facts: Facts) -> Allow:
    verdict = decide(request, facts, NOW, 0.0)
    assert isinstance(verdict, Allow), verdict
    return verdict


def _decide_all(requests: Sequence[Request], facts: Facts) -> None:
    for request in requests:
        _allowed(request, facts)


def _answer_all(questions: Sequence[bytes], facts: Facts) -> None:
    for question in questions:
        request = _opened(question)
        callout.encode(request, _allowed(request, facts), SIGNERS, None, NOW, os.urandom)


def _grant_all(places: Sequence[str], grants: Grants, annotations: dict[str, str]) -> None:
    for place in places:
        grants.of(place, "app-3", annotations, LABELS[place])


def worst(policies: Sequence[dict[str, Any]]) -> list[Row]:
    """Return the dearest kind of policy, warm and cold."""
    none, *others = policies
    warm = max(others, key=lambda one: float(one["warm_ratio"]))
    cold = max(others, key=lambda one: float(one["cold_us"]))
    rules, without = f"a policy of {RULES:,} rules", "without a file"
    return [
        Row(f"a warm login with {rules}: {warm['policy']}", warm["warm_us"], "µs", none["warm_us"], without,
            warm["warm_ratio"], AIM),
        Row(f"the first decision of a workload with {rules}: {cold['policy']}", cold["cold_us"], "µs",
            none["cold_us"], without),
    ]  # fmt: skip


def main() -> None:
    """Print one line a kind of policy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--batch", type=int, default=200, help="logins of one kind in a round")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    kinds = measure(options.rounds, options.batch)
    without = kinds[0]
    rows: list[dict[str, Any]] = [
        {
            "policy": kind.name,
            "cold_us": round(statistics.median(kind.cold), 1),
            "own_us": round(statistics.median(kind.own), 1),
            "warm_us": round(statistics.median(kind.warm), 2),
            "warm_ratio": round(statistics.median(w / o for w, o in zip(kind.warm, without.warm, strict=True)), 3),
        }
        for kind in kinds
    ]
    print("| rules | cold µs | of it the policy µs | warm µs | warm, to none |\n|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['policy']} | {row['cold_us']:.0f} | {row['own_us']:.0f} | {row['warm_us']:.1f} |"
            f" {row['warm_ratio']:.2f} |"
        )
    keep(options.json, worst(rows), {"rounds": options.rounds, "batch": options.batch}, policies=rows)


if __name__ == "__main__":
    main()
