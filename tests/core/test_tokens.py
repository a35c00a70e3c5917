"""Tokens: every form that is refused, what a signature proves, and that no bytes ever raise."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.identity import keyset, tokens
from nats_k8s_oidc_callout.core.identity.tokens import Unverified, VerifiedClaims, VerifyingKey
from nats_k8s_oidc_callout.core.model import Deny, Reason, Token
from tests.fakes.hostile_tokens import ALGORITHMS
from tests.fakes.issuer import Issuer, IssuerKey, b64, compact, issuer_key, jwks

DEEP = b"[" * 6_000 + b"]" * 6_000


def public(key: IssuerKey) -> VerifyingKey:
    return keyset.parse_jwks(jwks(key)).keys[key.kid]


def peeked(text: str) -> Unverified:
    found = tokens.peek(Token(text))
    assert isinstance(found, Unverified)
    return found


def verified(text: str, key: IssuerKey | None = None) -> VerifiedClaims | Deny:
    return tokens.verify(peeked(text), public(key or issuer_key()))


def with_payload(payload: bytes) -> str:
    key = issuer_key("ES256")
    return key.sign({"alg": key.alg, "kid": key.kid}, payload)


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        ("{}\n", "ends in a line feed: "),
        ("{}\r\n", "ends in a line feed: "),
        ("{} ", "ends in white space: "),
        ("{}\t", "ends in white space: "),
        ("{}\r", "ends in white space: "),
        ("{}==", "ends in =: "),
        (" {}", "header is not base64url: it begins with white space"),
        ("\n{}", "header is not base64url: it begins with white space"),
        ('"{}"', "header is not base64url: it begins with a quotation mark"),
        ("Bearer {}", "header is not base64url: it begins with Bearer"),
        ("/var/run/secrets/nats/token", "not three parts: it looks like the path of a file"),
        ("\ud800", "not ASCII"),
        ("ZXlKaGJHY2lPaUpTVXpJMU5pSjk", "not three parts: it looks like base64 of a token"),
    ],
)
def test_what_is_wrong_with_a_text_is_told(sent: str, detail: str) -> None:
    """What clients commonly send beside or instead of their token is malformed, and the detail says what it is."""
    outcome = tokens.peek(Token(sent.format(Issuer().token())))

    assert isinstance(outcome, Deny)
    assert Reason.MALFORMED_TOKEN == outcome.reason
    assert outcome.detail.startswith(detail)


def test_signature_longer_than_joserfc_reads() -> None:
    """
    A key set may hold RSA keys whose signatures are over joserfc's own limit of 1024 characters: that limit is not in
    the way.
    """
    # Mersenne primes: nobody's key, but at once there, which one of this size would not be.
    p, q = 2**4253 - 1, 2**2203 - 1
    n, e = p * q, 65537
    size = (n.bit_length() + 7) // 8
    jwk = {"kty": "RSA", "kid": "k", "n": b64(n.to_bytes(size, "big")), "e": b64(e.to_bytes(3, "big"))}
    signed = f"{b64(compact({'alg': 'RS256', 'kid': 'k'}))}.{b64(compact({'jti': 'x'}))}"
    # RFC 8017, 9.2: the padded DER of a SHA-256 digest.
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(signed.encode()).digest()
    message = int.from_bytes(b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest, "big")
    d = pow(e, -1, (p - 1) * (q - 1))
    high, low = pow(message, d % (p - 1), p), pow(message, d % (q - 1), q)
    signature = (low + q * ((high - low) * pow(q, -1, p) % p)).to_bytes(size, "big")
    key = keyset.parse_jwks(jwks(jwk)).keys["k"]

    assert VerifiedClaims(jti="x") == tokens.verify(peeked(f"{signed}.{b64(signature)}"), key)


def test_depth_raises_nothing() -> None:
    """
    As deep a nesting as fits into a token, where it would be ignored, is refused or ignored; which of the two is
    for the interpreter's own bound on recursion to say, and Python 3.11 refuses.
    """
    key = issuer_key("ES256")
    header = b'{"alg":"ES256","kid":"k","x":' + DEEP + b"}"

    assert isinstance(tokens.peek(Token(f"{b64(header)}.e30.AAAA")), Unverified | Deny)
    assert isinstance(verified(with_payload(b'{"x":' + DEEP + b"}"), key), VerifiedClaims | Deny)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
members = st.dictionaries(
    st.sampled_from(["alg", "kid", "crit", "b64", "jwk", "iss", "aud", "exp", "nbf", "iat", "sub", "kubernetes.io"]),
    json_values | st.sampled_from([*ALGORITHMS, "none"]),
)
parts = (
    st.binary(max_size=60).map(b64) | members.map(lambda value: b64(json.dumps(value).encode())) | st.text(max_size=30)
)


@settings(max_examples=30, deadline=None)
@given(st.lists(parts, max_size=5).map(".".join) | st.text(max_size=200))
def test_no_text_raises(text: str) -> None:
    """Any text is read or refused, never an exception."""
    outcome: object = tokens.peek(Token(text))
    if isinstance(outcome, Unverified):
        outcome = tokens.verify(outcome, public(issuer_key("ES256")))

    assert isinstance(outcome, Deny)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200) | members.map(lambda value: json.dumps(value).encode()))
def test_no_signed_payload_raises(payload: bytes) -> None:
    """Any payload under a good signature gives claims or a Deny, never an exception."""
    outcome = verified(with_payload(payload or b"{}"), issuer_key("ES256"))

    assert isinstance(outcome, VerifiedClaims) or outcome.reason in (Reason.BAD_CLAIMS, Reason.MALFORMED_TOKEN)


def test_token_is_never_shown() -> None:
    """Neither an opened token nor a refusal shows any part of the token's text."""
    text = Issuer().token()

    assert not any(part in repr(peeked(text)) for part in text.split("."))
    assert not any(part in repr(verified(text, issuer_key("RS256", 1))) for part in text.split("."))


def test_key_is_never_shown() -> None:
    """A key's repr has its name and algorithm, and no joserfc object."""
    key = issuer_key("ES256")

    assert "ECKey" not in repr(public(key))
    assert not public(key).key.is_private
