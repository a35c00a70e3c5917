"""What strangers can make us hold or write, several times over: every store of theirs has a top."""

import contextlib
import gc
import hashlib
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from nats_k8s_oidc_callout.adapters.nats.addresses import DISCOVERED_MAX, AddressBook
from nats_k8s_oidc_callout.adapters.telemetry import redaction
from nats_k8s_oidc_callout.adapters.telemetry.decisions import (
    UNVERIFIED_LINES_PER_SECOND,
    VERIFIED_LINES_PER_SECOND,
)
from nats_k8s_oidc_callout.core.decide import judge
from nats_k8s_oidc_callout.core.grants.entries import NAMES, Reader
from nats_k8s_oidc_callout.core.grants.grants import CACHE_BYTES
from nats_k8s_oidc_callout.core.identity.issuers import Proved
from nats_k8s_oidc_callout.core.identity.verified import VerifiedTokens, place_of
from nats_k8s_oidc_callout.core.kubernetes import serviceaccounts
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from nats_k8s_oidc_callout.core.model import Deny, Drop, DropReason, Reason, Token, Workload
from nats_k8s_oidc_callout.core.nats import callout, nkeys, signers
from nats_k8s_oidc_callout.core.nats.address import Address
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.xkey import _BOXES, CurveKey
from nats_k8s_oidc_callout.core.traffic.flooding import HOSTS_MAX, Hosts
from nats_k8s_oidc_callout.errors import BadKey
from nats_k8s_oidc_callout.responder import Responder
from tests.adapters.stage import Stage, request
from tests.fakes.issuer import NOW, Issuer, issuer_key
from tests.fakes.rules import PREFIX, fresh_grants
from tests.fakes.server import ISSUER, Server
from tests.test_responder import World

MANY = 20_000
MEBIBYTE = 1 << 20


@pytest.fixture
def traced() -> Iterator[None]:
    """Let `_held` say what the test's own work leaves in memory."""
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_verified_tokens_are_bounded(traced: None) -> None:
    """
    Of sixty thousand good tokens some 20,000, the newest, are remembered, in at most 16 MiB.
    """
    cache = VerifiedTokens()
    for number in range(3 * MANY):
        workload = Workload(
            "team-a", f"orders-{number}", f"{number:036}", f"orders-7d4b9c6f5d-{number}", f"{number:036}"
        )
        proved = Proved(workload, NOW + 60, NOW - number % 100)
        cache.keep(place_of(Token(f"token-{number}")), 1, proved)

    assert 19_000 < len(cache) < 25_000
    assert 0.8 * cache.weight < _held() < 16 * MEBIBYTE
    assert cache.find(place_of(Token(f"token-{3 * MANY - 1}")), 1, NOW) is not None


@pytest.mark.parametrize(
    ("audiences", "expected"),
    [
        pytest.param(["nats", *(f"{n:x}" for n in range(409))], Reason.BAD_CLAIMS, id="410-audiences"),
        pytest.param(["vault"], Reason.WRONG_AUDIENCE, id="not-for-us"),
    ],
)
def test_refused_tokens_are_not_remembered(audiences: list[str], expected: Reason) -> None:
    """
    Of tokens that the issuer signed and we refuse nothing is remembered, whatever they weigh.
    """
    world = World()
    for number in range(20):
        token = Issuer().token(claims={"aud": audiences, "jti": str(number)})
        verdict = judge(Token(token), "", world.facts, NOW, 1.0)
        assert isinstance(verdict, Deny)
        assert expected == verdict.reason

    assert 0 == len(world.facts.verified)


def test_one_token_under_many_generations_is_bounded() -> None:
    """
    Keys that change again and again leave one place in the cache, and nothing old is found.
    """
    cache, proved = VerifiedTokens(), Proved(Workload("team-a", "orders", "uid"), NOW + 60, NOW)
    token = place_of(Token("token"))
    for generation in range(1000):
        cache.keep(token, generation, proved)

    assert 1 == len(cache)
    assert cache.find(token, 1000, NOW) is None


def test_client_hosts_are_bounded(traced: None) -> None:
    """
    Of all hosts that are refused the last few thousand are remembered, in at most 2 MiB.
    """
    hosts = Hosts()
    for number in range(MANY):
        hosts.record(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", allowed=False, monotonic=1.0)

    assert HOSTS_MAX == len(hosts)
    assert _held() < 2 * MEBIBYTE


def test_a_host_is_short() -> None:
    """
    What is remembered of a host is at most 256 characters, whatever a question says.
    """
    claims = Server().claims("tok")
    claims["nats"]["client_info"]["host"] = "h" * 257

    with pytest.raises(callout.Unanswerable, match="do not fit"):
        callout.open_request(
            Server().sign(claims), "", signers.config_mode("APP", [ISSUER]).answers, (), clear_allowed=True
        )


def test_keys_of_servers_are_bounded() -> None:
    """
    Of any number of servers' keys a thousand are kept decoded, of 32 bytes each.
    """
    body = nkeys.encode_public(Kind.SERVER, bytes(32))
    nkeys._public_bytes.cache_clear()
    nkeys._public_bytes(body, Kind.SERVER)
    for number in range(MANY):
        # What is refused is not kept, either: each of these has a checksum that cannot be right.
        with contextlib.suppress(BadKey):
            nkeys._public_bytes(f"N{number:055}".replace("0", "A").replace("1", "B"), Kind.SERVER)
    assert 1 == nkeys._public_bytes.cache_info().currsize
    for number in range(3000):
        nkeys._public_bytes(nkeys.encode_public(Kind.SERVER, number.to_bytes(32, "big")), Kind.SERVER)

    assert 1024 == nkeys._public_bytes.cache_info().currsize


def test_shared_secrets_with_servers_are_bounded() -> None:
    """
    Of many servers' curve keys a few hundred agreements are kept.
    """
    ours = CurveKey(bytes([5] * 32))
    for number in range(1, 3 * _BOXES):
        theirs = CurveKey(hashlib.sha256(str(number).encode()).digest())
        ours.open(theirs.public, theirs.seal(ours.public, bytes(24), b"x"))

    assert _BOXES == ours._box.cache_info().currsize


def test_cleaned_texts_are_bounded(traced: None) -> None:
    """
    Of all names that clients chose a thousand are kept cleaned, in at most 4 MiB however long they are.
    """
    redaction._clean.cache_clear()
    for number in range(MANY):
        redaction.clean(f"Ü {number} " + "x" * 1000) if number % 10 == 0 else redaction.clean(f"Ü {number}")

    assert 1024 == redaction._clean.cache_info().currsize
    assert _held() < 4 * MEBIBYTE


def test_addresses_that_a_server_tells_of_are_bounded() -> None:
    """
    Of all servers that a hostile one claims to know a few hundred are tried, and the configured one is
    never forgotten.
    """
    book = AddressBook([Address("nats")])
    book.discovered(Address(f"h{number}") for number in range(MANY))

    assert 1 + DISCOVERED_MAX == len(book)
    assert "nats" in {book.next().host for _ in range(len(book))}


def test_grants_are_bounded_by_what_they_weigh(traced: None) -> None:
    """
    A tenant's hundreds of ServiceAccounts with the largest grants there are do not make the cache larger than its bound.
    """
    grants = fresh_grants()
    for number in range(150):
        grants.of("team-a", f"sa-{number}", _READER.read(_heaviest(number)))

    assert grants.size <= CACHE_BYTES
    assert len(grants._kept) < 150
    assert _held() < 1.1 * CACHE_BYTES


_READER = Reader("nats.io/")


def _heaviest(number: int) -> dict[str, str]:
    """Return annotations of 252 KiB, each time other ones, that make the largest grant."""
    return {f"nats.io/{name}": ",".join(f"{'s' * 240}.{number}.{n}" for n in range(290)) for name in NAMES}


@pytest.mark.parametrize(
    ("tail", "times"), [("", 400), ("\N{GRINNING FACE}", 100)], ids=["ascii", "four-bytes-a-character"]
)
def test_annotations_are_bounded_by_what_they_weigh(traced: None, tail: str, times: int) -> None:
    """
    Hundreds of ServiceAccounts with 252 KiB under our prefix: the index stays under 64 MiB, the namespace that has most
    gets its defaults only, its neighbour keeps what it has.
    """
    index = Index("nats.io/")
    relist = index.begin()
    relist.put("good", "orders", index.entry("uid", {f"{PREFIX}allowed-pub-subjects": "orders.>"}))
    for number in range(times):
        annotations = {key: text + tail for key, text in _heaviest(number).items()}
        relist.put("bad", f"sa-{number}", index.entry("uid", annotations))

    assert ("bad",) == index.ignored
    assert _held() < serviceaccounts.BYTES_MAX
    assert 1 + times == len(index)
    good = index.find("good", "orders")
    assert good is not None
    assert good.annotations


def test_many_namespaces_are_bounded_together(traced: None) -> None:
    """
    Whoever spreads the weight over many namespaces loses one after the other; the rest is held, and weighs what it says.
    """
    index = Index("nats.io/")
    relist = index.begin()
    for number in range(330):
        relist.put(f"bad-{number % 40}", f"sa-{number}", index.entry("uid", _heaviest(number)))

    assert 0 < len(index.ignored) < 40
    assert 0.9 * index._shares.weight < _held() < serviceaccounts.BYTES_MAX


async def test_questions_of_strangers_leave_nothing_behind() -> None:
    """
    After thousands of questions, each with its own server, host, connection name, token and key, and as many that do
    not open, a thousand more leave less than 256 KiB.
    """
    world = World()
    world.keys_may_come = False
    world.verdicts = _Forgetful()  # type: ignore[assignment]  # a list that stays empty
    world.sent = _Forgetful()  # type: ignore[assignment]  # as above
    async with world.running() as responder:
        # The first fill every store to its top; that of hosts is the largest, and cheaper to fill by itself.
        for number in range(HOSTS_MAX):
            responder._hosts.record(f"h{number}", allowed=False, monotonic=1.0)
        await _ask(responder, range(1, 1100))
        gc.collect()
        tracemalloc.start()
        try:
            # What takes a place now is counted, and what it pushes out was not: so twice.
            await _ask(responder, range(1100, 2200))
            before = _held()
            await _ask(responder, range(2200, 3300))
            left = _held() - before
        finally:
            tracemalloc.stop()

    assert 0 == responder.in_flight
    assert len(responder._hosts) <= HOSTS_MAX
    assert left < 256 * 1024


async def _ask(responder: Responder, numbers: range) -> None:
    for number in numbers:
        responder.receive(_question(number), "_R", "X" * 64)
        responder.receive(b"eyJ" + str(number).encode(), "_R", "")
        if number % 50 == 0:
            await responder.drain()
    await responder.drain()


class _Forgetful(list[object]):
    def append(self, _: object) -> None:
        """Keep nothing."""

    def extend(self, _: object) -> None:
        """Keep nothing."""


def _question(number: int) -> bytes:
    server = Server(SigningKey(Kind.SERVER, number.to_bytes(32, "big")))
    claims = server.claims(f"{_HEADERS[number % 2]}.e30.{number:08}")
    claims["nats"]["client_info"]["host"] = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    claims["nats"]["connect_opts"]["name"] = f"Connection {number}"
    return server.sign(claims)


# Of a token that the issuer could have signed, and of one by a key that nobody knows.
_HEADERS = (Issuer().token().split(".")[0], Issuer().token(key=issuer_key("ES256", 77)).split(".")[0])


@pytest.mark.parametrize("reason", [*Reason, *(one for one in DropReason if one is not DropReason.OUT_OF_SCOPE)])
def test_a_flood_writes_few_lines_and_says_how_many_more(reason: Reason | DropReason) -> None:
    """
    Of five thousand refusals for one reason within a second, by clients that all look different, 10 lines are written
    and one that tells the number of the rest.
    """
    stage = Stage()
    for number in range(5000):
        outcome = Deny(reason) if isinstance(reason, Reason) else Drop(reason)
        stage.record(outcome, asked=request(f"n{number}", f"h{number}"))
    stage.monotonic += 1
    stage.telemetry.tick(stage.monotonic)

    lines = stage.lines()
    assert UNVERIFIED_LINES_PER_SECOND + 1 == len(lines)
    assert 5000 - UNVERIFIED_LINES_PER_SECOND == lines[-1]["count"]


def test_a_flood_with_real_tokens_is_bounded_too() -> None:
    """
    A hostile pod with a real token, which is refused for what it is not, writes 100 lines a second.
    """
    stage = Stage()
    for _ in range(5000):
        stage.record(Deny(Reason.NO_PERMISSIONS, workload=Workload("team-a", "orders", "uid")))
    stage.monotonic += 1
    stage.telemetry.tick(stage.monotonic)

    assert VERIFIED_LINES_PER_SECOND + 1 == len(stage.lines())


def test_every_reason_at_once_is_bounded() -> None:
    """
    Whoever causes every reason there is writes 10 lines a second for each, and no line holds more than some kilobytes.
    """
    stage = Stage()
    text = "\x1b[2J" + "Ü" * 100_000
    for reason in Reason:
        for _ in range(100):
            stage.record(Deny(reason, text), asked=request(text, text))
    lines = stage.device.getvalue().splitlines()

    assert UNVERIFIED_LINES_PER_SECOND * len(Reason) >= len(lines)
    assert max(map(len, lines)) < 4096
    assert b"\x1b" not in stage.device.getvalue()


def test_a_flood_of_one_warning_is_fast() -> None:
    """
    What is not written costs next to nothing: ten thousand held back take less time than a tenth of a second each
    thousand.
    """
    import structlog

    Stage()
    began = time.process_time()
    for _ in range(10_000):
        structlog.get_logger("x").warning("informer live lookup failed", workload="team-a/orders")

    assert time.process_time() - began < 1
