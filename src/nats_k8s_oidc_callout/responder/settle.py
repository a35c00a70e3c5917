"""What a login comes to: decide, fetch each need once, decide again."""

from dataclasses import replace

import structlog

from nats_k8s_oidc_callout.core.decide import Asked, Facts, decide
from nats_k8s_oidc_callout.core.model import Deny, Need, NeedKeys, NeedServiceAccount, Reason, Verdict, Workload
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.responder.login import Login
from nats_k8s_oidc_callout.responder.ports import Ports

log = structlog.get_logger("responder")

_AT_ONCE = Asked(in_turn=False)


class Settle:
    """Gives each login its verdict, within `patience` seconds of its coming in. Sends and records nothing."""

    def __init__(self, facts: Facts, ports: Ports, patience: float) -> None:
        self._facts = facts
        self._ports = ports
        self._patience = patience

    def at_once(self, login: Login) -> tuple[Verdict | Need, Asked]:
        """Return what can be said on the spot, without long work, and what was asked for that."""
        found = self._decide(login, _AT_ONCE)
        if isinstance(found, NeedKeys) and not self._ports.keys_may_come():
            asked = replace(_AT_ONCE, keys=True)
            return self._decide(login, asked), asked
        return found, _AT_ONCE

    def in_turn(self, login: Login, asked: Asked) -> Verdict | Need:
        """Return what a login comes to that waited for its turn, since it is long work."""
        return self._decide(login, replace(asked, in_turn=True))

    async def fetch(self, login: Login, need: Need, asked: Asked) -> tuple[Verdict | Need, Asked]:
        """Return the verdict, or that it wants its turn, once everything it needs was asked for."""
        try:
            return await self._fetch(login, need, asked)
        except Exception:
            log.exception("fetch for a decision failed")
            return Deny(Reason.INTERNAL), asked

    async def _fetch(self, login: Login, need: Verdict | Need, asked: Asked) -> tuple[Verdict | Need, Asked]:
        while isinstance(need, NeedKeys | NeedServiceAccount):
            budget = max(0.0, login.received + self._patience - self._ports.monotonic())
            if isinstance(need, NeedKeys):
                await self._ports.refresh_keys(budget)
                asked = replace(asked, keys=True)
            else:
                self._ports.cache_miss()
                asked = await self._look_up(asked, need.workload, budget)
            need = self._decide(login, asked)
        return need, asked

    async def _look_up(self, asked: Asked, workload: Workload, budget: float) -> Asked:
        try:
            return replace(asked, looked_up=True, account=await self._ports.look_up(workload, budget))
        except Unreachable as error:
            log.warning("informer live lookup failed", workload=str(workload), error=str(error))
            return replace(asked, looked_up=True, trouble=f"it is not in the cache, and {error}")

    def _decide(self, login: Login, asked: Asked) -> Verdict | Need:
        try:
            found = decide(login.request, self._facts, self._ports.clock(), self._ports.monotonic(), asked)
            if self._ports.trace is not None:
                self._ports.trace(login.request, found)
        except Exception:
            # Fail closed, and at once: the client must not wait for the time-out because of a bug of ours.
            log.exception("decision failed")
            return Deny(Reason.INTERNAL)
        return found
