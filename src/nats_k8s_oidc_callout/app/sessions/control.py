"""Session control, put together: what it hears, what runs for ever, and what is told of it."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import structlog

from nats_k8s_oidc_callout.adapters.nats import Ear, Link
from nats_k8s_oidc_callout.adapters.nats.system import Subjects, System
from nats_k8s_oidc_callout.adapters.telemetry import SessionMetrics
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.app.sessions.arrivals import Arrivals
from nats_k8s_oidc_callout.app.sessions.guards import LiveGuards, Signs
from nats_k8s_oidc_callout.app.sessions.hold import Hold
from nats_k8s_oidc_callout.app.sessions.judging import Judging
from nats_k8s_oidc_callout.app.sessions.kicker import Kicker
from nats_k8s_oidc_callout.app.sessions.looks import LookNow, Looks
from nats_k8s_oidc_callout.app.sessions.view import LiveView
from nats_k8s_oidc_callout.app.sources import Loop
from nats_k8s_oidc_callout.core.sessions.judging import Reason
from nats_k8s_oidc_callout.core.sessions.kicks import Kicks
from nats_k8s_oidc_callout.core.sessions.table import Session, Table
from nats_k8s_oidc_callout.settings import SessionControl, SessionRenewal, Settings

log = structlog.get_logger("sessions")

_TICK_SECONDS = 0.25
_CHECK_SECONDS = 30.0
_CHECK_AGAIN_SECONDS = 300.0
_WAITS_SECONDS = 30.0
_TELL_SECONDS = 60.0
# nats-py is the client that a session's end closes for good.
_PYTHON = "python3"
_AFTER_BUG_SECONDS = 5.0


async def lasting(name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Run a part for ever."""
    while True:
        try:
            await part()
        except Exception:
            # Supervision boundary: a bug here must not end logins.
            log.exception("session control failed with an internal error", part=name)
        await asyncio.sleep(_AFTER_BUG_SECONDS)


class LiveSessions:
    """Session control of one replica. `ears` belong to the responder's own link, `loops` run beside all others."""

    def __init__(
        self,
        settings: Settings,
        view: LiveView,
        keyring: Keyring,
        signs: Signs,
        list_again: Callable[[], None],
        look_now: LookNow,
        metrics: SessionMetrics,
    ) -> None:
        """`list_again` asks for a whole list of the ServiceAccounts, as a mass of deletions must be confirmed."""
        self._settings, self._view, self._list_again = settings, view, list_again
        replica = socket.gethostname()
        own_login = keyring.system_login()
        self._system = System(Subjects.system() if own_login else Subjects.imports(settings.session_subjects))
        self._link = None
        if own_login is not None:
            self._link = Link(
                settings.nats_url.servers,
                login=lambda: keyring.system_login() or own_login,
                tls=keyring.tls,
                duty=self._system.duty(),
            )
        self.table = Table()
        self.kicks = Kicks(replica, settings.session_kicks_per_second)
        self.judging = Judging(self.table, view, self.kicks)
        self._guards = LiveGuards(signs, lambda: self._arrivals.complete, lambda: self.judging.settled)
        self._looks = Looks(view, look_now)
        self._kicker = Kicker(self._system, self.table, self.kicks, self.judging, self._guards, metrics)
        self._arrivals = Arrivals(
            self._system,
            self.table,
            self.judging,
            self._kicker,
            view.session_of,
            view.accounts,
            lambda: view.has_new,
            metrics,
            settings.session_reconcile_seconds,
        )
        self._hold = Hold(f"{settings.session_subjects}.control", self.kicks, replica)
        self._missing: Sequence[str] | None = None
        self._masses: frozenset[str] = frozenset()
        self._wanted_list = False
        self._mirror(metrics)

    @property
    def ears(self) -> tuple[Ear, ...]:
        """What the responder's own link hears for us."""
        return (self._hold.ear, *(self._system.ears if self._link is None else ()))

    def refused(self, said: str) -> bool:
        """Take in what the server refused on the responder's own link; say whether it was a matter of ours."""
        return self._hold.ear.subject in said or (self._link is None and self._system.refuse(said))

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs for ever."""
        link = [("nats system", self._run_link)] if self._link is not None else []
        parts = [
            ("session events", self._arrivals.hear),
            ("session lists", self._arrivals.repair),
            ("session judging", self.judging.run),
            ("session looks", self._looks.run),
            ("session kicks", self._kick),
            ("session renewals", self._tick),
            ("session permissions", self._check),
        ]
        return [*link, *((name, partial(lasting, name, part)) for name, part in parts)]

    async def close(self) -> None:
        """End our own link, if there is one."""
        if self._link is not None:
            await self._link.close()

    async def _run_link(self) -> None:
        if self._link is not None:
            self._link.set_serving(True)
            await self._link.run()

    async def _kick(self) -> None:
        await self._hold.asked.wait()
        await self._kicker.run()

    async def _tick(self) -> None:
        """Have sessions renewed when they are due, and tell of what waits, for ever."""
        told_at = 0.0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.time()
            for session in self.table.take_due(now):
                if self._renews(session):
                    self.kicks.add(session, Reason.RENEWAL, now)
            self._tell_masses()
            if len(self.kicks) and now - told_at > _TELL_SECONDS and (late := self.kicks.waiting(now - _WAITS_SECONDS)):
                told_at = now
                pending = {reason.value: number for reason, number in late.items()}
                log.warning("session kicks wait", pending=pending, guards=self._guards().failing, held=self.kicks.held)

    def _renews(self, session: Session) -> bool:
        if self._settings.session_control is not SessionControl.ON:
            return False
        renewal = self._settings.session_renewal
        return renewal is SessionRenewal.ALL or (renewal is SessionRenewal.PYTHON and session.lang == _PYTHON)

    def _tell_masses(self) -> None:
        """Tell when so many sessions are to end for one cause that it may be a mistake."""
        masses = self.kicks.masses
        for cause in masses - self._masses:
            log.critical(
                "session kicks wait: too many at once",
                cause=cause,
                pending={reason.value: number for reason, number in self.kicks.pending.items()},
                sessions=len(self.table),
            )
        if self.kicks.wants_list and not self._wanted_list:
            self._list_again()
        self._masses, self._wanted_list = masses, self.kicks.wants_list

    async def _check(self) -> None:
        """Look for ever whether the servers let us do what we need: after each connect, and every so often."""
        while True:
            connects = self._system.connects
            if self._system.connected:
                missing = await self._system.check(await self._arrivals.accounts())
                if missing and missing != self._missing:
                    log.error("session control lacks permissions", missing=list(missing[:10]))
                elif not missing and self._missing:
                    log.info("session control has its permissions")
                self._missing = missing
            ends = time.monotonic() + (
                _CHECK_AGAIN_SECONDS if self._missing is not None and not self._missing else _CHECK_SECONDS
            )
            while time.monotonic() < ends and connects == self._system.connects:
                await asyncio.sleep(_TICK_SECONDS)

    def _mirror(self, metrics: SessionMetrics) -> None:
        metrics.on = True
        metrics.sessions = self._count
        metrics.unlabelled = lambda: sum(self._arrivals.unlabelled.values())
        metrics.pending = lambda: {reason.value: count for reason, count in self.kicks.pending.items()}
        metrics.servers = lambda: (len(self._arrivals.servers), len(self._arrivals.silent))
        metrics.held = lambda: self.kicks.held
        metrics.masses = lambda: self._masses
        metrics.ready = lambda: self._missing is not None and not self._missing and self._system.connected

    def _count(self) -> Mapping[str, int]:
        """Return how many sessions each account has; accounts that a template made are one."""
        literal = self._view.literal_accounts
        counts = dict.fromkeys(sorted(literal), 0)
        for session in self.table:
            name = session.account if session.account in literal else "templated"
            counts[name] = counts.get(name, 0) + 1
        return counts
