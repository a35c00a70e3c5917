"""A login as a client while we listen: what the server asks, what it says of the answer, and where the client lands.

Listening is a plain subscription beside the responders' queue group. NATS hands such a one a copy and the group the
message all the same, so nothing is taken from anybody. Of the requests that come by, only our own is looked at.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from nats_k8s_oidc_callout.adapters.nats import Landing, Login, Message, Probe, Refused, WorkloadLogin, land, opened
from nats_k8s_oidc_callout.adapters.nats.addresses import Address
from nats_k8s_oidc_callout.core.nats import callout, natsjwt, user
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import BadBox, BadToken, Unreachable, Unreadable

REQUESTS = callout.SUBJECT
COMPLAINTS = "$SYS.ACCOUNT.CLIENT.AUTH.ERR"
STEP_SECONDS = 4.0
# A complaint leaves the server a moment after its answer to the client.
_ECHO_SECONDS = 0.3
# Behind one name there may be a cluster: the client then logs in at another server than we listen at, and that one hears
# of our subscription only through a route. Nothing tells when it has.
_SPREAD_SECONDS = 0.5

Tls = Callable[[], ssl.SSLContext | None]


class _Server(msgspec.Struct):
    id: str = ""
    version: str = ""


class _Options(msgspec.Struct):
    name: str = ""


class _Question(msgspec.Struct):
    server_id: _Server = msgspec.field(default_factory=_Server)
    connect_opts: _Options = msgspec.field(default_factory=_Options)


class _Claims(msgspec.Struct):
    sub: str
    iat: int
    exp: int
    nats: _Question


_claims = reader(_Claims)


class _Client(msgspec.Struct):
    name: str = ""


class _Complaint(msgspec.Struct):
    reason: str = ""
    client: _Client = msgspec.field(default_factory=_Client)


_read_complaint = reader(_Complaint)


@dataclass(frozen=True, slots=True)
class Question:
    """The server's question about our login."""

    wants: str
    """The key that must sign the answer: `issuer` of the server's file, or the callout account."""
    sealed: bool
    lasts: int
    """`exp` less `iat`, in whole seconds."""
    ahead: float
    """By how many seconds the server's clock is ahead of ours, within a second."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What our user was seen to be allowed; None is not known. A refusal is an error in the server's log: no repeats."""

    requests: bool | None = None
    """To subscribe to requests outside the queue group."""
    complaints: bool | None = None


@dataclass(slots=True)
class Trial:
    """What one login showed."""

    landing: Landing | None = None
    refusal: Refused | None = None
    trouble: str = ""
    """Why the server could not be asked at all, or nothing."""
    listened: bool = False
    """We would have seen the server's question."""
    heard: bool = False
    """We would have heard the server's complaint about an answer."""
    question: Question | None = None
    unopened: int = 0
    """Sealed requests that our keys do not open."""
    complaints: list[str] = field(default_factory=list)
    """The server's words about this login; empty text is a time-out."""


class Listener:
    """A login as the responder that hears what a responder hears, and answers nothing."""

    def __init__(self, probe: Probe, xkeys: tuple[CurveKey, ...]) -> None:
        self._probe = probe
        self._xkeys = xkeys
        self._trials: dict[str, Trial] = {}

    async def listen(self, rights: Rights) -> tuple[bool, bool]:
        """Subscribe to requests and complaints, unless we know we may not; say which of the two the server lets us."""
        return (
            await self._may_hear(REQUESTS, self._request, rights.requests),
            await self._may_hear(COMPLAINTS, self._complain, rights.complaints),
        )

    async def _may_hear(self, subject: str, take: Callable[[Message], None], known: bool | None) -> bool:
        return known is not False and not await self._probe.subscribe(subject, take, STEP_SECONDS)

    def expect(self, name: str, trial: Trial) -> None:
        self._trials[name] = trial

    async def settle(self) -> None:
        """Return once what the server had to say of the last login is here."""
        await asyncio.sleep(_ECHO_SECONDS)
        await self._probe.say(timeout=STEP_SECONDS)

    def _request(self, message: Message) -> None:
        data, sealed = message.payload, False
        if not data.startswith(b"eyJ"):
            sealed = True
            opened_data = self._unseal(data, message.header(callout.XKEY_HEADER))
            if opened_data is None:
                for waiting in self._trials.values():
                    waiting.unopened += 1
                return
            data = opened_data
        try:
            claims = natsjwt.verify(data, Kind.SERVER, _claims)
        except BadToken:
            return
        trial = self._trials.get(claims.nats.connect_opts.name)
        if trial is not None:
            ahead = claims.iat + 0.5 - time.time()
            trial.question = Question(claims.sub, sealed, claims.exp - claims.iat, ahead)

    def _unseal(self, data: bytes, server_xkey: str) -> bytes | None:
        for key in self._xkeys:
            try:
                return key.open(server_xkey, data)
            except BadBox:
                continue
        return None

    def _complain(self, message: Message) -> None:
        try:
            event = _read_complaint(message.payload)
        except Unreadable:
            return
        trial = self._trials.get(event.client.name)
        if trial is not None:
            trial.complaints.append(event.reason)


async def attempt(
    address: Address,
    tls: Tls,
    responder: Login,
    rights: Rights,
    xkeys: tuple[CurveKey, ...],
    client: WorkloadLogin,
    inbox: str,
) -> Trial:
    """Log in once as a client while a second connection listens; never raises what a server can cause."""
    trial = Trial()
    name = f"{user.SELF_TEST}{os.urandom(8).hex()}"
    try:
        async with opened(address, tls(), STEP_SECONDS) as probe:
            await probe.log_in(responder, "nats-k8s-oidc-callout doctor", STEP_SECONDS)
            listener = Listener(probe, xkeys)
            trial.listened, trial.heard = await listener.listen(rights)
            listener.expect(name, trial)
            await asyncio.sleep(_SPREAD_SECONDS)
            await _land(trial, address, tls, client, name, inbox)
            await listener.settle()
    except Unreachable as error:
        trial.trouble = trial.trouble or str(error)
    return trial


async def _land(trial: Trial, address: Address, tls: Tls, client: WorkloadLogin, name: str, inbox: str) -> None:
    try:
        trial.landing = await land(address, tls(), client, name, inbox, STEP_SECONDS)
    except Refused as refused:
        trial.refusal = refused
    except Unreachable as error:
        trial.trouble = str(error)
