"""Ways to break a rule on purpose: another metric, a flipped comparison, a moved bound, no `for`."""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import yaml

from tests.monitoring.shipped import groups, selectors

_COMPARISONS = re.compile(r" (>=|<=|==|>|<) (?!= )")
_FLIPPED = {">": "<", "<": ">", ">=": "<", "<=": ">", "==": "!="}
# A group's tests; quiet.yaml has what must not fire.
_UNIT_TESTS = {
    "self-test": ("self_test", "quiet"),
    "availability": ("availability", "scoped", "quiet"),
    "logins": ("logins", "quiet"),
    "sources": ("sources", "quiet"),
    "policy": ("policy", "quiet"),
    "sessions": ("sessions", "quiet"),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """The rules with one thing wrong."""

    name: str
    group: int
    rule: int
    change: Mapping[str, str]

    @property
    def rules(self) -> str:
        """The group that it is in, broken: the others have nothing to do with it."""
        broken = copy.deepcopy(groups()[self.group])
        broken["rules"][self.rule].update(self.change)
        return yaml.dump({"groups": [broken]}, Dumper=yaml.CSafeDumper)

    @property
    def broken(self) -> str:
        """The name of the rule with the fault."""
        rule = groups()[self.group]["rules"][self.rule]
        return str(rule.get("alert") or rule.get("record"))

    @property
    def unit_tests(self) -> tuple[str, ...]:
        return _UNIT_TESTS[groups()[self.group]["name"].rpartition(".")[2]]


def _changed(group: int, rule: int, what: str, change: Mapping[str, str]) -> Mutant:
    mutant = Mutant(what, group, rule, change)
    return replace(mutant, name=f"{mutant.broken}: {what}")


def every() -> Iterator[Mutant]:
    """Yield each metric misspelt, each comparison flipped, each `for` taken away."""
    for number, group in enumerate(groups()):
        for place, rule in enumerate(group["rules"]):
            expr = rule["expr"]
            for count, (metric, _) in enumerate(selectors(expr)):
                found = [match.start() for match in re.finditer(rf"(?<![\w:]){re.escape(metric)}\{{", expr)]
                at = found[sum(name == metric for name, _ in selectors(expr)[:count])]
                wrong = f"{expr[:at]}wrong_{expr[at:]}"
                yield _changed(number, place, f"wrong_{metric} ({count})", {"expr": wrong})
            for comparison in _COMPARISONS.finditer(expr):
                flipped = expr[: comparison.start(1)] + _FLIPPED[comparison[1]] + expr[comparison.end(1) :]
                yield _changed(number, place, f"{comparison[1]} flipped at {comparison.start()}", {"expr": flipped})
            if "for" in rule:
                yield _changed(number, place, "no for", {"for": "0s"})


def moved() -> Iterator[Mutant]:
    """Yield the bounds that the guide asks for, and the longest, a little too far to either side."""
    for alert, right, wrongs in (
        ("NatsAuthCalloutHighFailureRate", "> 0.05", ("> 0.03", "> 0.11")),
        ("NatsAuthCalloutLowCacheHitRate", "< 0.9", ("< 0.95", "< 0.75")),
        ("NatsAuthCalloutSlowAnswers", "> 0.75", ("> 0.6", "> 1.3")),
        ("NatsAuthCalloutCredentialExpiringSoon", "< 14 * 86400", ("< 15 * 86400", "< 13 * 86400")),
        ("NatsAuthCalloutCredentialExpired", "< 86400", ("< 88000", "< 80000")),
        ("NatsAuthCalloutKeySetStale", "> 12 * 3600", ("> 11 * 3600", "> 13 * 3600")),
        ("NatsAuthCalloutWatchSilent", "> 300", ("> 180", "> 600")),
    ):
        number, place = next(
            (number, place)
            for number, group in enumerate(groups())
            for place, rule in enumerate(group["rules"])
            if rule.get("alert") == alert
        )
        expr = groups()[number]["rules"][place]["expr"]
        assert right in expr, f"{alert} has no {right!r}"
        for wrong in wrongs:
            yield _changed(number, place, wrong, {"expr": expr.replace(right, wrong, 1)})
