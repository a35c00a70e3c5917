"""Questions that no server asked, by somebody who may publish where servers ask: dropped, counted, and no harm done."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.nats import natsjwt, nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from tests.attack.hall import SUBJECT, Hall, reply, xkey_header
from tests.fakes.nats_world import until
from tests.fakes.server import ISSUER, USER_NKEY

pytestmark = pytest.mark.e2e

Made = bytes | tuple[bytes, bytes]
"""A message, or a message and its headers."""

OTHER_CURVE = CurveKey(bytes([8] * 32))
MEBIBYTE = 1 << 20


def changed(path: str, value: object, key: SigningKey | None = None) -> Callable[[Hall], bytes]:
    """Return what makes a good question with this claim changed; None leaves it out."""

    def make(hall: Hall) -> bytes:
        claims = hall.claims()
        *parents, last = path.split(".")
        target: dict[str, Any] = claims
        for parent in parents:
            target = target[parent]
        if value is None:
            del target[last]
        else:
            target[last] = value(hall) if callable(value) else value
        return hall.asker.sign(claims, key)

    return make


def with_head(head: bytes) -> Callable[[Hall], bytes]:
    def make(hall: Hall) -> bytes:
        signed = base64url.encode(head) + b"." + base64url.encode(json.dumps(hall.claims()).encode())
        return signed + b"." + base64url.encode(hall.asker.key.sign(signed))

    return make


def with_text(find: str, put: str) -> Callable[[Hall], bytes]:
    """Return what makes a question whose JSON is changed as text, then signed."""

    def make(hall: Hall) -> bytes:
        text = json.dumps(hall.claims(), separators=(",", ":"))
        assert find in text
        return natsjwt.sign(text.replace(find, put, 1).encode(), hall.asker.key)

    return make


def key_text(kind: Kind, size: int = 32) -> str:
    """Return a well-formed key of this kind, of so many bytes."""
    return nkeys._base32_encode(nkeys._with_checksum(bytes([kind]) + bytes([6] * size)))


QUESTIONS: Mapping[str, tuple[str, Callable[[Hall], Made]]] = {
    "empty": ("encryption_mismatch", lambda hall: b""),
    "rubbish": ("encryption_mismatch", lambda hall: b"\x00\xff" * 100),
    "mebibyte-of-rubbish": ("malformed_request", lambda hall: b"eyJ" + b"A" * (MEBIBYTE - 4)),
    "mebibyte-of-dots": ("malformed_request", lambda hall: b"eyJ" + b"." * (MEBIBYTE - 4)),
    "flipped-signature": ("malformed_request", lambda hall: hall.asker.sign(hall.claims())[:-4] + b"AAAA"),
    "no-signature": ("malformed_request", lambda hall: hall.asker.sign(hall.claims()).rpartition(b".")[0] + b"."),
    "signed-by-another-server": ("malformed_request", changed("aud", "nats-authorization-request",
                                                               SigningKey(Kind.SERVER, bytes([9] * 32)))),
    "issuer-is-an-account": ("malformed_request", changed("iss", ISSUER.public, ISSUER)),
    "issuer-is-a-user": ("malformed_request", changed("iss", SigningKey(Kind.USER, bytes([2] * 32)).public,
                                                       SigningKey(Kind.USER, bytes([2] * 32)))),
    "issuer-is-not-the-server-named": ("malformed_request", changed("nats.server_id.id", key_text(Kind.SERVER))),
    "issuer-with-wrong-checksum": ("malformed_request", changed("iss", lambda hall: hall.asker.key.public[:-1] + "A")),
    "issuer-of-31-bytes": ("malformed_request", changed("iss", key_text(Kind.SERVER, 31))),
    "issuer-of-33-bytes": ("malformed_request", changed("iss", key_text(Kind.SERVER, 33))),
    "issuer-in-lower-case": ("malformed_request", changed("iss", lambda hall: hall.asker.key.public.lower())),
    "another-audience": ("malformed_request", changed("aud", "nats-authorization-response")),
    "for-another-issuer": ("malformed_request", changed("sub", ISSUER.public)),
    "sub-with-a-line-break": ("malformed_request", changed("sub", 'A\n{"event":"allowed"}')),
    "already-expired": ("late", changed("exp", lambda hall: int(time.time()) - 31)),
    "user-key-missing": ("malformed_request", changed("nats.user_nkey", None)),
    "user-key-is-an-account": ("malformed_request", changed("nats.user_nkey", ISSUER.public)),
    "user-key-with-wrong-checksum": ("malformed_request", changed("nats.user_nkey", USER_NKEY[:-1] + "A")),
    "user-key-is-a-list": ("malformed_request", changed("nats.user_nkey", [USER_NKEY])),
    "type-of-an-answer": ("malformed_request", changed("nats.type", "authorization_response")),
    "version-3": ("malformed_request", changed("nats.version", 3)),
    "no-nats": ("malformed_request", changed("nats", None)),
    "nats-is-text": ("malformed_request", changed("nats", "x")),
    "exp-that-no-float-holds": ("malformed_request", changed("exp", 10**400)),
    "exp-is-text": ("malformed_request", changed("exp", "1e9")),
    "exp-is-negative": ("malformed_request", changed("exp", -1)),
    "cid-of-65-bits": ("malformed_request", changed("nats.client_info.id", 1 << 64)),
    "host-of-a-mebibyte": ("malformed_request", changed("nats.client_info.host", "h" * 600_000)),
    "claims-no-utf8": ("malformed_request", lambda hall: natsjwt.sign(b'{"iss":"\xff"}', hall.asker.key)),
    "claims-with-a-lone-surrogate": ("malformed_request", with_text('"S1"', '"\\ud800"')),
    "claims-100000-deep": ("malformed_request", with_text('"S1"', "[" * 100_000)),
    "claims-with-nan": ("malformed_request", with_text('"S1"', "NaN")),
    "header-no-utf8": ("malformed_request", with_head(b'{"typ":"\xff","alg":"ed25519-nkey"}')),
    "header-alg-none": ("malformed_request", with_head(b'{"typ":"JWT","alg":"none"}')),
    "header-alg-eddsa": ("malformed_request", with_head(b'{"typ":"JWT","alg":"EdDSA"}')),
    "header-is-a-list": ("encryption_mismatch", with_head(b"[]")),
    "sealed-without-our-key": ("encryption_mismatch", lambda hall: b"xkv1" + bytes(100)),
    "trailing-newline": ("malformed_request", lambda hall: hall.asker.sign(hall.claims()) + b"\n"),
}  # fmt: skip

SEALED: Mapping[str, tuple[str, Callable[[Hall], Made]]] = {
    "in-clear": ("encryption_mismatch", lambda hall: hall.asker.sign(hall.claims())),
    "in-clear-with-the-header": (
        "encryption_mismatch",
        lambda hall: (hall.asker.sign(hall.claims()), xkey_header(hall.asker.curve.public)),
    ),
    "no-header": ("encryption_mismatch", lambda hall: hall.question()[0]),
    "header-of-another-server": (
        "encryption_mismatch",
        lambda hall: (hall.question()[0], xkey_header(OTHER_CURVE.public)),
    ),
    "header-is-not-the-claim": (
        "encryption_mismatch",
        lambda hall: (
            OTHER_CURVE.seal(hall.xkey.public if hall.xkey else "", bytes(24), hall.asker.sign(hall.claims())),
            xkey_header(OTHER_CURVE.public),
        ),
    ),
    "header-twice-the-first-is-right": (
        "encryption_mismatch",
        lambda hall: (hall.question()[0], xkey_header(hall.asker.curve.public, OTHER_CURVE.public)),
    ),
    "header-of-900-kilobytes": ("encryption_mismatch", lambda hall: (hall.question()[0], xkey_header("X" * 900_000))),
    "header-no-ascii": ("encryption_mismatch", lambda hall: (hall.question()[0], xkey_header("Xé" + "A" * 54))),
    "header-of-a-weak-key": (
        "encryption_mismatch",
        lambda hall: (b"xkv1" + bytes(100), xkey_header(nkeys.encode_public(Kind.CURVE, bytes(32)))),
    ),
    "header-is-an-account": ("encryption_mismatch", lambda hall: (hall.question()[0], xkey_header(ISSUER.public))),
    "another-magic": ("encryption_mismatch", lambda hall: (b"xkv2" + hall.question()[0][4:], hall.question()[1])),
    "cut-off": ("encryption_mismatch", lambda hall: (hall.question()[0][:43], hall.question()[1])),
    "flipped-bit": (
        "encryption_mismatch",
        lambda hall: (hall.question()[0][:-1] + bytes([hall.question()[0][-1] ^ 1]), hall.question()[1]),
    ),
    "box-of-rubbish": ("malformed_request", lambda hall: (hall.seal(b"rubbish"), hall.question()[1])),
    "box-in-a-box": ("malformed_request", lambda hall: (hall.seal(hall.question()[0]), hall.question()[1])),
}


async def _is_dropped(hall: Hall, reason: str, made: Made) -> None:
    data, head = made if isinstance(made, tuple) else (made, b"")
    before, to = hall.dropped()[reason], reply()
    async with hall.mallory() as mallory:
        await mallory.publish(SUBJECT, to, data, head)
        await mallory.settle()
        await until(lambda: hall.dropped()[reason] == before + 1, what=f"dropped as {reason}")
        await mallory.settle()

        assert [] == [body for subject, body in mallory.heard if subject == to]
    await hall.still_answers()


@pytest.mark.parametrize("case", QUESTIONS)
async def test_a_forged_question_is_dropped(hall: Hall, case: str) -> None:
    """
    A question that no server of ours can have asked gets no answer and is counted by its reason; the next good one is
    answered.
    """
    reason, make = QUESTIONS[case]
    await _is_dropped(hall, reason, make(hall))


@pytest.mark.parametrize("case", SEALED)
async def test_a_question_that_is_not_sealed_as_it_should_be_is_dropped(sealed_hall: Hall, case: str) -> None:
    """
    With NATS_XKEY_FILE nothing opens but what the server in the header sealed for us, and nothing in clear.
    """
    reason, make = SEALED[case]
    await _is_dropped(sealed_hall, reason, make(sealed_hall))


async def test_no_reply_subject_no_work(hall: Hall) -> None:
    """
    A question without a reply subject is dropped.
    """
    before = hall.dropped()["malformed_request"]
    async with hall.mallory() as mallory:
        await mallory.publish(SUBJECT, "", *hall.question())
        await until(lambda: hall.dropped()["malformed_request"] == before + 1)
    await hall.still_answers()


@pytest.mark.parametrize("name", ["Nats-Server-Xkey", "NATS-SERVER-XKEY"])
async def test_the_headers_name_is_the_servers_own(sealed_hall: Hall, name: str) -> None:
    """
    The header counts in the one spelling that servers write; in another it is no header.
    """
    data, _ = sealed_hall.question()
    before = sealed_hall.dropped()["encryption_mismatch"]
    async with sealed_hall.mallory() as mallory:
        to = reply()
        await mallory.publish(SUBJECT, to, data, xkey_header(sealed_hall.asker.curve.public, name=name))
        if name == "Nats-Server-Xkey":
            assert sealed_hall.read(await mallory.hear(to)).user is not None
        else:
            await until(lambda: sealed_hall.dropped()["encryption_mismatch"] == before + 1)


MALFORMED_HEADERS = [
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0\r\nno colon here\r\n\r\n",
    b"NATS/9.9\r\nA: b\r\n\r\n",
    b"\xff\xfe\r\n\r\n",
    b"NATS/1.0\r\n: empty\r\n\r\n",
    b"NATS/1.0\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
]


@pytest.mark.parametrize("head", MALFORMED_HEADERS, ids=lambda head: repr(head[:24]))
async def test_malformed_headers_do_no_harm(hall: Hall, head: bytes) -> None:
    """
    Whatever stands in a message's headers, it is heard, and the connection and the responder go on.
    """
    before = hall.responder.metrics()
    async with hall.mallory() as mallory:
        await mallory.publish(SUBJECT, reply(), hall.question()[0], head)
        await mallory.settle()
    await until(lambda: hall.responder.metrics()["nats_auth_requests_total"] > before["nats_auth_requests_total"])
    await hall.still_answers()

    reconnects = "nats_auth_nats_reconnects_total"
    assert before[reconnects] == hall.responder.metrics()[reconnects]


async def test_a_flood_of_forged_questions_is_told_and_sampled(hall: Hall) -> None:
    """
    Five thousand forged questions are all counted, leave at most 10 lines a second for their reason, and one that
    says how many more there were.
    """
    before = hall.dropped()["malformed_request"]
    lines = len(hall.responder.lines())
    data = natsjwt.sign(b'{"iss":"\xff"}', hall.asker.key)
    began = time.monotonic()
    async with hall.mallory() as mallory:
        for _ in range(5000):
            await mallory.publish(SUBJECT, reply(), data)
        await mallory.settle()
        await until(lambda: hall.dropped()["malformed_request"] == before + 5000)
    seconds = time.monotonic() - began
    await hall.still_answers()
    await until(lambda: hall.responder.lines()[lines:] and _suppressed(hall, lines) > 0, what="suppressed is told")
    await asyncio.sleep(0)

    written = len(hall.responder.lines()) - lines
    assert written <= 13 * (seconds + 3)
    assert [] == [line for line in hall.responder.lines()[lines:] if "exception" in line]


def _suppressed(hall: Hall, since: int) -> int:
    return sum(line["count"] for line in hall.responder.lines()[since:] if line["event"] == "suppressed")
