"""Bytes in, bytes out, with everything that waits replaced by plain callables."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from nats_k8s_oidc_callout.core.decide import Answer, Facts
from nats_k8s_oidc_callout.core.identity.keyset import KeySet, parse_jwks
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
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
)
from nats_k8s_oidc_callout.core.nats.signers import Signers, config_mode
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.responder import QUEUE_BYTES, Keys, Observers, Ports, Responder, Voice, ports
from tests.fakes import server as servers
from tests.fakes.issuer import NOW, UID, Issuer, issuer_key
from tests.fakes.rules import CLAIMS, fresh_grants
from tests.fakes.server import Server

KUBERNETES = Issuer()
XKEY = CurveKey(bytes([5] * 32))


async def until(reached: Callable[[], bool]) -> None:
    """Let the loop turn until something has happened."""
    async with asyncio.timeout(5):
        while not reached():
            await asyncio.sleep(0)


@dataclass
class World:
    """What surrounds a responder: a clock that only moves when told, a server, and everything it hears."""

    server: Server = field(default_factory=Server)
    now: float = NOW
    monotonic: float = 100.0
    max_payload: int = 1 << 20
    keys: Keys = field(default_factory=lambda: Keys(config_mode("APP", [servers.ISSUER])))
    account: ServiceAccount | Exception | None = None
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    verdicts: list[tuple[Verdict, Request | None]] = field(default_factory=list)
    hits: int = 0
    misses: int = 0
    refreshes: int = 0
    slowed: int = 0
    keys_may_come: bool = True
    gate: asyncio.Event | None = None

    def __post_init__(self) -> None:
        keyset = KeySet()
        keyset.replace(parse_jwks(KUBERNETES.jwks()).keys, 0.0)
        self.accounts = Index("nats.io/")
        self.accounts.begin().put("team-a", "orders", self.accounts.entry(UID, None))
        self.facts = Facts(CLAIMS, (), keyset, self.accounts, fresh_grants())
        self.respond()

    def respond(self, **observers: Any) -> None:
        """Begin with a new responder, and with some of its observers changed."""
        ours = self.ports()
        ours = replace(ours, observers=replace(ours.observers, **observers))
        self.responder = Responder(self.facts, lambda: self.keys, ours, timeout_seconds=1.5)

    def send(self, answers: Sequence[tuple[str, bytes]]) -> None:
        # Into whatever list is there by then.
        self.sent.extend(answers)

    def ports(self) -> Ports:
        def hit() -> None:
            self.hits += 1

        def slowed() -> None:
            self.slowed += 1

        async def fetch(need: Need, budget: float) -> Answer:
            assert budget < 1.41
            if isinstance(need, NeedKeys):
                self.refreshes += 1
                if self.gate is not None:
                    await self.gate.wait()
                return None
            self.misses += 1
            if isinstance(self.account, Exception):
                raise self.account
            return self.account

        return Ports(
            Voice(self.send, lambda: self.max_payload),
            fetch,
            lambda need: not isinstance(need, NeedKeys) or self.keys_may_come,
            Observers([lambda verdict, request, _: self.verdicts.append((verdict, request))], hit, slowed),
            ports.World(lambda: self.now, lambda: self.monotonic, bytes),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Responder]:
        task = asyncio.create_task(self.responder.run(), name="responder under test")
        yield self.responder
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def answer(self, data: bytes, reply: str = "_R", xkey: str = "") -> list[tuple[str, bytes]]:
        """Let one question through, and return what was sent."""
        async with self.running() as responder:
            responder.receive(data, reply, xkey)
            async with asyncio.timeout(5):
                await responder.drain()
        return self.sent

    async def flood(self, data: bytes) -> None:
        """Let so many refused logins through that their host is one that floods, and forget them."""
        async with self.running() as responder:
            for _ in range(60):
                responder.receive(data, "_BAD", "")
            await responder.drain()
        self.sent.clear()
        self.verdicts.clear()

    def from_elsewhere(self) -> bytes:
        """Return a good client's question, from another host."""
        claims = self.server.claims(KUBERNETES.token())
        claims["nats"]["client_info"]["host"] = "10.0.0.10"
        return self.server.sign(claims)

    @property
    def verdict(self) -> Verdict:
        ((verdict, _),) = self.verdicts
        return verdict


async def test_a_good_question_gets_its_answer() -> None:
    """
    A good token is answered at the question's reply subject with a user JWT, and recorded once.
    """
    world = World()
    ((reply, payload),) = await world.answer(world.server.ask(KUBERNETES.token()))

    answer = world.server.read(payload)
    assert "_R" == reply
    assert answer.user is not None
    assert "system:serviceaccount:team-a:orders" == answer.user["name"]
    assert isinstance(world.verdict, Allow)
    assert (1, 0) == (world.hits, world.misses)


NEW = KUBERNETES.token(name="new", uid="uid-new")
BROKEN = replace(config_mode("APP", [servers.ISSUER]), users=None)  # type: ignore[arg-type]  # the bug
DENIED: dict[str, tuple[Callable[[World], object], str, Reason]] = {
    "bad token": (lambda world: None, KUBERNETES.token(audience="vault"), Reason.WRONG_AUDIENCE),
    "API server cannot tell": (
        lambda world: setattr(world, "account", Unreachable("no answer")), NEW, Reason.UNKNOWN_SERVICE_ACCOUNT
    ),
    "too large for NATS": (
        lambda world: setattr(world, "max_payload", 1000), KUBERNETES.token(), Reason.ANSWER_TOO_LARGE
    ),
    "within the cool-down": (
        lambda world: setattr(world, "keys_may_come", False),
        KUBERNETES.token(key=issuer_key("RS256", 8)),
        Reason.UNKNOWN_KEY,
    ),
    "bug in deciding": (lambda world: setattr(world.facts, "grants", None), KUBERNETES.token(), Reason.INTERNAL),
    "bug in fetching": (lambda world: setattr(world, "account", ZeroDivisionError()), NEW, Reason.INTERNAL),
    "bug in answering": (
        lambda world: setattr(world, "keys", Keys(BROKEN)),
        KUBERNETES.token(),
        Reason.INTERNAL,
    ),
    "key of the account gone": (
        lambda world: setattr(world, "keys", Keys(Signers(config_mode("APP", [servers.ISSUER]).answers, {}))),
        KUBERNETES.token(),
        Reason.NO_ACCOUNT,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "token", "reason"), DENIED.values(), ids=DENIED)
async def test_a_refusal_is_an_answer(change: Callable[[World], object], token: str, reason: Reason) -> None:
    """
    Who is refused, also by a bug of ours, hears so at once in one constant text; the reason stays here, and nothing is
    fetched for it.
    """
    world = World()
    change(world)
    ((_, payload),) = await world.answer(world.server.ask(token))

    assert "not authorized" == world.server.read(payload).error
    assert isinstance(world.verdict, Deny)
    assert (reason, 0) == (world.verdict.reason, world.refreshes)


async def test_a_sealed_question_gets_a_sealed_answer() -> None:
    """
    Who asked under an xkey is answered under it.
    """
    world = World(keys=Keys(config_mode("APP", [servers.ISSUER]), (XKEY,), clear_allowed=False))
    data = world.server.ask_sealed(XKEY, KUBERNETES.token())
    ((_, payload),) = await world.answer(data, xkey=world.server.curve.public)

    assert payload.startswith(b"xkv1")
    assert world.server.read(payload, XKEY).user is not None


@pytest.mark.parametrize(
    ("data", "reply", "expected"),
    [
        pytest.param(b"rubbish", "_R", DropReason.ENCRYPTION_MISMATCH, id="not a JWT"),
        pytest.param(b"eyJrubbish", "_R", DropReason.MALFORMED_REQUEST, id="nearly a JWT"),
        pytest.param(Server().ask("x"), "", DropReason.MALFORMED_REQUEST, id="no reply subject"),
    ],
)
async def test_what_is_no_question_gets_no_answer(data: bytes, reply: str, expected: DropReason) -> None:
    """
    What no server can have asked is counted and left without an answer.
    """
    world = World()

    assert [] == await world.answer(data, reply)
    assert isinstance(world.verdict, Drop)
    assert expected == world.verdict.reason


async def test_an_unknown_service_account_is_looked_up() -> None:
    """
    A ServiceAccount that the watch has not brought yet is found by one look at the cluster.
    """
    world = World(account=ServiceAccount("uid-new", None))
    ((_, payload),) = await world.answer(world.server.ask(KUBERNETES.token(name="new", uid="uid-new")))

    assert world.server.read(payload).user is not None
    assert (0, 1) == (world.hits, world.misses)


async def test_an_unknown_key_holds_nobody_up() -> None:
    """
    While one question waits for the issuer's keys, others are answered.
    """
    world = World(gate=asyncio.Event())
    async with world.running() as responder:
        responder.receive(world.server.ask(KUBERNETES.token(key=issuer_key("RS256", 8))), "_SLOW", "")
        responder.receive(world.server.ask(KUBERNETES.token()), "_FAST", "")
        await until(lambda: bool(world.sent))
        assert ["_FAST"] == [reply for reply, _ in world.sent]
        assert 1 == responder.in_flight
        assert world.gate is not None
        world.gate.set()
        await responder.drain()

    assert ["_FAST", "_SLOW"] == [reply for reply, _ in world.sent]
    assert 1 == world.refreshes


async def test_an_answer_that_would_come_too_late_is_not_sent() -> None:
    """
    A decision that took longer than the server waits is dropped as late.
    """
    world = World(gate=asyncio.Event())
    async with world.running() as responder:
        responder.receive(world.server.ask(KUBERNETES.token(key=issuer_key("RS256", 8))), "_R", "")
        await until(lambda: bool(world.refreshes))
        world.monotonic += 1.41
        assert world.gate is not None
        world.gate.set()
        await responder.drain()

    assert [] == world.sent
    assert isinstance(world.verdict, Drop)
    assert DropReason.LATE == world.verdict.reason


async def test_the_freshest_is_answered_first() -> None:
    """
    In a queue that is behind the last one in is answered first, and what has waited too long not at all.
    """
    world = World()
    for age, name in ((1.5, "_LATE"), (1.0, "_OLD"), (0.0, "_NEW")):
        world.monotonic = 100.0 - age
        world.responder.receive(world.server.ask(KUBERNETES.token()), name, "")
    async with world.running() as responder:
        await responder.drain()

    assert ["_NEW", "_OLD"] == [reply for reply, _ in world.sent]
    assert DropReason.LATE in [verdict.reason for verdict, _ in world.verdicts if isinstance(verdict, Drop)]


async def test_in_order_while_there_is_time() -> None:
    """
    As long as all can be answered in time they are, in the order in which they came.
    """
    world = World()
    for number in range(40):
        world.responder.receive(world.server.ask(KUBERNETES.token()), f"_{number}", "")
    async with world.running() as responder:
        await responder.drain()

    assert [f"_{number}" for number in range(40)] == [reply for reply, _ in world.sent]


async def test_the_queue_is_bounded_in_bytes() -> None:
    """
    Past its bytes the queue lets the oldest go, and counts it.
    """
    world = World()
    for number in range(5):
        world.responder.receive(bytes(QUEUE_BYTES // 4 - 1000), f"_{number}", "")

    assert 4 == world.responder.in_flight
    assert [DropReason.SHED] == [verdict.reason for verdict, _ in world.verdicts if isinstance(verdict, Drop)]


async def test_a_bug_in_opening_harms_nobody_else() -> None:
    """
    When a message cannot be read by a bug of ours it is dropped, and what came with it is answered.
    """
    world = World()
    bugs = iter([Keys(())])  # type: ignore[arg-type]  # the bug
    world.responder = Responder(world.facts, lambda: next(bugs, world.keys), world.ports(), timeout_seconds=1.5)
    async with world.running() as responder:
        for reply in ("_BUG", "_NEXT"):
            responder.receive(world.server.ask(KUBERNETES.token()), reply, "")
        await responder.drain()

    assert ["_NEXT"] == [reply for reply, _ in world.sent]
    assert [DropReason.MALFORMED_REQUEST] == [v.reason for v, _ in world.verdicts if isinstance(v, Drop)]


async def test_a_request_keeps_the_keys_it_began_with() -> None:
    """
    Keys that change while a question waits do not change who answers it.
    """
    world = World(gate=asyncio.Event())
    async with world.running() as responder:
        responder.receive(world.server.ask(KUBERNETES.token(key=issuer_key("RS256", 8))), "_R", "")
        await until(lambda: bool(world.refreshes))
        world.keys = Keys(Signers({}, {}))
        assert world.gate is not None
        world.gate.set()
        await responder.drain()

    assert servers.ISSUER.public == world.server.read(world.sent[0][1]).response["iss"]


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(KUBERNETES.token(header={"kid": "invented"}), id="unverified"),
        pytest.param(KUBERNETES.token(audience="vault"), id="verified"),
        pytest.param(KUBERNETES.token(claims={"exp": NOW}), id="of a known workload"),
    ],
)
async def test_a_flooding_host_waits_behind_the_others(token: str) -> None:
    """
    A host that sent almost only refused logins is answered after the others, and still answered.
    """
    world = World(keys_may_come=False)
    bad = world.server.ask(token)
    await world.flood(bad)
    # In order the flood would go first: only the lane puts it behind.
    for number in range(5):
        world.responder.receive(bad, f"_BAD{number}", "")
    world.responder.receive(world.from_elsewhere(), "_GOOD", "")
    async with world.running() as responder:
        await responder.drain()

    assert "_GOOD" == world.sent[0][0]
    assert 6 == len(world.sent)
    assert world.slowed >= 5


async def test_the_slow_lane_keeps_nothing_that_is_late() -> None:
    """
    A flooding host's login that waited too long is dropped without more work, and not answered.
    """
    world = World()
    bad = world.server.ask(KUBERNETES.token(audience="vault"))
    await world.flood(bad)
    async with world.running() as responder:
        # A first turn puts them all into the slow lane and answers some; the rest is late at the next.
        for _ in range(40):
            responder.receive(bad, "_LATE", "")
        await until(lambda: bool(world.sent))
        answered = len(world.sent)
        world.monotonic += 1.41
        await responder.drain()

    assert 0 < answered < 40
    assert answered == len(world.sent)
    late = Drop(DropReason.LATE, "it waited here too long")
    assert [late] * (40 - answered) == [verdict for verdict, _ in world.verdicts if isinstance(verdict, Drop)]


async def test_a_flood_is_served_at_its_pace_and_not_opened_before() -> None:
    """
    Where floods have a pace, no more than that is opened and answered, the rest is dropped unopened, and others go first.
    """
    opened = 0
    world = World()

    def keys() -> Keys:
        nonlocal opened
        opened += 1
        return world.keys

    world.responder = Responder(world.facts, keys, world.ports(), timeout_seconds=1.5)
    bad = world.server.ask(KUBERNETES.token(audience="vault"))
    async with world.running() as responder:
        # The first ones find the flood, the next are opened to see whose they are, and from then on the host is looked at.
        for _ in range(60):
            responder.receive(bad, "_BAD", "")
        await responder.drain()
        responder.pace_floods(50.0)
        opened = 0
        world.sent.clear()
        for _ in range(100):
            responder.receive(bad, "_BAD", "")
        responder.receive(world.from_elsewhere(), "_GOOD", "")
        await until(lambda: "_GOOD" in [reply for reply, _ in world.sent])
        await asyncio.sleep(0.05)
        served = len(world.sent)
        world.monotonic += 1.41
        await responder.drain()

    assert served <= 1 + 5
    assert opened == served
    assert served == len(world.sent)
    assert 100 - (served - 1) == [v for v, _ in world.verdicts].count(Drop(DropReason.LATE, "it waited here too long"))


async def test_the_slow_lane_is_never_starved() -> None:
    """
    A good client behind the same host as a flood is answered, even while others keep coming.
    """
    world = World()
    await world.flood(world.server.ask(KUBERNETES.token(audience="vault")))
    world.responder.receive(world.server.ask(KUBERNETES.token()), "_BEHIND", "")
    for _ in range(30):
        world.responder.receive(world.from_elsewhere(), "_OTHER", "")
    async with world.running() as responder:
        await responder.drain()

    assert [reply for reply, _ in world.sent].index("_BEHIND") < 12


async def test_a_bug_in_recording_leaves_the_process_alive() -> None:
    """
    When telling about a login fails by a bug of ours the next login is answered all the same.
    """
    world = World()

    def fail_once(verdict: Verdict, request: Request | None, seconds: float) -> None:
        world.verdicts.append((verdict, request))
        if len(world.verdicts) == 1:
            raise ZeroDivisionError

    world.respond(outcomes=[fail_once])
    async with world.running() as responder:
        for _ in range(2):
            responder.receive(world.server.ask(KUBERNETES.token()), "_R", "")
            await until(lambda: responder.in_flight == 0)

    assert 2 == len(world.sent)


@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["forward", "back"])
async def test_a_clock_stepped_by_an_hour_lets_nobody_in_too_much(step: float) -> None:
    """
    While our clock is an hour off nobody is let in by it, and once it is right again logins go on at once.
    """
    world = World(now=NOW + step)
    question = world.server.ask(KUBERNETES.token(lifetime=600))
    async with world.running() as responder:
        responder.receive(question, "_WRONG", "")
        await responder.drain()
        world.now = NOW
        responder.receive(question, "_RIGHT", "")
        await responder.drain()

    wrong, right = (verdict for verdict, _ in world.verdicts)
    assert not isinstance(wrong, Allow)
    assert isinstance(right, Allow)


PUB = "nats.io/allowed-pub-subjects"


async def test_a_bug_within_a_turn_keeps_no_answer_back() -> None:
    """
    When a step of one login fails by a bug of ours the answers before it go out at once, not with the next turn.
    """
    world = World()
    fails = iter([False, True])

    def fail_at_the_second() -> None:
        if next(fails, False):
            raise ZeroDivisionError

    world.respond(cache_hit=fail_at_the_second)
    async with world.running() as responder:
        for reply in ("_FIRST", "_BUG", "_LOST"):
            responder.receive(world.server.ask(KUBERNETES.token()), reply, "")
        await until(lambda: responder.in_flight == 0)
        assert ["_FIRST"] == [reply for reply, _ in world.sent]
        responder.receive(world.server.ask(KUBERNETES.token()), "_NEXT", "")
        await until(lambda: len(world.sent) == 2)


def heavy(world: World, *names: str) -> None:
    """Give ServiceAccounts annotations that are long work."""
    for name in names:
        annotations = {PUB: ",".join(f"{name}.{number}" for number in range(200)) + ",x " * 10_000}
        world.accounts.begin().put("team-a", name, world.accounts.entry(UID, annotations))


async def test_long_work_waits_for_its_turn() -> None:
    """
    Logins whose annotations are long work are let in one a turn, and those that are not do not wait for them.
    """
    world = World()
    names = [f"heavy-{number}" for number in range(5)]
    heavy(world, *names)
    for name in names:
        world.responder.receive(world.server.ask(KUBERNETES.token(name=name)), name, "")
    for number in range(20):
        world.responder.receive(world.server.ask(KUBERNETES.token()), f"_{number}", "")
    async with world.running() as responder:
        await responder.drain()

    sent = [reply for reply, _ in world.sent]
    assert names == [reply for reply in sent if reply in names]
    # The first turn takes eleven of the others, the second the rest, and one that is long.
    assert [20, 21, 22, 23, 24] == [sent.index(name) for name in names]
    assert all(isinstance(verdict, Allow) for verdict, _ in world.verdicts)
    assert (25, 0) == (world.hits, world.misses)


async def test_answers_leave_before_long_work_begins() -> None:
    """
    A login that came together with long work is answered in a turn before it, and long work in every second turn.
    """
    world = World()
    heavy(world, "one", "other")
    left: list[list[str]] = []
    for name in ("one", "other", "_GOOD"):
        world.responder.receive(world.server.ask(KUBERNETES.token(name=name if name[0] != "_" else "orders")), name, "")
    for _ in range(4):
        world.sent.clear()
        world.responder._turn()
        left.append([reply for reply, _ in world.sent])
        world.responder.receive(world.server.ask(KUBERNETES.token()), "_MORE", "")

    assert [["_GOOD"], ["_MORE", "one"], ["_MORE"], ["_MORE", "other"]] == left


async def test_long_work_that_is_late_is_not_begun() -> None:
    """
    What waited for its turn until nobody waits for the answer any more costs nothing further.
    """
    world = World()
    heavy(world, "one", "other")
    for name in ("one", "other"):
        world.responder.receive(world.server.ask(KUBERNETES.token(name=name)), name, "")
    for _ in range(2):
        world.responder._turn()
    world.monotonic += 1.5
    world.responder._turn()

    assert ["one"] == [reply for reply, _ in world.sent]
    assert 1 == len(world.facts.grants._kept)
    assert [DropReason.LATE] == [verdict.reason for verdict, _ in world.verdicts if isinstance(verdict, Drop)]


async def test_long_work_after_a_look_at_the_cluster() -> None:
    """
    A ServiceAccount that was just made with annotations that are long work is let in, in its turn, as one miss.
    """
    world = World()
    annotations = {PUB: ",".join(f"s.{number}" for number in range(2000))}
    world.account = world.accounts.entry("uid-new", annotations)
    ((_, payload),) = await world.answer(world.server.ask(KUBERNETES.token(name="new", uid="uid-new")))

    assert world.server.read(payload).user is not None
    assert (0, 1) == (world.hits, world.misses)


async def test_what_waits_for_the_cluster_is_bounded_in_bytes() -> None:
    """
    Past its bytes no further login waits for the cluster: it is shed, and the lanes keep their room.
    """
    world = World(gate=asyncio.Event())
    unknown = KUBERNETES.token(key=issuer_key("RS256", 8))
    claims = world.server.claims(unknown)
    claims["nats"]["connect_opts"]["name"] = "n" * 200_000
    question = world.server.sign(claims)
    async with world.running() as responder:
        for number in range(100):
            responder.receive(question, f"_{number}", "")
        await until(lambda: not responder._queue)
        assert responder._room.used <= 9 << 20
        assert responder.in_flight < 60
        responder.receive(world.server.ask(KUBERNETES.token()), "_GOOD", "")
        await until(lambda: bool(world.sent))
        assert ["_GOOD"] == [reply for reply, _ in world.sent]
        assert world.gate is not None
        world.gate.set()
        await responder.drain()

    assert 40 < sum(isinstance(verdict, Drop) and verdict.reason is DropReason.SHED for verdict, _ in world.verdicts)
    assert (0, 0) == (responder._room.used, responder._waiting_bytes)


async def test_floods_are_shed_first() -> None:
    """
    When all lanes together are too heavy, what waits in the slow lane goes before what does not.
    """
    world = World()
    await world.flood(world.server.ask(KUBERNETES.token(audience="vault")))
    for _ in range(20):
        world.responder.receive(world.server.ask(KUBERNETES.token(audience="vault")), "_BAD", "")
    world.responder._queue, full = type(world.responder._queue)(world.responder._room), world.responder._queue
    while full:
        login = world.responder._open(full.pop(0.0))
        assert login is None
    world.responder._room.bytes_max = world.responder._room.used
    world.responder.receive(world.from_elsewhere(), "_GOOD", "")
    async with world.running() as responder:
        await responder.drain()

    assert "_GOOD" in [reply for reply, _ in world.sent]
    assert {"the slow lane is full"} == {verdict.detail for verdict, _ in world.verdicts if isinstance(verdict, Drop)}


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param("rubbish", True, id="strangers"),
        pytest.param(KUBERNETES.token(), False, id="a sibling's workload"),
        pytest.param(KUBERNETES.token(claims={"exp": NOW}), False, id="a sibling's workload, expired"),
    ],
)
async def test_a_scoped_release_slows_floods_too(token: str, expected: bool) -> None:
    """
    A host that sends what a scoped release is silent about waits behind the others, unless it is a sibling's workloads.
    """
    world = World()
    world.facts.namespaces = ("team-b",)
    async with world.running() as responder:
        for _ in range(80):
            responder.receive(world.server.ask(token), "_R", "")
            await responder.drain()

    assert [] == world.sent
    assert expected == bool(world.slowed)


async def test_huge_questions_share_no_turn() -> None:
    """
    Of questions of a megabyte only one is read in a turn, so that others are answered between them.
    """
    world = World()
    for number in range(3):
        world.responder.receive(b"eyJ" + b"x" * (1 << 20), f"_{number}", "")
    world.responder._turn()

    assert 2 == len(world.responder._queue)
