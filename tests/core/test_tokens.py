"""Tokens: every form that is refused, what a signature proves, and that no bytes ever raise."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.identity import keyset, tokens
from nats_k8s_oidc_callout.core.identity.tokens import Unverified, VerifiedClaims, VerifyingKey
from nats_k8s_oidc_callout.core.model import Deny, Reason, Token
from tests.fakes.issuer import ISSUER, Issuer, IssuerKey, b64, compact, issuer_key, jwks

ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]
HEADER = b64(compact({"alg": "RS256", "kid": "k"}))
DEEP = b"[" * 6_000 + b"]" * 6_000


def public(key: IssuerKey) -> VerifyingKey:
    return keyset.parse_jwks(jwks(key)).keys[key.kid]


def peeked(text: str) -> Unverified:
    found = tokens.peek(Token(text))
    assert isinstance(found, Unverified)
    return found


def reason(outcome: object) -> Reason | None:
    return outcome.reason if isinstance(outcome, Deny) else None


def verified(text: str, key: IssuerKey | None = None) -> VerifiedClaims | Deny:
    return tokens.verify(peeked(text), public(key or issuer_key()))


def with_payload(payload: bytes) -> str:
    key = issuer_key("ES256")
    return key.sign({"alg": key.alg, "kid": key.kid}, payload)


def headed(header: bytes) -> Token:
    return Token(f"{b64(header)}.e30.AAAA")


# --- form -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_valid_token_verifies(alg: str) -> None:
    """
    A token by any of Kubernetes' four algorithms gives its claims.
    """
    key = issuer_key(alg)

    claims = verified(Issuer(keys=[key]).token(), key)

    assert isinstance(claims, VerifiedClaims)
    assert (ISSUER, ("nats",), "system:serviceaccount:team-a:orders") == (claims.iss, claims.aud, claims.sub)


def test_size_is_judged_before_anything_else() -> None:
    """
    A token one byte over the limit is too large; at the limit it is read, whatever it is.
    """
    assert Reason.TOKEN_TOO_LARGE == reason(tokens.peek(Token("." * (tokens.MAX_BYTES + 1))))
    assert Reason.MALFORMED_TOKEN == reason(tokens.peek(Token("." * tokens.MAX_BYTES)))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" ", id="space"),
        pytest.param("\n", id="newline"),
        pytest.param("a", id="one part"),
        pytest.param(f"{HEADER}.e30", id="two parts"),
        pytest.param(f"{HEADER}.e30.e30.e30", id="four parts"),
        pytest.param(f"{HEADER}.e30.e30.e30.e30", id="five parts, an encrypted token"),
        pytest.param(f"{HEADER}.e30.AAAA.", id="dot at the end"),
        pytest.param("..", id="only dots"),
        pytest.param(f"{HEADER}.e30.", id="no signature"),
        pytest.param(".e30.AAAA", id="no header"),
        pytest.param(f"{HEADER}..AAAA", id="detached payload"),
        pytest.param("ключ.e30.e30", id="not ASCII"),
        pytest.param("\ud800.e30.e30", id="lone surrogate"),
    ],
)
def test_text_that_is_no_token(text: str) -> None:
    """
    What is not three parts of ASCII is malformed, and nothing is raised.
    """
    assert Reason.MALFORMED_TOKEN == reason(tokens.peek(Token(text)))


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
        ("ZXlKaGJHY2lPaUpTVXpJMU5pSjk", "not three parts: it looks like base64 of a token"),
    ],
)
def test_what_is_wrong_with_a_text_is_told(sent: str, detail: str) -> None:
    """
    What clients commonly send beside or instead of their token is malformed, and the detail says what it is.
    """
    outcome = tokens.peek(Token(sent.format(Issuer().token())))

    assert isinstance(outcome, Deny)
    assert Reason.MALFORMED_TOKEN == outcome.reason
    assert outcome.detail.startswith(detail)


def test_unused_bits_are_no_room_for_another_spelling() -> None:
    """
    The last character of a signature has bits that mean nothing: set, the token is another text and is refused.
    """
    token = Issuer().token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spelt = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]
    unverified = tokens.peek(Token(spelt))

    assert isinstance(unverified, Unverified)
    assert Reason.BAD_SIGNATURE == reason(tokens.verify(unverified, public(issuer_key())))


@pytest.mark.parametrize("spoil", ["{}=", "{}\n", " {}", "{}+", "{}/", "{}A\x00"])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_each_part_has_one_spelling(part: int, spoil: str) -> None:
    """
    Padding, line breaks and the other base64 alphabet are refused in every part, also under a good signature.
    """
    key = issuer_key("ES256")
    parts = Issuer(keys=[key]).token().split(".")
    parts[part] = spoil.format(parts[part])
    if part != 2:
        parts[2] = b64(key.raw_signature(f"{parts[0]}.{parts[1]}".encode()))

    outcome: object = tokens.peek(Token(".".join(parts)))
    if isinstance(outcome, Unverified):
        outcome = tokens.verify(outcome, public(key))

    assert reason(outcome) in (Reason.MALFORMED_TOKEN, Reason.BAD_SIGNATURE)


@pytest.mark.parametrize("header", [b"", b"[]", b'"x"', b"null", b"1", b"{", b'{"alg":NaN}', b"\xff"])
def test_header_that_is_no_object(header: bytes) -> None:
    """
    A header that is not a JSON object makes a token malformed.
    """
    assert Reason.MALFORMED_TOKEN == reason(tokens.peek(headed(header)))


@pytest.mark.parametrize(
    "alg",
    ["none", "None", "nOnE", "", "HS256", "HS512", "RS384", "RS512", "PS256", "PS384", "EdDSA", "ML-DSA-44", "rs256"],
)
def test_other_algorithms(alg: str) -> None:
    """
    Any algorithm but Kubernetes' four is unsupported, in whatever case it is spelled.
    """
    assert Reason.UNSUPPORTED_ALGORITHM == reason(tokens.peek(headed(compact({"alg": alg, "kid": "k"}))))


@pytest.mark.parametrize("alg", [None, 1, True, ["RS256"], {"RS256": 1}])
def test_algorithm_that_is_no_text(alg: object) -> None:
    """
    An `alg` that is not a string makes a token malformed.
    """
    assert Reason.MALFORMED_TOKEN == reason(tokens.peek(headed(compact({"alg": alg, "kid": "k"}))))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"alg": "RS256"}, id="missing"),
        pytest.param({"alg": "RS256", "kid": None}, id="null"),
        pytest.param({"alg": "RS256", "kid": 7}, id="number"),
        pytest.param({"alg": "RS256", "kid": {}}, id="object"),
        pytest.param({"alg": "RS256", "kid": ""}, id="empty"),
        pytest.param({"alg": "RS256", "kid": "k" * 1025}, id="too long"),
        pytest.param({"alg": "RS256", "kid": "a\nb"}, id="control character"),
    ],
)
def test_kid_that_names_no_key(header: dict[str, object]) -> None:
    """
    A token names its key by a string of 1 to 1024 printable characters; others are refused without asking anybody.
    """
    assert Reason.MALFORMED_TOKEN == reason(tokens.peek(headed(compact(header))))


def test_longest_kid_of_an_external_signer() -> None:
    """
    A kid of 1024 characters is read: that is what kube-apiserver allows an external signer (KEP-740).
    """
    assert "k" * 1024 == peeked(f"{b64(compact({'alg': 'RS256', 'kid': 'k' * 1024}))}.e30.AAAA").kid


@pytest.mark.parametrize("members", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"crit": []}, {"crit": None}])
def test_critical_extensions(members: dict[str, object]) -> None:
    """
    A header with `crit` asks for a rule of signing that we do not know, so it is an unsupported algorithm.
    """
    header = compact({"alg": "RS256", "kid": "k", **members})

    assert Reason.UNSUPPORTED_ALGORITHM == reason(tokens.peek(headed(header)))


@pytest.mark.parametrize(
    "member",
    [
        {"typ": "JWT"},
        {"typ": "at+jwt"},
        {"typ": 7},
        {"cty": "x"},
        {"b64": False},
        {"jku": "http://169.254.169.254/"},
        {"x5u": 1},
        {"x5c": ["x"]},
        {"something": {"new": []}},
    ],
    ids=str,
)
def test_other_header_members_mean_nothing(member: dict[str, object]) -> None:
    """
    Header members beside `alg`, `kid` and `crit` change nothing, whatever they hold.
    """
    assert isinstance(verified(Issuer().token(header=member)), VerifiedClaims)


def test_token_may_not_bring_its_own_key() -> None:
    """
    A token that is signed by the key in its own `jwk` header is a bad signature under the issuer's key.
    """
    own = issuer_key("ES256", 1)
    issuer = issuer_key("ES256")
    token = Issuer().token(key=own, header={"kid": issuer.kid, "jwk": own.jwk()})

    assert Deny(Reason.BAD_SIGNATURE) == verified(token, issuer)


# --- signature --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("damage", ["flipped", "truncated", "another key", "zeros", "long", "one byte"])
def test_damaged_signature(alg: str, damage: str) -> None:
    """
    A signature that is not exactly the key's over exactly this text is bad.
    """
    key = issuer_key(alg)
    signed, _, _ = Issuer(keys=[key]).token().rpartition(".")
    good = key.raw_signature(signed.encode())
    bad = {
        "flipped": good[:-1] + bytes([good[-1] ^ 1]),
        "truncated": good[:-1],
        "another key": issuer_key(alg, 1).raw_signature(signed.encode()),
        "zeros": bytes(len(good)),
        "long": good + b"\0",
        "one byte": b"\0",
    }[damage]

    assert Deny(Reason.BAD_SIGNATURE) == verified(f"{signed}.{b64(bad)}", key)


@pytest.mark.parametrize("part", [0, 1])
def test_changed_text(part: int) -> None:
    """
    One changed claim or header member takes the proof away.
    """
    key = issuer_key()
    parts = Issuer().token().split(".")
    other = (
        {"alg": key.alg, "kid": key.kid, "x": 1} if part == 0 else {"sub": "system:serviceaccount:kube-system:admin"}
    )
    parts[part] = b64(compact(other))

    assert Deny(Reason.BAD_SIGNATURE) == verified(".".join(parts))


@pytest.mark.parametrize(("signer", "named"), [("ES256", "RS256"), ("RS256", "ES256"), ("ES256", "ES384")])
def test_key_of_another_algorithm(signer: str, named: str) -> None:
    """
    A token whose `alg` is not its key's own is refused before any arithmetic.
    """
    token = Issuer().token(key=issuer_key(signer), header={"kid": issuer_key(named).kid})

    assert Reason.UNSUPPORTED_ALGORITHM == reason(verified(token, issuer_key(named)))


def test_public_key_is_no_shared_secret() -> None:
    """
    A token that is HMACed with the public key's text is an unsupported algorithm (CVE-2026-48526 and its kin).
    """
    key = issuer_key()
    header = compact({"alg": "HS256", "kid": key.kid})

    assert Reason.UNSUPPORTED_ALGORITHM == reason(tokens.peek(headed(header)))


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


# --- claims -----------------------------------------------------------------------------------------------------------


NO_NUMBERS: list[object] = [1.0, 1.5, "1", True, None, [], -1, 2**63, 2**64, 1e300]
WRONG: list[tuple[str, list[object]]] = [
    ("exp", NO_NUMBERS),
    ("nbf", NO_NUMBERS),
    ("iat", NO_NUMBERS),
    ("iss", [1, None, [ISSUER], {}]),
    ("aud", [1, None, {}, [1], [["nats"]], True]),
    ("sub", [1, None, []]),
    ("jti", [1]),
    ("kubernetes.io", ["x", [], None, {"namespace": 1}, {"serviceaccount": "x"}, {"pod": []}, {"warnafter": "1"}]),
    ("kubernetes.io", [{"serviceaccount": {"name": 1}}, {"serviceaccount": {"uid": ["x"]}}]),
]


@pytest.mark.parametrize("claims", [{name: value} for name, values in WRONG for value in values], ids=str)
def test_claim_of_a_wrong_type(claims: dict[str, object]) -> None:
    """
    A claim of another type than Kubernetes writes is refused, never converted.
    """
    key = issuer_key("ES256")

    assert Reason.BAD_CLAIMS == reason(verified(Issuer(keys=[key]).token(claims=claims), key))


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\x00", id="zero byte"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"x"', id="string"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"exp":NaN}', id="NaN"),
        pytest.param(b'{"x":Infinity}', id="Infinity in an unknown claim"),
        pytest.param(b'{"exp":' + b"9" * 5_000 + b"}", id="huge integer"),
        pytest.param(b'{"iss":"\xff"}', id="invalid UTF-8"),
        pytest.param(b'{"iss":"\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"iss":"x"} ,', id="trailing characters"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param(b'{"kubernetes.io":' + DEEP + b"}", id="deep array for an object"),
        pytest.param(b'{"exp":' * 1_500 + b"1" + b"}" * 1_500, id="deep object for a number"),
    ],
)
def test_payload_that_is_no_claim_set(payload: bytes) -> None:
    """
    Signed bytes that are not a JSON object, or hold a claim of another shape, are bad claims, and nothing is raised.
    """
    assert Reason.BAD_CLAIMS == reason(verified(with_payload(payload), issuer_key("ES256")))


def test_depth_raises_nothing() -> None:
    """
    As deep a nesting as fits into a token, where it would be ignored, is refused or ignored; which of the two is
    for the interpreter's own bound on recursion to say, and Python 3.11 refuses.
    """
    key = issuer_key("ES256")
    header = b'{"alg":"ES256","kid":"k","x":' + DEEP + b"}"

    assert isinstance(tokens.peek(Token(f"{b64(header)}.e30.AAAA")), Unverified | Deny)
    assert isinstance(verified(with_payload(b'{"x":' + DEEP + b"}"), key), VerifiedClaims | Deny)


def test_absent_claims_are_left_to_the_issuers() -> None:
    """
    A signed empty object verifies: what is missing has its own reason later.
    """
    assert VerifiedClaims() == verified(with_payload(b"{}"), issuer_key("ES256"))


def test_unknown_claims_are_ignored() -> None:
    """
    Claims that later releases of Kubernetes add, at either level, change nothing.
    """
    key = issuer_key("ES256")
    kubernetes = {**Issuer().claims()["kubernetes.io"], "node": {"name": "n"}, "attestations": [{"a": 1}]}
    plain = verified(Issuer(keys=[key]).token(), key)

    assert plain == verified(Issuer(keys=[key]).token(claims={"kubernetes.io": kubernetes, "new": {"x": [1.5]}}), key)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (VerifiedClaims(), ()),
        (VerifiedClaims(aud="nats"), ("nats",)),
        (VerifiedClaims(aud=("a", "b")), ("a", "b")),
        (VerifiedClaims(aud=()), ()),
    ],
    ids=["missing", "bare", "array", "empty array"],
)
def test_audiences(claims: VerifiedClaims, expected: tuple[str, ...]) -> None:
    """
    Both spellings of `aud` read as a tuple (RFC 7519, 4.1.3).
    """
    assert expected == claims.audiences


# --- nothing is raised, nothing is shown ------------------------------------------------------------------------------

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
    """
    Any text is read or refused, never an exception.
    """
    outcome: object = tokens.peek(Token(text))
    if isinstance(outcome, Unverified):
        outcome = tokens.verify(outcome, public(issuer_key("ES256")))

    assert isinstance(outcome, Deny)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200) | members.map(lambda value: json.dumps(value).encode()))
def test_no_signed_payload_raises(payload: bytes) -> None:
    """
    Any payload under a good signature gives claims or a Deny, never an exception.
    """
    outcome = verified(with_payload(payload or b"{}"), issuer_key("ES256"))

    assert isinstance(outcome, VerifiedClaims) or outcome.reason in (Reason.BAD_CLAIMS, Reason.MALFORMED_TOKEN)


def test_token_is_never_shown() -> None:
    """
    Neither an opened token nor a refusal shows any part of the token's text.
    """
    text = Issuer().token()

    assert not any(part in repr(peeked(text)) for part in text.split("."))
    assert not any(part in repr(verified(text, issuer_key("RS256", 1))) for part in text.split("."))


def test_key_is_never_shown() -> None:
    """
    A key's repr has its name and algorithm, and no joserfc object.
    """
    key = issuer_key("ES256")

    assert "ECKey" not in repr(public(key))
    assert not public(key).key.is_private
