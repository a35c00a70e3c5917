"""One server of NATS_URL, observed: is it there, how long does it wait, does it take our login, and what may we hear."""

import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from nats_k8s_oidc_callout.adapters.nats import Login, Probe, Refused, ServerInfo, Untrusted, open_probe
from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.core.nats.address import Address
from nats_k8s_oidc_callout.core.nats.names import COMPLAINTS, REQUESTS
from nats_k8s_oidc_callout.doctor.diagnosis import too_long
from nats_k8s_oidc_callout.doctor.observations import Admission, Rights
from nats_k8s_oidc_callout.errors import Unreachable

NAME = f"{PROGRAM} doctor"
STEP_SECONDS = 4.0
_WAIT_SECONDS = 2.5
# In TLS 1.3 a server refuses our certificate, or the lack of it, only after the handshake.
_SECOND_THOUGHT_SECONDS = 0.3

Tls = Callable[[], ssl.SSLContext | None]


@dataclass(slots=True)
class Server:
    """One server, and what is known of it so far."""

    address: Address
    tls: Tls
    info: ServerInfo | None = None
    timeout: float | None = None
    """`authorization.timeout` in seconds, measured; None while it is not known, or longer than we waited."""
    waited: bool = False

    async def reach(self) -> Unreachable | None:
        """Connect, TLS included; return why that failed."""
        try:
            async with open_probe(self.address, self.tls(), STEP_SECONDS) as probe:
                if probe.tls and await probe.silence(_SECOND_THOUGHT_SECONDS) is not None:
                    return Untrusted(f"it ends the connection after the TLS handshake {probe.trouble}".strip())
                self.info = probe.info
        except Unreachable as error:
            return error
        return None

    async def measure_timeout(self) -> None:
        """Say nothing: the server ends that after the very time that it gives a callout (server.go, auth timer).

        Twice where it seems too long: a pause of ours, or of the server's, only ever adds to it.
        """
        with suppress(Unreachable):
            for _ in range(2):
                async with open_probe(self.address, self.tls(), STEP_SECONDS) as probe:
                    seconds = await probe.silence(_WAIT_SECONDS)
                    self.timeout = seconds if probe.words else None
                    self.waited = seconds is None or bool(probe.words)
                if not self.waited or (self.timeout is not None and not too_long(self.timeout)):
                    return

    async def log_in(self, login: Login, otherwise: Login | None) -> Admission:
        """Log in as the responder does; when that is refused, try whether the servers are in the other mode."""
        try:
            return Admission(await self._account_of(login))
        except Unreachable as error:
            seen = Admission(error=error)
        if otherwise is not None and isinstance(seen.error, Refused):
            with suppress(Unreachable):
                return replace(seen, other_mode=await self._account_of(otherwise))
        return seen

    async def _account_of(self, login: Login) -> str:
        async with open_probe(self.address, self.tls(), STEP_SECONDS) as probe:
            await probe.log_in(login, NAME, STEP_SECONDS)
            return probe.account[:64]

    async def try_rights(self, login: Login, otherwise: Login | None, queue_group: str) -> Rights:
        """Try what our user may subscribe to, without a subscription; the other mode's login when it may not."""
        try:
            rights = await self._rights_of(login, queue_group)
        except Unreachable as error:
            return Rights(error=error)
        if not rights.group and otherwise is not None:
            with suppress(Unreachable):
                return replace(rights, other_mode=(await self._rights_of(otherwise, queue_group)).group)
        return rights

    async def _rights_of(self, login: Login, queue_group: str) -> Rights:
        async with open_probe(self.address, self.tls(), STEP_SECONDS) as probe:
            await probe.log_in(login, NAME, STEP_SECONDS)
            return await _try(probe, queue_group)


async def _try(probe: Probe, queue_group: str) -> Rights:
    """Say what this login may subscribe to.

    A SUB whose number is taken is checked for permission and then changes nothing (NATS_FACTS 3.11).
    So with any subscription at hand the real one can be tried, queue group and all, and no request
    of the group is ever delivered here. The one at hand is to requests, outside the group: it gets copies, and takes
    nothing from anybody. Each refusal is an error in the server's log, so others are tried only where that one is
    refused, and an inbox only to tell permissions that are the wrong way round.
    """

    async def may(subject: str) -> bool:
        return not await probe.say(f"SUB {subject} 1".encode(), timeout=STEP_SECONDS)

    requests = await may(REQUESTS)
    complaints = None if requests else await may(COMPLAINTS)
    inbox = not requests and not complaints and await may(f"_INBOX.{os.urandom(8).hex()}")
    group = bool(requests or complaints or inbox) and await may(f"{REQUESTS} {queue_group}")
    if complaints and not group:
        inbox = await may(f"_INBOX.{os.urandom(8).hex()}")
    return Rights(group, requests, complaints, inbox)
