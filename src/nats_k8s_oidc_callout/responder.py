"""A request's bytes in, its answer's bytes out. The only place where deciding meets waiting."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import structlog

from nats_k8s_oidc_callout.core import callout, xkey
from nats_k8s_oidc_callout.core.backlog import Backlog
from nats_k8s_oidc_callout.core.callout import Unanswerable
from nats_k8s_oidc_callout.core.decide import NOTHING_ASKED, Asked, Facts, decide
from nats_k8s_oidc_callout.core.hosts import Hosts
from nats_k8s_oidc_callout.core.model import (
    Allow,
    Deny,
    Drop,
    DropReason,
    Need,
    NeedKeys,
    Reason,
    Request,
    Verdict,
    Workload,
)
from nats_k8s_oidc_callout.core.placement import Placement
from nats_k8s_oidc_callout.core.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.core.xkey import CurveKey
from nats_k8s_oidc_callout.errors import Unreachable

log = structlog.get_logger("responder")

QUEUE_BYTES = 64 << 20
# The answer still has to reach the server: what is older than its time-out less this is not worth working on.
_RESERVE_SECONDS = 0.1
# How many messages go through each step together, before what arrived meanwhile is read: some 5 ms of work. Code that
# was just used runs faster than code that the cryptography has driven out of the processor's caches, so all are opened,
# then all judged, then all answered.
_TURN = 16
# The slow lane is served when there is nothing else, and after every so many messages all the same: its hosts may be a
# proxy with good clients behind it, who must get their answer in time as well.
_SLOW_EVERY = 8


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs and what opens, at one moment. A request keeps those it began with."""

    placement: Placement
    xkeys: tuple[CurveKey, ...] = ()
    clear_allowed: bool = True


class _Message(NamedTuple):
    data: bytes
    reply: str
    xkey: str
    received: float


@dataclass(frozen=True, slots=True)
class Ports:
    """What the responder asks of the world, as plain callables."""

    send: Callable[[str, bytes], None]
    """Publish an answer to a reply subject; never waits, never raises for a lost connection."""
    max_payload: Callable[[], int]
    refresh_keys: Callable[[float], Awaitable[None]]
    """Ask the issuer for its keys, for at most so many seconds; returns at once within the cool-down."""
    keys_may_come: Callable[[], bool]
    """Whether asking now can bring a key at all: in a flood of unknown keys it mostly cannot."""
    look_up: Callable[[Workload, float], Awaitable[ServiceAccount | None]]
    """Ask the cluster for one ServiceAccount, for at most so many seconds; raises Unreachable."""
    record: Callable[[Verdict, Request | None, float], None]
    cache_hit: Callable[[], None]
    cache_miss: Callable[[], None]
    slowed: Callable[[], None]
    """A request was put into the slow lane."""
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    nonce: Callable[[int], bytes]
    trace: Callable[[Request, Verdict | Need], None] | None = None
    """Told of each judgement at debug level; None otherwise, since even a line that is not written costs time."""


class Responder:
    """Queues what NATS delivers and answers it: in order, the freshest first when we are behind, and floods last."""

    def __init__(self, facts: Facts, keys: Callable[[], Keys], ports: Ports, timeout_seconds: float) -> None:
        self._facts = facts
        self._keys = keys
        self._ports = ports
        self._patience = timeout_seconds - _RESERVE_SECONDS
        self._queue: Backlog[_Message] = Backlog(QUEUE_BYTES)
        self._slow: Backlog[_Login] = Backlog(QUEUE_BYTES)
        self._hosts = Hosts()
        self._arrived = asyncio.Event()
        self._waiting: set[asyncio.Task[None]] = set()
        self._since_slow = 0
        self._answers: list[tuple[str, bytes]] = []
        self._outcomes: list[tuple[Verdict, Request | None, float]] = []

    @property
    def in_flight(self) -> int:
        """How many requests have come in and are not answered yet."""
        return len(self._queue) + len(self._slow) + len(self._waiting)

    def receive(self, data: bytes, reply: str, server_xkey: str) -> None:
        """Take a message from NATS. Only queues it: the connection's read loop must never wait for a decision."""
        message = _Message(data, reply, server_xkey, self._ports.monotonic())
        for shed in self._queue.push(message, message.received, len(data)):
            self._record(Drop(DropReason.SHED, "the queue is full"), None, shed)
            self._settle()
        self._arrived.set()

    async def run(self) -> None:
        """Answer for ever."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue or self._slow:
                try:
                    self._turn()
                except Exception:
                    # A bug where none should be left: some logins go unanswered, the process lives for the others.
                    log.exception("a turn failed")
                if self._queue or self._slow:
                    await asyncio.sleep(0)

    def _turn(self) -> None:
        """Take some messages through all steps."""
        self._drop_late()
        behind_before = self._ports.monotonic() - self._patience / 2
        messages = [self._queue.pop(behind_before) for _ in range(min(len(self._queue), _TURN))]
        opened = [login for message in messages if (login := self._open(message)) is not None]
        due, self._since_slow = divmod(self._since_slow + len(messages), _SLOW_EVERY)
        slow = [self._slow.pop(behind_before) for _ in range(min(len(self._slow), due if messages else _TURN))]
        logins = [*opened[:_SLOW_EVERY], *slow, *opened[_SLOW_EVERY:]]
        judged = [(login, self._judge(login)) for login in logins]
        for login, verdict in judged:
            if isinstance(verdict, Allow | Deny | Drop):
                if isinstance(verdict, Allow) or verdict.reason is Reason.NO_PERMISSIONS:
                    self._ports.cache_hit()
                self._answer(login, verdict)
            else:
                task = asyncio.create_task(self._fetch_and_answer(login, verdict), name="login that must fetch")
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)
        self._settle()

    def _settle(self) -> None:
        """Send the answers of a turn, and record its outcomes. Nothing leaves the socket within a turn anyway."""
        answers, self._answers = self._answers, []
        outcomes, self._outcomes = self._outcomes, []
        for reply, payload in answers:
            self._ports.send(reply, payload)
        now = self._ports.monotonic()
        for verdict, request, received in outcomes:
            self._ports.record(verdict, request, now - received)

    async def drain(self) -> None:
        """Return once everything that has come in is answered or too late to be."""
        while self._queue or self._slow:
            await asyncio.sleep(0.001)
        while self._waiting:
            await asyncio.wait(self._waiting)

    def _drop_late(self) -> None:
        oldest_wanted = self._ports.monotonic() - self._patience
        for message in self._queue.older_than(oldest_wanted):
            self._record(Drop(DropReason.LATE, "it waited here too long"), None, message)
        for login in self._slow.older_than(oldest_wanted):
            self._record(Drop(DropReason.LATE, "it waited here too long"), login.request, login.message)

    def _open(self, message: _Message) -> "_Login | None":
        """Read a message; return what is to be judged now, and not later because its host floods us, or not at all."""
        if not message.reply:
            self._record(Drop(DropReason.MALFORMED_REQUEST, "it has no reply subject"), None, message)
            return None
        keys = self._keys()
        try:
            request, opened_by = callout.open_request(
                message.data, message.xkey, keys.placement, keys.xkeys, keys.clear_allowed
            )
        except Unanswerable as error:
            self._record(Drop(error.reason, error.detail), None, message)
            return None
        except Exception:
            # A bug of ours before we know who asks: there is nobody to answer, and the process must live.
            log.exception("request could not be read")
            self._record(Drop(DropReason.MALFORMED_REQUEST, "an internal error; see the log"), None, message)
            return None
        login = _Login(message, request, keys, opened_by)
        if not self._hosts.is_suspect(request.client_host, self._ports.monotonic()):
            return login
        self._ports.slowed()
        for shed in self._slow.push(login, message.received, len(message.data)):
            self._record(Drop(DropReason.SHED, "the slow lane is full"), shed.request, shed.message)
        return None

    def _judge(self, login: "_Login") -> Verdict | Need:
        """Return what can be said on the spot."""
        verdict = self._decide(login, NOTHING_ASKED)
        if isinstance(verdict, NeedKeys) and not self._ports.keys_may_come():
            verdict = self._decide(login, Asked(keys=True))
        return verdict

    def _decide(self, login: "_Login", asked: Asked) -> Verdict | Need:
        try:
            found = decide(login.request, self._facts, self._ports.clock(), self._ports.monotonic(), asked)
            if self._ports.trace is not None:
                self._ports.trace(login.request, found)
        except Exception:
            # Fail closed, and at once: the client must not wait for the time-out because of a bug of ours.
            log.exception("decision failed")
            return Deny(Reason.INTERNAL)
        return found

    async def _fetch_and_answer(self, login: "_Login", need: Verdict | Need) -> None:
        """Fetch what is needed, each thing once and within the budget, and answer."""
        try:
            verdict = await self._fetch(login, need)
        except Exception:
            log.exception("what a decision needs could not be fetched")
            verdict = Deny(Reason.INTERNAL)
        self._answer(login, verdict)
        self._settle()

    async def _fetch(self, login: "_Login", need: Verdict | Need) -> Verdict:
        """Return the verdict, once everything it needs was asked for."""
        asked = NOTHING_ASKED
        while not isinstance(need, Allow | Deny | Drop):
            budget = max(0.0, login.message.received + self._patience - self._ports.monotonic())
            if isinstance(need, NeedKeys):
                await self._ports.refresh_keys(budget)
                asked = replace(asked, keys=True)
            else:
                self._ports.cache_miss()
                asked = await self._look_up(asked, need.workload, budget)
            need = self._decide(login, asked)
            if not asked.looked_up and isinstance(need, Allow):
                self._ports.cache_hit()
        return need

    async def _look_up(self, asked: Asked, workload: Workload, budget: float) -> Asked:
        try:
            return replace(asked, looked_up=True, account=await self._ports.look_up(workload, budget))
        except Unreachable as error:
            log.warning("informer live lookup failed", workload=str(workload), error=str(error))
            return replace(asked, looked_up=True, trouble=f"it is not in the cache, and {error}")

    def _answer(self, login: "_Login", verdict: Verdict) -> None:
        """Send the verdict, unless silence is the answer or it is too late for one; then record it."""
        if not isinstance(verdict, Drop):
            if self._ports.monotonic() > login.message.received + self._patience:
                verdict = Drop(DropReason.LATE, "the decision came too late")
            else:
                verdict = self._send(login, verdict)
                allowed = isinstance(verdict, Allow)
                self._hosts.record(login.request.client_host, allowed, self._ports.monotonic())
        self._record(verdict, login.request, login.message)

    def _send(self, login: "_Login", verdict: Allow | Deny) -> Allow | Deny:
        """Send the answer to a verdict, and return the verdict that was really sent."""
        try:
            payload = login.encode(verdict, int(self._ports.clock()), self._ports.nonce)
            if len(payload) > self._ports.max_payload():
                verdict = Deny(Reason.ANSWER_TOO_LARGE, f"{len(payload)} bytes", verdict.workload)
                payload = login.encode(verdict, int(self._ports.clock()), self._ports.nonce)
        except Exception:
            log.exception("answer could not be written")
            verdict = Deny(Reason.INTERNAL, workload=verdict.workload)
            payload = login.encode(verdict, int(self._ports.clock()), self._ports.nonce)
        self._answers.append((login.message.reply, payload))
        return verdict

    def _record(self, verdict: Verdict, request: Request | None, message: _Message) -> None:
        self._outcomes.append((verdict, request, message.received))


@dataclass(frozen=True, slots=True)
class _Login:
    """A question that was opened, with the keys that will answer it."""

    message: _Message
    request: Request
    keys: Keys
    opened_by: CurveKey | None

    def encode(self, verdict: Allow | Deny, iat: int, nonce: Callable[[int], bytes]) -> bytes:
        """Return the answer's bytes, sealed when the question was."""
        signers = self.keys.placement[self.request.subject]
        if isinstance(verdict, Allow):
            response = callout.allow(self.request, verdict, signers, iat)
        else:
            response = callout.deny(self.request, signers, iat)
        if self.opened_by is None:
            return response
        return self.opened_by.seal(self.request.server_xkey, nonce(xkey.NONCE_BYTES), response)
