"""The queue of requests, what of it is worked on in one turn of the event loop, and the answers."""

import asyncio
import math
from collections.abc import Callable

import structlog

from nats_k8s_oidc_callout.core.decide import Asked, Facts
from nats_k8s_oidc_callout.core.model import (
    Allow,
    Deny,
    Drop,
    DropReason,
    Judgement,
    Need,
    NeedServiceAccount,
    NeedTurn,
    Reason,
    Request,
    Verdict,
)
from nats_k8s_oidc_callout.core.nats import callout
from nats_k8s_oidc_callout.core.nats.callout import Unanswerable
from nats_k8s_oidc_callout.core.traffic.backlog import Backlog, Room
from nats_k8s_oidc_callout.core.traffic.flooding import HALF_LIFE_SECONDS, Hosts
from nats_k8s_oidc_callout.core.traffic.pace import Pace
from nats_k8s_oidc_callout.responder.login import Login, Message
from nats_k8s_oidc_callout.responder.ports import Keys, Ports
from nats_k8s_oidc_callout.responder.settle import Settle
from nats_k8s_oidc_callout.responder.signing import sign

log = structlog.get_logger("responder")

# All that has come in and is not answered, whole or read: shared by the lanes and by what waits for others' answers.
QUEUE_BYTES = 32 << 20
# Of these, what waits for the cluster or the issuer: it cannot be told to go, so it must leave room for the lanes.
_WAITING_BYTES = 8 << 20
# The answer still has to reach the server: what is older than its time-out less this is not worth working on.
_RESERVE_SECONDS = 0.1
# How many messages go through each step together, before what arrived meanwhile is read: some 5 ms of work. Code that
# was just used runs faster than code that the cryptography has driven out of the processor's caches, so all are opened,
# then all judged, then all answered.
_TURN = 16
# Questions have 3 kB; whoever can send ones of a megabyte gets four of those a turn at the most.
_TURN_BYTES = 256 * 1024
# The slow lane is served when the fast one is empty, and after every 8 fast messages anyway: a flooding "host" may be a
# proxy with good clients behind it.
_SLOW_EVERY = 8


class Responder:
    """Queues what NATS delivers and answers it: in order, the freshest first when we are behind, and floods last."""

    def __init__(self, facts: Facts, keys: Callable[[], Keys], ports: Ports, timeout_seconds: float) -> None:
        self._keys = keys
        self._voice, self._observers, self._world = ports.voice, ports.observers, ports.world
        self._patience = timeout_seconds - _RESERVE_SECONDS
        self._settle = Settle(facts, ports, self._patience)
        self._room = Room(QUEUE_BYTES)
        self._queue: Backlog[Message] = Backlog(self._room)
        # Questions of hosts that flood: unopened while a flood goes on, since opening is most of what they cost.
        self._slow: Backlog[Message | Login] = Backlog(self._room)
        self._pace = Pace()
        self._flood_until = -math.inf
        # Long work, which tenants can make (grants of 130 kB take 10 ms to compile and to sign): one of these a turn.
        self._long: Backlog[tuple[Login, Asked]] = Backlog(self._room)
        self._is_long_due = False
        self._hosts = Hosts()
        self._arrived = asyncio.Event()
        self._waiting: set[asyncio.Task[None]] = set()
        self._waiting_bytes = 0
        self._since_slow = 0
        self._answers: list[tuple[str, bytes]] = []
        self._outcomes: list[tuple[Verdict, Request | None, float]] = []

    @property
    def in_flight(self) -> int:
        """How many requests have come in and are not answered yet."""
        return self._in_lanes + len(self._waiting)

    @property
    def _in_lanes(self) -> int:
        return len(self._queue) + len(self._slow) + len(self._long)

    @property
    def behind_seconds(self) -> float:
        """How long the oldest login that is no flood's has waited for its turn."""
        received = [lane.oldest for lane in (self._queue, self._long) if lane.oldest is not None]
        return self._world.monotonic() - min(received) if received else 0.0

    def pace_floods(self, per_second: float) -> None:
        """Serve the slow lane at most so often (infinity: whenever there is time): else a flood uses up a CPU limit."""
        self._pace.change(per_second)

    def receive(self, data: bytes, reply: str, server_xkey: str) -> None:
        """Take a message from NATS. Only queues it: the connection's read loop must never wait for a decision."""
        message = Message(data, reply, server_xkey, self._world.monotonic())
        self._queue.push(message, message.received, message.weight)
        if self._room.is_short:
            self._make_room()
            self._send_answers()
        self._arrived.set()

    async def run(self) -> None:
        """Answer for ever."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._in_lanes:
                try:
                    self._turn()
                except Exception:
                    # A bug where none should be left: some logins go unanswered, the process lives for the others.
                    log.exception("batch of requests failed")
                if self._slow and not (self._queue or self._long) and self._pace.wait:
                    asyncio.get_running_loop().call_later(self._pace.wait, self._arrived.set)
                    break
                if self._in_lanes:
                    await asyncio.sleep(0)

    def _turn(self) -> None:
        """Take some messages through all steps."""
        self._drop_late()
        behind_before = self._world.monotonic() - self._patience / 2
        messages = self._next_messages(behind_before)
        opened = [login for message in messages if (login := self._open(message)) is not None]
        due, self._since_slow = divmod(self._since_slow + len(messages), _SLOW_EVERY)
        slow = self._next_slow(due if messages else _TURN, behind_before)
        logins = [*opened[:_SLOW_EVERY], *slow, *opened[_SLOW_EVERY:]]
        judged = [(login, *self._settle.at_once(login)) for login in logins]
        try:
            for login, found, asked in judged:
                self._go_on(login, found, asked)
            # After a turn of others, whose answers leave the socket first; but every second turn at the latest.
            self._is_long_due = bool(self._long) and bool(logins) and not self._is_long_due
            if self._long and not self._is_long_due:
                login, asked = self._long.pop(behind_before)
                self._go_on(login, self._settle.in_turn(login, asked), asked)
        finally:
            # Also after a bug: there may be no next turn in time.
            self._send_answers()

    def _next_messages(self, behind_before: float) -> list[Message]:
        messages: list[Message] = []
        size = 0
        while self._queue and len(messages) < _TURN and size < _TURN_BYTES:
            message = self._queue.pop(behind_before)
            size += len(message.data)
            messages.append(message)
        return messages

    def _next_slow(self, most: int, behind_before: float) -> list[Login]:
        number = self._pace.take(min(len(self._slow), most), self._world.monotonic())
        items = [self._slow.pop(behind_before) for _ in range(number)]
        read = (self._read(item) if isinstance(item, Message) else item for item in items)
        return [login for login in read if login is not None]

    def _go_on(self, login: Login, found: Judgement, asked: Asked) -> None:
        """Answer, or put the login where it waits for what it needs."""
        if isinstance(found, Allow | Deny | Drop):
            if NeedServiceAccount not in asked.answers and (
                isinstance(found, Allow) or found.reason is Reason.NO_PERMISSIONS
            ):
                self._observers.cache_hit()
            self._answer(login, found)
        elif isinstance(found, NeedTurn):
            self._long.push((login, asked), login.received, login.weight)
            self._make_room()
            self._arrived.set()
        elif self._waiting_bytes > _WAITING_BYTES:
            self._record(Drop(DropReason.SHED, "too many logins wait for the cluster"), login.request, login.received)
        else:
            task = asyncio.create_task(self._fetch_and_go_on(login, found, asked), name="login that must fetch")
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _fetch_and_go_on(self, login: Login, need: Need, asked: Asked) -> None:
        """Fetch what is needed, each thing once and within the budget, and answer."""
        weight = login.weight
        self._count_waiting(weight)
        try:
            found, asked = await self._settle.fetch(login, need, asked)
        finally:
            self._count_waiting(-weight)
        self._go_on(login, found, asked)
        self._send_answers()

    def _count_waiting(self, weight: int) -> None:
        self._waiting_bytes += weight
        self._room.used += weight

    def _make_room(self) -> None:
        """Let the oldest go while there is too much: of floods first, then of long work, then of all."""
        while self._room.is_short:
            if self._slow:
                self._give_up(self._slow.shed(), DropReason.SHED, "the slow lane is full")
            elif self._long:
                self._give_up(self._long.shed()[0], DropReason.SHED, "too much long work")
            elif self._queue:
                self._give_up(self._queue.shed(), DropReason.SHED, "the queue is full")
            else:
                return

    def _send_answers(self) -> None:
        """Record the outcomes of a turn, and send its answers: whoever was refused finds the line that says why."""
        answers, self._answers = self._answers, []
        outcomes, self._outcomes = self._outcomes, []
        now = self._world.monotonic()
        try:
            for verdict, request, received in outcomes:
                for observe in self._observers.outcomes:
                    observe(verdict, request, now - received)
        finally:
            if answers:
                self._voice.send(answers)

    async def drain(self) -> None:
        """Return once everything that has come in is answered or too late to be."""
        while self.in_flight:
            await asyncio.sleep(0.001)

    def _drop_late(self) -> None:
        oldest_wanted = self._world.monotonic() - self._patience
        long = (login for login, _ in self._long.older_than(oldest_wanted))
        for item in (*self._queue.older_than(oldest_wanted), *self._slow.older_than(oldest_wanted), *long):
            self._give_up(item, DropReason.LATE, "it waited here too long")

    def _give_up(self, item: Message | Login, reason: DropReason, detail: str) -> None:
        self._record(Drop(reason, detail), item.request if isinstance(item, Login) else None, item.received)

    def _open(self, message: Message) -> Login | None:
        """Read a message; return what is to be judged now, and not later because its host floods us, or not at all."""
        now = self._world.monotonic()
        # Only while a flood goes on: a look at the unverified host costs a fortieth of opening, but all would pay it.
        if now < self._flood_until and self._hosts.is_suspect(callout.claimed_host(message.data), now):
            self._put_behind(message)
            return None
        login = self._read(message)
        if login is None or not self._hosts.is_suspect(login.request.client_host, now):
            return login
        self._flood_until = now + HALF_LIFE_SECONDS
        self._put_behind(login)
        return None

    def _put_behind(self, item: Message | Login) -> None:
        self._observers.slowed()
        self._slow.push(item, item.received, item.weight)
        self._make_room()

    def _read(self, message: Message) -> Login | None:
        """Open a message; one that is no question is recorded, and is None."""
        if not message.reply:
            self._record(Drop(DropReason.MALFORMED_REQUEST, "it has no usable reply subject"), None, message.received)
            return None
        keys = self._keys()
        try:
            request, opened_by = callout.open_request(
                message.data, message.xkey, keys.subjects, keys.xkeys, keys.clear_allowed
            )
        except Unanswerable as error:
            self._record(Drop(error.reason, error.detail), None, message.received)
            return None
        except Exception:
            # A bug of ours before we know who asks: there is nobody to answer, and the process must live.
            log.exception("request could not be read")
            self._record(Drop(DropReason.MALFORMED_REQUEST, "an internal error; see the log"), None, message.received)
            return None
        return Login(message.reply, message.received, request, keys, opened_by)

    def _answer(self, login: Login, verdict: Verdict) -> None:
        """Send the verdict, unless silence is the answer or it is too late for one; then record it."""
        if isinstance(verdict, Drop):
            # A scoped release says nothing to strangers, but a flood of them is one here, too.
            if verdict.reason is DropReason.OUT_OF_SCOPE and not verdict.verified:
                self._hosts.record(login.request.client_host, allowed=False, monotonic=self._world.monotonic())
        elif self._world.monotonic() > login.received + self._patience:
            verdict = Drop(DropReason.LATE, "the decision came too late")
        else:
            verdict = self._send(login, verdict)
            allowed = isinstance(verdict, Allow)
            self._hosts.record(login.request.client_host, allowed, self._world.monotonic())
        self._record(verdict, login.request, login.received)

    def _send(self, login: Login, verdict: Allow | Deny) -> Allow | Deny:
        """Send the answer to a verdict, and return the verdict that was really sent."""
        if login.keys.signers is None:
            return verdict
        payload, verdict = sign(login, login.keys.signers, verdict, self._voice.max_payload(), self._world)
        self._answers.append((login.reply, payload))
        return verdict

    def _record(self, verdict: Verdict, request: Request | None, received: float) -> None:
        self._outcomes.append((verdict, request, received))
