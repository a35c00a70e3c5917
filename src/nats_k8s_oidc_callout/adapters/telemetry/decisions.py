"""One verdict: what it counts, and the one line it writes. Called for every message, so it must be cheap."""

import time
from collections.abc import Callable

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector

from nats_k8s_oidc_callout.adapters.telemetry.logs import DEBUG, INFO, WARN, Logs
from nats_k8s_oidc_callout.adapters.telemetry.metrics import Count, Metrics
from nats_k8s_oidc_callout.adapters.telemetry.redaction import clean
from nats_k8s_oidc_callout.adapters.telemetry.sampling import Sampler
from nats_k8s_oidc_callout.core.model import Allow, Deny, DropReason, Request, Verdict, Workload

UNVERIFIED_LINES_PER_SECOND = 10
# A crash loop must stay readable line by line; a hostile pod with a real token must not fill the disk.
VERIFIED_LINES_PER_SECOND = 100
DETAIL_MAX = 256
_AUDIENCES_MAX = 8
_KIDS_KEPT = 128


class Line(msgspec.Struct, omit_defaults=True):
    """A decision as it is logged; empty fields are left out."""

    ts: str
    level: str
    event: str
    reason: str = ""
    detail: str = ""
    namespace: str = ""
    serviceaccount: str = ""
    pod: str = ""
    jti: str = ""
    client_host: str = ""
    client_id: int = 0
    connection: str = ""
    """The name the client gave its connection."""
    server: str = ""
    account: str = ""
    """Where the client lands."""
    kid: str = ""
    rule: str = ""
    """Of the policy file: the rule that decided."""
    policy: str = ""
    """The file that it stands in, by the first 8 hex digits of its SHA-256."""
    grant: str = ""
    """A digest of what the session may do: two logins with the same one may do the same."""
    expires_at: str = ""
    """When the session ends, whatever the client does."""
    ms: float = 0.0
    other_audiences: str = ""
    """Who else the token is good for, separated by spaces; a list would stand here as it stands in the token."""
    shadow: bool = False
    """Nobody was answered: another responder does that."""


class Telemetry:
    """Counts and logs every outcome. `clock` gives Unix seconds, `monotonic` seconds that never go back."""

    def __init__(
        self,
        registry: CollectorRegistry,
        logs: Logs,
        version: str,
        *,
        shadow: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metrics = Metrics(registry, version)
        ProcessCollector(registry=registry)
        self._kids: dict[str, str] = {}
        self._logs = logs
        self._shadow = shadow
        self._clock = clock
        self._monotonic = monotonic
        self._unverified = Sampler(UNVERIFIED_LINES_PER_SECOND)
        self._verified = Sampler(VERIFIED_LINES_PER_SECOND)
        self._allowed_logged = logs.threshold <= INFO
        self._denied_logged = logs.threshold <= WARN
        self.debug = logs.threshold <= DEBUG
        """Whether debug lines are written: ask before building one for each check."""
        self.metrics.mirror(Count.LOG_LINES_LOST, lambda: logs.output.lost)

    def record(self, outcome: Verdict, request: Request | None, seconds: float) -> None:
        """Count one message's outcome and write its line; `seconds` is from bytes read to answer given.

        `request` is None for a message that did not open. Drops do not enter the histogram: a flood of
        rubbish would hide slow answers.
        """
        metrics = self.metrics
        if isinstance(outcome, Allow):
            metrics.success += 1
            metrics.observe(seconds)
            if outcome.rule:
                metrics.policy.count(outcome.rule, allowed=True)
            if self._allowed_logged:
                self._write("info", "allowed", request, seconds, outcome.workload, outcome.rule, allowed=outcome)
        elif isinstance(outcome, Deny):
            metrics.denied[outcome.reason] += 1
            metrics.observe(seconds)
            if outcome.rule:
                metrics.policy.count(outcome.rule, allowed=False)
            if self._denied_logged and self._admit(outcome.reason.value, verified=outcome.workload is not None):
                workload, reason = outcome.workload, outcome.reason.value
                self._write("warn", "denied", request, seconds, workload, outcome.rule, reason, outcome.detail)
        else:
            metrics.dropped[outcome.reason] += 1
            # Not ours to answer is the daily business of scoped siblings, not a fault.
            quiet = outcome.reason is DropReason.OUT_OF_SCOPE
            wanted = self.debug if quiet else self._denied_logged
            if wanted and self._admit(outcome.reason.value, verified=False):
                level = "debug" if quiet else "warn"
                self._write(level, "dropped", request, seconds, None, "", outcome.reason.value, outcome.detail)

    def tick(self, monotonic: float | None) -> None:
        """Tell what sampling held back in the seconds before `monotonic`, or ever (None): call it every second."""
        self._logs.tell(monotonic)
        for verified, sampler in ((False, self._unverified), (True, self._verified)):
            for reason, count in sampler.due(monotonic):
                self._suppressed(reason, count, verified)

    def close(self) -> None:
        """Tell the last of what was held back, and flush the log. The log itself stays open."""
        self.tick(None)
        self._logs.output.flush()

    def cache_hit(self) -> None:
        """A verified token's ServiceAccount was in the cache."""
        self.metrics.cache_hits += 1

    def cache_miss(self) -> None:
        """A verified token took a live look at the cluster."""
        self.metrics.cache_misses += 1

    def _admit(self, reason: str, verified: bool) -> bool:
        now = self._monotonic()
        sampler = self._verified if verified else self._unverified
        if not sampler.admit(reason, now):
            self.metrics.suppressed[reason] += 1
            return False
        # Usually nothing: tells about the last second even when tick is late.
        for ended, count in sampler.due(now):
            self._suppressed(ended, count, verified)
        return True

    def _suppressed(self, reason: str, count: int, verified: bool) -> None:
        level = "debug" if reason == DropReason.OUT_OF_SCOPE else "warn"
        self._logs.emit(
            {
                "ts": self._logs.stamp(self._clock()),
                "level": level,
                "event": "suppressed",
                "reason": reason,
                "count": count,
                "verified": verified,
            },
            urgent=True,
        )

    def _remember(self, kid: str) -> str:
        """Return a key's name as it is logged; over the years an issuer has many."""
        if len(self._kids) >= _KIDS_KEPT:
            self._kids.clear()
        shown = self._kids[kid] = clean(kid)
        return shown

    def _write(
        self,
        level: str,
        event: str,
        request: Request | None,
        seconds: float,
        workload: Workload | None,
        rule: str,
        reason: str = "",
        detail: str = "",
        allowed: Allow | None = None,
    ) -> None:
        namespace = name = pod = jti = host = connection = server = ""
        account = kid = grant = ends = audiences = ""
        client_id = 0
        if workload is not None:
            # Signed by the cluster, and legal Kubernetes names (core/identity/issuers.py checks); pod and jti are only signed.
            namespace, name = workload.namespace, workload.name
            pod, jti = clean(workload.pod), clean(workload.jti)
        if request is not None:
            client_id = request.client_id
            host, connection = clean(request.client_host), clean(request.client_name)
            server = clean(request.server_name)
        if allowed is not None:
            # The digest was made with the grant, and a key's name is one of the few that the issuer has.
            account, grant = allowed.account, allowed.grant_digest
            kid = self._kids.get(allowed.kid) or self._remember(allowed.kid)
            ends = self._logs.moment(allowed.expires_at)
            if allowed.other_audiences:
                audiences = " ".join([clean(audience) for audience in allowed.other_audiences[:_AUDIENCES_MAX]])
        # By position: keywords would cost a tenth of the whole line.
        line = Line(
            self._logs.stamp(self._clock()),
            level,
            event,
            reason,
            detail and clean(detail, DETAIL_MAX),
            namespace,
            name,
            pod,
            jti,
            host,
            client_id,
            connection,
            server,
            account,
            kid,
            rule,
            "" if event == "dropped" else self.metrics.policy.shown,
            grant,
            ends,
            int(seconds * 1e6) / 1000,
            audiences,
            self._shadow,
        )
        self._logs.emit(line, urgent=level == "warn")
