"""Asks the cluster about one ServiceAccount, before a session ends for what our watch says of it: the watch may hang."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from nats_k8s_oidc_callout.app.sessions.view import LiveView
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.errors import Unreachable

log = structlog.get_logger("sessions")

_TURN_SECONDS = 0.05
_AT_ONCE = 4
_BUDGET_SECONDS = 2.0

LookNow = Callable[[str, str, float], Awaitable[ServiceAccount | None]]
"""Asks the cluster at this moment: a namespace, a name, within so many seconds. Raises Unreachable."""


class Looks:
    """Asks about whom the view wants proof of, as fast as `Proofs` lets it."""

    def __init__(
        self,
        view: LiveView,
        look_now: LookNow,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._view, self._look_now, self._clock = view, look_now, clock
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            self.turn()
            await asyncio.sleep(_TURN_SECONDS)

    def turn(self) -> None:
        """Ask about all who may be asked about at this moment."""
        while len(self._running) < _AT_ONCE and (workload := self._view.proofs.take(self._clock())) is not None:
            task = asyncio.create_task(self._look(workload), name="look at a ServiceAccount with sessions")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _look(self, workload: tuple[str, str]) -> None:
        asked = self._clock()
        try:
            found = await self._look_now(*workload, _BUDGET_SECONDS)
        except Unreachable as error:
            # Whoever still waits wants it again.
            log.debug("service account of a session not looked up", workload="/".join(workload), reason=str(error))
            return
        self._view.looked_up(workload, found, asked)
