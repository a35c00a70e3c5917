"""What a login comes to: decide, fetch each need once, decide again."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import structlog

from nats_k8s_oidc_callout.core.decide import Answer, Asked, Facts, NoAnswer, decide
from nats_k8s_oidc_callout.core.model import Allow, Deny, Drop, Judgement, Need, NeedTurn, Reason, Verdict
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.responder.login import Login
from nats_k8s_oidc_callout.responder.ports import Ports

log = structlog.get_logger("responder")

_AT_ONCE = Asked(in_turn=False)


async def settle(
    found: Judgement,
    asked: Asked,
    fetch: Callable[[Need], Awaitable[Answer]],
    decide_again: Callable[[Asked], Judgement],
) -> tuple[Verdict | NeedTurn, Asked]:
    """Return the verdict, or that it wants its turn, once everything it needs was fetched; and what was."""
    while not isinstance(found, Allow | Deny | Drop | NeedTurn):
        asked = asked.with_answer(found, await fetch(found))
        found = decide_again(asked)
    return found, asked


class Settle:
    """Gives each login its verdict, within `patience` seconds of its coming in. Sends and records nothing."""

    def __init__(self, facts: Facts, ports: Ports, patience: float) -> None:
        self._facts = facts
        self._ports, self._world, self._trace = ports, ports.world, ports.observers.trace
        self._patience = patience

    def at_once(self, login: Login) -> tuple[Judgement, Asked]:
        """Return what can be said on the spot, without long work, and what was asked for that."""
        found = self._decide(login, _AT_ONCE)
        if isinstance(found, Need) and not self._ports.may_come(found):
            asked = _AT_ONCE.with_answer(found, None)
            return self._decide(login, asked), asked
        return found, _AT_ONCE

    def in_turn(self, login: Login, asked: Asked) -> Judgement:
        """Return what a login comes to that waited for its turn, since it is long work."""
        return self._decide(login, replace(asked, in_turn=True))

    async def fetch(self, login: Login, need: Need, asked: Asked) -> tuple[Judgement, Asked]:
        """Return the verdict, or that it wants its turn, once everything it needs was asked for."""
        try:
            return await settle(need, asked, partial(self._fetch, login), partial(self._decide, login))
        except Exception:
            log.exception("fetch for a decision failed")
            return Deny(Reason.INTERNAL), asked

    async def _fetch(self, login: Login, need: Need) -> Answer:
        budget = max(0.0, login.received + self._patience - self._world.monotonic())
        try:
            return await self._ports.fetch(need, budget)
        except Unreachable as error:
            log.warning("informer live lookup failed", workload=str(need), error=str(error))
            return NoAnswer(f"it is not in the cache, and {error}")

    def _decide(self, login: Login, asked: Asked) -> Judgement:
        try:
            found = decide(login.request, self._facts, self._world.clock(), self._world.monotonic(), asked)
            if self._trace is not None:
                self._trace(login.request, found)
        except Exception:
            # Fail closed, and at once: the client must not wait for the time-out because of a bug of ours.
            log.exception("decision failed")
            return Deny(Reason.INTERNAL)
        return found
