"""The composition root: builds every part, starts it, watches over it, and leaves in order."""

import asyncio
import math
import os
import time
from collections.abc import Coroutine, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry

from nats_k8s_oidc_callout.adapters import processors
from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.adapters.http import HttpServer
from nats_k8s_oidc_callout.adapters.nats import Link, answer_requests
from nats_k8s_oidc_callout.adapters.telemetry import Count, Gauge, LabelledGauge, Logs, Telemetry
from nats_k8s_oidc_callout.app import selftest, sources
from nats_k8s_oidc_callout.app.facts import facts_of
from nats_k8s_oidc_callout.app.fingerprint import fingerprint
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.app.namespaces import NamespaceLabels
from nats_k8s_oidc_callout.app.needs import Needs
from nats_k8s_oidc_callout.app.outcomes import Outcomes
from nats_k8s_oidc_callout.app.policyfile import LivePolicy
from nats_k8s_oidc_callout.app.readiness import Readiness
from nats_k8s_oidc_callout.app.selftest import SelfTest
from nats_k8s_oidc_callout.app.trace import tracer
from nats_k8s_oidc_callout.core.decide import Facts
from nats_k8s_oidc_callout.core.model import DropReason
from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.responder import Observers, Ports, Responder, Voice, World
from nats_k8s_oidc_callout.settings import SessionControl, Settings

if TYPE_CHECKING:
    from nats_k8s_oidc_callout.app.sessions.control import LiveSessions

log = structlog.get_logger("app")

# Kubernetes gives 30 s between SIGTERM and SIGKILL; a callout is over in less than 2 s, late or not.
_LEAVE_SECONDS = 10.0
# A refused login takes some 0.4 ms of a processor: floods get about a quarter of what a CPU limit leaves us.
_SLOW_PER_PROCESSOR = 600.0


class App:
    """One running responder."""

    def __init__(self, settings: Settings, logs: Logs) -> None:
        """Raise ConfigurationError when a file that the settings name is no longer what it was."""
        self._settings = settings
        self._stop = asyncio.Event()
        self._telemetry = Telemetry(CollectorRegistry(), logs, version(PROGRAM), shadow=settings.shadow)
        metrics = self._telemetry.metrics
        self._files = FileWatch()
        self._keyring = Keyring(settings, self._files.watch)
        api = sources.api_server(settings)
        self._workloads = sources.workload_source(settings, api, metrics)
        self._keys = sources.key_source(settings, api, self._files.watch, metrics)
        facts = facts_of(settings, self._keys.keys, self._workloads.index)
        accounts = self._keyring.accounts
        facts.placeable = accounts.placeable
        facts.self_test = selftest.exempt(settings)
        outcomes = Outcomes(self._telemetry, self._keyring, shadow=settings.shadow)
        self._labels = NamespaceLabels(settings, api, facts.grants.policy.label_keys, metrics)
        facts.labels = self._labels.find
        self._policy = LivePolicy(settings, facts, self._labels, metrics.policy) if settings.policy else None
        needs = Needs(self._keys, self._workloads, self._labels, self._telemetry.cache_miss)
        ports = Ports(
            Voice(self._send, lambda: self._link.max_payload),
            needs.fetch,
            needs.may_come,
            Observers(
                outcomes.observers,
                cache_hit=self._telemetry.cache_hit,
                slowed=lambda: metrics.add(Count.SLOWED),
                trace=tracer(facts) if self._telemetry.debug else None,
            ),
            World(time.time, time.monotonic, os.urandom),
        )
        self._responder = Responder(facts, lambda: self._keyring.keys, ports, settings.nats_auth_timeout_seconds)
        self._sessions = self._session_control(facts) if settings.session_control is not SessionControl.OFF else None
        self._link = Link(
            settings.nats_url.servers,
            login=self._keyring.login,
            tls=self._keyring.tls,
            duty=answer_requests(
                settings.nats_queue_group,
                self._responder.receive,
                outcomes.complain,
                *((self._sessions.ears, self._sessions.refused) if self._sessions else ()),
            ),
            doubt=self._keyring.doubt,
            misplaced=accounts.misplaced,
        )
        accounts.own = lambda: self._link.account
        self.readiness = Readiness(self._link, self._keys, self._workloads, self._labels, self._keyring)
        self._self_test = SelfTest(
            settings,
            self._keyring.tls,
            lambda: self._link.subscribed,
            lambda namespace, name: accounts.lands_in(facts.grants.policy, namespace, name, facts.labels(namespace)),
        )
        self._http = HttpServer(settings.host, settings.port, self.readiness.checks, metrics.render)
        self._mirror_metrics()

    @property
    def port(self) -> int:
        """The port that health and metrics are really on."""
        return self._http.port

    @property
    def _tests_itself(self) -> bool:
        return self._settings.self_test_token_file is not None and not self._settings.shadow

    def stop(self) -> None:
        """Leave in order: un-ready, everything in flight answered, then gone."""
        self._stop.set()

    def metrics(self) -> bytes:
        """Return what /metrics would say now; the page itself is up to a second old."""
        return self._telemetry.metrics.render()

    async def run(self) -> None:
        """Serve until `stop`; raise when a background task ends unexpectedly."""
        self._announce()
        await self._http.start()
        log.info("http listening", host=self._settings.host or "all addresses", port=self._http.port)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(self._for_ever(name, work()), name=name)
                    for name, work in (
                        *self._workloads.loops,
                        *self._labels.loops,
                        *self._keys.loops,
                        *self._keyring.accounts.loops,
                        ("files", self._files.run),
                        *((("policy", self._policy.run),) if self._policy else ()),
                        ("responder", self._responder.run),
                        ("nats", self._link.run),
                        ("readiness", self.readiness.run),
                        ("log suppression", self._tick),
                        *(self._sessions.loops if self._sessions else ()),
                        *((("self-test", self._self_test.run),) if self._tests_itself else ()),
                    )
                ]
                await self._stop.wait()
                await self._leave()
                for task in running:
                    task.cancel()
        finally:
            await self._http.close()
            await self._workloads.close()
            self._telemetry.close()
        log.info("stopped")

    def _session_control(self, facts: Facts) -> "LiveSessions":
        # Without it nothing of it is loaded.
        from nats_k8s_oidc_callout.app.sessions.control import LiveSessions  # noqa: PLC0415
        from nats_k8s_oidc_callout.app.sessions.guards import Signs  # noqa: PLC0415
        from nats_k8s_oidc_callout.app.sessions.view import LiveView  # noqa: PLC0415

        workloads, keys, keyring, metrics = self._workloads, self._keys, self._keyring, self._telemetry.metrics
        rejected = (lambda: policy.rejected) if (policy := self._policy) is not None else lambda: False
        view = LiveView(self._settings, facts, workloads, keyring.accounts, lambda: keyring.keys.signers, rejected)
        signs = Signs(
            ready=lambda: self.readiness.all_hold(),  # noqa: PLW0108  # it is made later
            tested=lambda: self._self_test.passed_at if self._tests_itself else math.inf,
            keys_fresh=lambda: keys.keys.fresh(time.monotonic()),
            behind_seconds=lambda: self._responder.behind_seconds,
            late=lambda: metrics.dropped[DropReason.LATE],
            leaving=lambda: self.readiness.leaving,
            listed_at=lambda: workloads.listed_at,
        )
        asks = workloads.list_again, workloads.look_now
        live = LiveSessions(self._settings, view, keyring, signs, *asks, metrics.sessions)
        workloads.index.on_change = live.judging.account_changed
        keys.on_fetched = live.judging.keys_fetched
        self._labels.on_change = live.judging.labels_changed
        if policy is not None:
            policy.on_taken = live.judging.policy_changed
        return live

    async def _for_ever(self, name: str, work: Coroutine[None, None, None]) -> None:
        await work
        if not self.readiness.leaving:
            raise RuntimeError(f"{name} ended unexpectedly")

    async def _leave(self) -> None:
        self.readiness.leaving = True
        log.info("stopping", in_flight=self._responder.in_flight)
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._link.drain()
                await self._responder.drain()
                if self._sessions is not None:
                    await self._sessions.close()
                await self._link.close()
        except TimeoutError:
            log.error("stopping took too long, some answers may be lost", in_flight=self._responder.in_flight)

    async def _tick(self) -> None:
        while True:
            # Each second, since a limit may be changed while we run. Below one processor the kernel stops us for the rest
            # of a period once a flood has used it up, and good logins with it; without a limit floods get what is left.
            limit = processors.limit()
            self._responder.pace_floods(math.inf if limit is None or limit >= 1 else limit * _SLOW_PER_PROCESSOR)
            await asyncio.sleep(1.0)
            self._telemetry.tick(time.monotonic())

    def _send(self, answers: Sequence[tuple[str, bytes]]) -> None:
        # False is a connection that went while we decided: the server it belonged to no longer waits.
        self._link.send(answers)

    def _mirror_metrics(self) -> None:
        metrics = self._telemetry.metrics
        metrics.configuration = lambda: fingerprint(self._settings, self._keyring.in_force())
        metrics.mirror(Gauge.READY, lambda: float(self.readiness.all_hold()))
        metrics.mirror(Gauge.INFLIGHT, lambda: self._responder.in_flight)
        metrics.mirror(Gauge.NATS_CONNECTED, lambda: float(self._link.connected))
        metrics.mirror(Count.NATS_RECONNECTS, lambda: max(0, self._link.connects - 1))
        metrics.mirror(Gauge.SELFTEST_SUCCESS, lambda: self._self_test.success)
        metrics.mirror(Gauge.CACHE_SYNCED, lambda: float(self._workloads.synced and self._labels.synced))
        metrics.mirror(Gauge.WATCH_LAST_EVENT, self._last_contact)
        metrics.mirror_each(LabelledGauge.CREDENTIAL_EXPIRY, self._keyring.expiries)
        metrics.mirror_each(LabelledGauge.FILE_ERRORS, self._bad_files)

    def _last_contact(self) -> float | None:
        """Return the API server's last word in Unix seconds, as a dashboard wants it: the older one of two watches."""
        heard = [self._workloads.last_contact()]
        if self._labels.source is not None:
            heard.append(self._labels.source.last_contact)
        known = [at for at in heard if at is not None]
        return time.time() - (time.monotonic() - min(known)) if len(known) == len(heard) else None

    def _bad_files(self) -> dict[str, float]:
        manifests = {**self._workloads.file_errors(), **self._labels.file_errors()}
        return {**self._files.errors(), **self._keyring.file_errors(), **manifests}

    def _announce(self) -> None:
        settings = self._settings
        log.info(
            "started",
            version=version(PROGRAM),
            mode=settings.mode.value,
            account=settings.nats_account,
            issuers=", ".join(settings.jwt_issuer),
            audience=settings.jwt_audience,
            namespaces=list(settings.k8s_namespaces) or "all",
            inbox_mode=settings.inbox_mode.value,
            reply_mode=settings.reply_mode.value,
            queue_group=settings.nats_queue_group,
            shadow=settings.shadow,
            configuration=fingerprint(settings, self._keyring.in_force()),
            **self._keyring.public_keys(),
        )
        for warning in settings.warnings:
            log.warning("configuration warning", detail=warning)
