"""A login as a client while we listen: what the server asks, what it says of the answer, and where the client lands.

Listening is a plain subscription beside the responders' queue group. NATS hands such a one a copy and the group the
message all the same, so nothing is taken from anybody. Of the requests that come by, only our own is looked at.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from nats_k8s_oidc_callout.adapters.nats import (
    Login,
    Message,
    Probe,
    Refused,
    WorkloadLogin,
    log_in_as_client,
    open_probe,
    read_complaint,
)
from nats_k8s_oidc_callout.core.nats import natsjwt, user
from nats_k8s_oidc_callout.core.nats.names import COMPLAINTS, REQUESTS, SERVER_XKEY
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.doctor.observations import Question, Rights, Trial
from nats_k8s_oidc_callout.doctor.server import NAME, STEP_SECONDS, Server
from nats_k8s_oidc_callout.errors import BadBox, BadToken, Unreachable, Unreadable

# A complaint leaves the server a moment after its answer to the client.
_ECHO_SECONDS = 0.3
# Behind one name there may be a cluster: the client then logs in at another server than we listen at, and that one hears
# of our subscription only through a route. Nothing tells when it has.
_SPREAD_SECONDS = 0.5


class _Options(msgspec.Struct):
    name: str = ""


class _Question(msgspec.Struct):
    connect_opts: _Options = msgspec.field(default_factory=_Options)


class _Claims(msgspec.Struct):
    sub: str
    iat: int
    nats: _Question


_claims = reader(_Claims)


class Listener:
    """A login as the responder that hears what a responder hears of one login, and answers nothing."""

    def __init__(self, probe: Probe, xkeys: tuple[CurveKey, ...], name: str, trial: Trial) -> None:
        self._probe = probe
        self._xkeys = xkeys
        self._name = name
        self._trial = trial

    async def listen(self, rights: Rights) -> None:
        """Subscribe to requests and complaints, unless we know we may not; note which of the two the server lets us."""
        self._trial.listened = await self._may_hear(REQUESTS, self._request, rights.requests)
        self._trial.heard = await self._may_hear(COMPLAINTS, self._complain, rights.complaints)

    async def _may_hear(self, subject: str, take: Callable[[Message], None], known: bool | None) -> bool:
        return known is not False and not await self._probe.subscribe(subject, take, STEP_SECONDS)

    def _request(self, message: Message) -> None:
        data: bytes | None = message.payload
        sealed = not message.payload.startswith(b"eyJ")
        if sealed and (data := self._unseal(message.payload, message.headers.get(SERVER_XKEY, ""))) is None:
            self._trial.unopened += 1
            return
        try:
            claims = natsjwt.verify(data or b"", Kind.SERVER, _claims)
        except BadToken:
            return
        if claims.nats.connect_opts.name == self._name:
            self._trial.question = Question(claims.sub, sealed, claims.iat + 0.5 - time.time())

    def _unseal(self, data: bytes, server_xkey: str) -> bytes | None:
        for key in self._xkeys:
            with suppress(BadBox):
                return key.open(server_xkey, data)
        return None

    def _complain(self, message: Message) -> None:
        with suppress(Unreadable):
            event = read_complaint(message.payload)
            if event.client.name == self._name:
                self._trial.complaints.append(event.reason)


async def attempt(
    server: Server, responder: Login, rights: Rights, xkeys: tuple[CurveKey, ...], client: WorkloadLogin, inbox: str
) -> Trial:
    """Log in once as a client while a second connection listens; never raises what a server can cause."""
    trial = Trial()
    name = f"{user.SELF_TEST}{os.urandom(8).hex()}"
    try:
        async with open_probe(server.address, server.tls(), STEP_SECONDS) as probe:
            await probe.log_in(responder, NAME, STEP_SECONDS)
            listener = Listener(probe, xkeys, name, trial)
            await listener.listen(rights)
            await asyncio.sleep(_SPREAD_SECONDS)
            try:
                trial.landing = await log_in_as_client(server.address, server.tls(), client, name, inbox, STEP_SECONDS)
            except Refused as refused:
                trial.refusal = refused
            except Unreachable as error:
                trial.trouble = str(error)
            await asyncio.sleep(_ECHO_SECONDS)
            # What the server had to say of the login is here with its answer to this.
            await probe.say(timeout=STEP_SECONDS)
    except Unreachable as error:
        trial.trouble = trial.trouble or str(error)
    return trial
