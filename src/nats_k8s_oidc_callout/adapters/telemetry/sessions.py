"""What is told of live sessions: how many there are, which are ended and why, and what keeps them from being ended.

Nothing is told while session control is off.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import StrEnum
from typing import Protocol, TypeVar

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from nats_k8s_oidc_callout.core.sessions.judging import Reason
from nats_k8s_oidc_callout.core.sessions.masses import CAUSES

_T = TypeVar("_T")
_BUCKETS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class SessionMetric(StrEnum):
    """What a responder with session control exposes beside the rest."""

    SESSIONS = "nats_auth_sessions"
    UNLABELLED = "nats_auth_sessions_unlabelled"
    KICKS = "nats_auth_session_kicks_total"
    KICK_SECONDS = "nats_auth_session_kick_seconds"
    PENDING = "nats_auth_sessions_pending"
    SERVERS = "nats_auth_session_servers"
    RECONCILE = "nats_auth_session_reconcile_total"
    CORRECTIONS = "nats_auth_session_reconcile_corrections_total"
    RENEWAL_LOOPS = "nats_auth_session_renewal_loops_total"
    CONTROL_READY = "nats_auth_session_control_ready"
    HELD = "nats_auth_sessions_held"
    MASS = "nats_auth_session_mass"


_HELP = {
    SessionMetric.SESSIONS: "Live sessions of ours, by account; accounts that a template made are `templated`.",
    SessionMetric.UNLABELLED: "Connections in our accounts that carry no label of ours: they end by themselves.",
    SessionMetric.KICKS: "Requests to end a session, by why and by what the server answered.",
    SessionMetric.KICK_SECONDS: "Seconds from what ends a session to its server's word that it has ended.",
    SessionMetric.PENDING: "Sessions that are to end and have not been ended yet, by why.",
    SessionMetric.SERVERS: "Servers that we know, and those of them that did not answer the last list.",
    SessionMetric.RECONCILE: "Whole lists of sessions, by how they went; `incomplete`: some servers were silent.",
    SessionMetric.CORRECTIONS: "Sessions that came or went without a word, as the next list showed.",
    SessionMetric.RENEWAL_LOOPS: "Sessions that are not renewed, since they began when their token had almost ended.",
    SessionMetric.CONTROL_READY: "1 while the servers let us list, hear and end sessions.",
    SessionMetric.HELD: "1 while an operator holds all kicks.",
    SessionMetric.MASS: "1 while a cause condemns so many sessions that it may be a mistake: they wait.",
}
_RESULTS = ("done", "gone", "no_server", "silent")
_LISTS = ("ok", "incomplete", "failed")


class Reader(Protocol):
    """Reads what another part owns: None where that fails."""

    def __call__(self, metric: str, read: Callable[[], _T]) -> _T | None: ...


class SessionMetrics:
    """The numbers of session control; what it mirrors of others is read when scraped."""

    def __init__(self) -> None:
        self.on = False
        """Nothing is exposed while this is False."""
        self.sessions: Callable[[], Mapping[str, int]] = dict
        """Sessions by account. Only names that the platform wrote down: a tenant must not make series."""
        self.unlabelled: Callable[[], int] = int
        self.pending: Callable[[], Mapping[str, int]] = dict
        self.servers: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """How many are known, and how many of them are silent."""
        self.held: Callable[[], bool] = bool
        self.masses: Callable[[], Collection[str]] = tuple
        self.ready: Callable[[], bool] = bool
        self._kicks = {(reason.value, result): 0 for reason in Reason for result in _RESULTS}
        self._buckets = [0] * (len(_BUCKETS_SECONDS) + 1)
        self._seconds = 0.0
        self._lists = dict.fromkeys(_LISTS, 0)
        self._corrections = 0
        self._loops = 0

    def kicked(self, reason: str, result: str) -> None:
        """Count an answer to a kick: `done`, `gone`, `no_server` or `silent`; another is ignored."""
        if (reason, result) in self._kicks:
            self._kicks[reason, result] += 1

    def ended(self, seconds: float) -> None:
        """Count a session that has ended as it should, so long after what ended it."""
        self._buckets[bisect_left(_BUCKETS_SECONDS, seconds)] += 1
        self._seconds += seconds

    def reconciled(self, result: str, corrections: int) -> None:
        """Count a whole list (`ok`, `incomplete` or `failed`), and what it told that events had not."""
        if result in self._lists:
            self._lists[result] += 1
        self._corrections += corrections

    def looped(self) -> None:
        """Count a session that began too late in its token's life to be renewed."""
        self._loops += 1

    def families(self, read: Reader) -> Iterator[Metric]:
        """Yield what is exposed; nothing while session control is off. What cannot be read is left out."""
        if not self.on:
            return
        for metric, label, values in (
            (SessionMetric.SESSIONS, "account", self.sessions),
            (SessionMetric.PENDING, "reason", self._pending),
            (SessionMetric.SERVERS, "state", self._servers),
            (SessionMetric.MASS, "cause", self._masses),
        ):
            family = GaugeMetricFamily(metric, _HELP[metric], labels=[label])
            for name, value in (read(metric, values) or {}).items():
                family.add_metric([name], value)
            yield family
        for metric, number in (
            (SessionMetric.UNLABELLED, self.unlabelled),
            (SessionMetric.CONTROL_READY, self.ready),
            (SessionMetric.HELD, self.held),
        ):
            if (found := read(metric, number)) is not None:
                yield GaugeMetricFamily(metric, _HELP[metric], int(found))
        yield from self._counts()

    def _pending(self) -> Mapping[str, int]:
        pending = self.pending()
        return {reason.value: pending.get(reason, 0) for reason in Reason}

    def _servers(self) -> Mapping[str, int]:
        return dict(zip(("known", "silent"), self.servers(), strict=True))

    def _masses(self) -> Mapping[str, int]:
        masses = self.masses()
        return {cause: cause in masses for cause in CAUSES}

    def _counts(self) -> Iterator[Metric]:
        kicks = CounterMetricFamily(SessionMetric.KICKS, _HELP[SessionMetric.KICKS], labels=["reason", "result"])
        for labels, number in self._kicks.items():
            kicks.add_metric(labels, number)
        yield kicks
        lists = CounterMetricFamily(SessionMetric.RECONCILE, _HELP[SessionMetric.RECONCILE], labels=["result"])
        for result, number in self._lists.items():
            lists.add_metric([result], number)
        yield lists
        for metric, number in (
            (SessionMetric.CORRECTIONS, self._corrections),
            (SessionMetric.RENEWAL_LOOPS, self._loops),
        ):
            yield CounterMetricFamily(metric, _HELP[metric], number)
        running, buckets = 0, []
        for bound, number in zip((*map(str, _BUCKETS_SECONDS), "+Inf"), self._buckets, strict=True):
            running += number
            buckets.append((bound, float(running)))
        yield HistogramMetricFamily(
            SessionMetric.KICK_SECONDS,
            _HELP[SessionMetric.KICK_SECONDS],
            buckets=buckets,
            sum_value=self._seconds,
        )
