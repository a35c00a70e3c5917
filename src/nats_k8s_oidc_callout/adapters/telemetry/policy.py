"""What is told of the policy file: which one is in force, how its last reload went, how often each rule decided.

Without a file nothing is told, and no rule is counted.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

_SHOWN_DIGITS = 8


class PolicyMetric(StrEnum):
    """What a responder with a policy file exposes beside the rest."""

    INFO = "nats_auth_policy_info"
    RULES = "nats_auth_policy_rules"
    RELOAD_SUCCESS = "nats_auth_policy_reload_success"
    RELOAD_TIMESTAMP = "nats_auth_policy_reload_timestamp_seconds"
    DECISIONS = "nats_auth_rule_decisions_total"


class PolicyMetrics:
    """The numbers of the policy in force. Labels are the file's digest and the names of its rules: the platform's words."""

    def __init__(self) -> None:
        self.shown = ""
        """The first 8 hex digits of the digest, as log lines have them; empty without a file."""
        self._allowed: dict[str, int] = {}
        self._denied: dict[str, int] = {}
        self._digest = ""
        self._reload_success = 1.0
        self._reload_timestamp = 0.0

    def took(self, digest: str, rules: Iterable[str], now: float) -> None:
        """Tell that this file is in force from `now` (Unix seconds). Rules that it still has go on counting."""
        names = tuple(rules)
        self._digest, self.shown = digest, digest[:_SHOWN_DIGITS]
        self._allowed = {name: self._allowed.get(name, 0) for name in names}
        self._denied = {name: self._denied.get(name, 0) for name in names}
        self._reload_timestamp = now
        self.usable()

    def count(self, rule: str, *, allowed: bool) -> None:
        """Count a decision of a rule."""
        counts = self._allowed if allowed else self._denied
        counts[rule] = counts.get(rule, 0) + 1

    def usable(self) -> None:
        """Tell that the file, as it is now, is the one in force."""
        self._reload_success = 1.0

    def rejected(self) -> None:
        """Tell that the file, as it is now, cannot be used: the one before stays in force."""
        self._reload_success = 0.0

    def families(self) -> Iterator[Metric]:
        """Yield what is exposed; nothing without a file."""
        if not self._digest:
            return
        info = GaugeMetricFamily(
            PolicyMetric.INFO, "Always 1; the SHA-256 of the policy file in force.", labels=["sha256"]
        )
        info.add_metric([self._digest], 1)
        yield info
        yield GaugeMetricFamily(PolicyMetric.RULES, "Rules of the policy in force.", len(self._allowed))
        yield GaugeMetricFamily(
            PolicyMetric.RELOAD_SUCCESS,
            "1 while the policy file is the one in force, 0 while it cannot be used and the one before stays.",
            self._reload_success,
        )
        yield GaugeMetricFamily(
            PolicyMetric.RELOAD_TIMESTAMP,
            "When the policy in force was read, in Unix seconds.",
            self._reload_timestamp,
        )
        decisions = CounterMetricFamily(
            PolicyMetric.DECISIONS, "Logins that a rule decided, by how they ended.", labels=["rule", "outcome"]
        )
        for outcome, counts in (("allowed", self._allowed), ("denied", self._denied)):
            for rule, number in counts.items():
                decisions.add_metric([rule, outcome], number)
        yield decisions
