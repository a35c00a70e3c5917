"""Key sets: which keys are usable, which are left out and why, and how long the good ones last."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.identity import keyset
from nats_k8s_oidc_callout.core.identity.keyset import KeySet, ParsedKeys
from nats_k8s_oidc_callout.core.identity.tokens import VerifyingKey
from nats_k8s_oidc_callout.errors import BadKeySet
from tests.fakes.issuer import CURVES, IssuerKey, b64, compact, issuer_key, jwks

RSA = issuer_key("RS256")
EC = issuer_key("ES256")


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8 or 1, "big"))


def one(jwk: dict[str, object]) -> ParsedKeys:
    """Parse a set of this JWK beside a good one, which must survive."""
    parsed = keyset.parse_jwks(jwks(jwk, RSA))
    assert RSA.kid in parsed.keys
    return parsed


def keys(*wanted: IssuerKey) -> dict[str, VerifyingKey]:
    return keyset.parse_jwks(jwks(*wanted)).keys


# --- what is usable ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["RS256", *CURVES])
def test_key_of_each_kind(alg: str) -> None:
    """A key that Kubernetes may sign with is usable, with its one algorithm, under its kid."""
    key = issuer_key(alg)

    assert {key.kid: alg} == {kid: found.alg for kid, found in keys(key).items()}


@pytest.mark.parametrize("key", [RSA, EC, issuer_key("ES384"), issuer_key("ES512")], ids=lambda key: key.alg)
def test_alg_is_optional(key: IssuerKey) -> None:
    """Without `alg`, `use` and `key_ops` an RSA key is for RS256 and a curve's key for the curve's own algorithm."""
    parsed = keyset.parse_jwks(jwks(key.jwk(alg=None, use=None)))

    assert key.alg == parsed.keys[key.kid].alg


@pytest.mark.parametrize(
    "members",
    [
        {"key_ops": ["verify"]},
        {"key_ops": ["sign", "verify"], "use": None},
        {"x5c": ["not a certificate"], "x5t": 7, "x5u": "no url", "exp": 1, "new": {"a": []}},
    ],
    ids=str,
)
def test_members_that_change_nothing(members: dict[str, object]) -> None:
    """Members that do not say what the key is, broken ones too, do not spoil it."""
    assert keys(EC) == keyset.parse_jwks(jwks(EC.jwk(**members))).keys


# --- what is not ------------------------------------------------------------------------------------------------------

BAD_KEYS = [
    pytest.param(issuer_key("HS256").jwk(), "kty 'oct' is not supported", id="symmetric"),
    pytest.param({"kty": "AKP", "alg": "ML-DSA-44", "kid": "k", "pub": "AAAA"}, "kty 'AKP' is not", id="ML-DSA"),
    pytest.param({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": b64(bytes(32))}, "kty 'OKP' is not", id="Ed25519"),
    pytest.param({"kty": "rsa", "kid": "k"}, "kty 'rsa' is not", id="kty in another case"),
    pytest.param(EC.jwk(kty=None), "is not a JWK", id="no kty"),
    pytest.param(EC.jwk(kty=7), "is not a JWK", id="kty number"),
    pytest.param(EC.jwk(kid=None), "has no usable kid", id="no kid"),
    pytest.param(EC.jwk(kid=7), "is not a JWK", id="kid number"),
    pytest.param(EC.jwk(kid=""), "has no usable kid", id="kid empty"),
    pytest.param(EC.jwk(kid="k" * 1025), "has no usable kid", id="kid too long"),
    pytest.param(EC.jwk(kid="a\nb"), "has no usable kid", id="kid with a line break"),
    pytest.param(EC.jwk(use="enc"), "use 'enc' is not sig", id="use enc"),
    pytest.param(EC.jwk(use="SIG"), "use 'SIG' is not sig", id="use in another case"),
    pytest.param(EC.jwk(use=["sig"]), "is not a JWK", id="use list"),
    pytest.param(EC.jwk(key_ops=["sign"]), "key_ops has no verify", id="key_ops without verify"),
    pytest.param(EC.jwk(key_ops=[]), "key_ops has no verify", id="key_ops empty"),
    pytest.param(EC.jwk(key_ops="verify"), "is not a JWK", id="key_ops text"),
    pytest.param(EC.private_jwk(), "is a private key", id="private EC"),
    pytest.param(issuer_key("RS256", 1).private_jwk(), "is a private key", id="private RSA"),
    pytest.param(EC.jwk(k="AAAA"), "is a private key", id="EC with a secret"),
    pytest.param(EC.jwk(alg="RS256"), "alg 'RS256' is not ES256", id="EC for RS256"),
    pytest.param(EC.jwk(alg="ES384"), "alg 'ES384' is not ES256", id="curve of another alg"),
    pytest.param(EC.jwk(alg="HS256"), "alg 'HS256' is not ES256", id="EC for HS256"),
    pytest.param(issuer_key("RS256", 1).jwk(alg="RS512"), "alg 'RS512' is not RS256", id="RSA for RS512"),
    pytest.param(issuer_key("RS256", 1).jwk(alg="PS256"), "alg 'PS256' is not RS256", id="RSA for PS256"),
    pytest.param(EC.jwk(alg="none"), "alg 'none' is not ES256", id="alg none"),
    pytest.param(EC.jwk(crv="P-521"), "alg 'ES256' is not ES512", id="wrong curve"),
    pytest.param(EC.jwk(crv="P-384", alg=None), "not a point of its curve", id="point of another curve"),
    pytest.param(EC.jwk(crv="secp256k1"), "crv 'secp256k1' is not supported", id="unknown curve"),
    pytest.param(EC.jwk(crv=None), "crv '' is not supported", id="no curve"),
    pytest.param(EC.jwk(x=b64(bytes(32))), "not a point of its curve", id="off curve"),
    pytest.param(EC.jwk(x=""), "not a point of its curve", id="empty coordinate"),
    pytest.param(EC.jwk(x="!"), "a number is not base64url", id="coordinate no base64"),
    pytest.param(EC.jwk(x="ä"), "a number is not base64url", id="coordinate not ASCII"),
    pytest.param(EC.jwk(y=None), "not a point of its curve", id="no y"),
    pytest.param(EC.jwk(x=7), "is not a JWK", id="coordinate number"),
    pytest.param(RSA.jwk(kid="k", n="AAAA"), "RSA of 0 bits", id="RSA zero"),
    pytest.param(RSA.jwk(kid="k", n=None), "RSA of 0 bits", id="no modulus"),
    pytest.param(RSA.jwk(kid="k", n=number(2**1023 + 1)), "RSA of 1024 bits", id="RSA 1024"),
    pytest.param(RSA.jwk(kid="k", n=number(2**2046 + 1)), "RSA of 2047 bits", id="RSA 2047"),
    pytest.param(RSA.jwk(kid="k", n=number(2**8192 + 1)), "RSA of 8193 bits", id="RSA 8193"),
    pytest.param(RSA.jwk(kid="k", n=number(2**2047)), "RSA numbers are unsound", id="even modulus"),
    pytest.param(RSA.jwk(kid="k", e=number(0)), "RSA numbers are unsound", id="exponent 0"),
    pytest.param(RSA.jwk(kid="k", e=number(1)), "RSA numbers are unsound", id="exponent 1"),
    pytest.param(RSA.jwk(kid="k", e=number(2)), "RSA numbers are unsound", id="even exponent"),
    pytest.param(RSA.jwk(kid="k", e=number(2**65 + 1)), "RSA numbers are unsound", id="huge exponent"),
    pytest.param(RSA.jwk(kid="k", e=None), "RSA numbers are unsound", id="no exponent"),
]


@pytest.mark.parametrize(("jwk", "why"), BAD_KEYS)
def test_bad_key_is_left_out(jwk: dict[str, object], why: str) -> None:
    """A key that may not verify tokens is left out with a reason, and the good key beside it stays."""
    parsed = one(jwk)

    assert [RSA.kid] == list(parsed.keys)
    assert why in " ".join(parsed.skipped)


@pytest.mark.parametrize("entry", ["[]", '"x"', "null", "7", '{"kty":', '{"kty":"EC","kid":"\\ud800"}'])
def test_entry_that_is_no_key(entry: str) -> None:
    """An entry that is not an object is left out; one that breaks the document breaks the document."""
    body = f'{{"keys":[{entry},{json.dumps(RSA.jwk())}]}}'.encode()
    try:
        found = list(keyset.parse_jwks(body).keys)
    except BadKeySet:
        found = []

    assert (found == []) is (entry in ('{"kty":', '{"kty":"EC","kid":"\\ud800"}'))


def test_reasons_hold_no_key_material() -> None:
    """No reason quotes a key's numbers, and names are escaped and cut."""
    private = issuer_key("RS256", 1).private_jwk()
    long = EC.jwk(kid="x" * 200, use="\x1b[31m" + "y" * 200)
    parsed = keyset.parse_jwks(jwks(private, long, RSA))

    assert not any(str(private[member]) in reason for reason in parsed.skipped for member in ("n", "d", "p"))
    assert all(len(reason) < 250 and reason.isprintable() for reason in parsed.skipped)


# --- a name for two keys ----------------------------------------------------------------------------------------------


def test_kid_of_two_keys_is_never_usable() -> None:
    """A kid that stands for two different keys names neither, in any order and beside a third."""
    other = issuer_key("ES256", 1).jwk(kid=EC.kid)
    for order in ([EC.jwk(), other], [other, EC.jwk()], [EC.jwk(), other, EC.jwk()]):
        parsed = keyset.parse_jwks(jwks(*order, RSA))
        assert [RSA.kid] == list(parsed.keys)
        assert "stands for two different keys" in parsed.skipped[-1]


def test_kid_of_two_kinds_is_never_usable() -> None:
    """A kid that stands for an RSA key and a curve's key names neither."""
    with pytest.raises(BadKeySet, match="holds no usable key"):
        keyset.parse_jwks(jwks(EC.jwk(kid="k"), RSA.jwk(kid="k")))


def test_same_key_twice_is_fine() -> None:
    """One key listed twice under one kid, with or without its `alg` and in another spelling, is that key."""
    again = RSA.jwk(alg=None, use=None, n=b64(b"\0" + RSA_N))

    assert [RSA.kid] == list(keyset.parse_jwks(jwks(RSA, again, RSA)).keys)


RSA_N = keyset.parse_jwks(jwks(RSA)).keys[RSA.kid].numbers[0].to_bytes(256, "big")


def test_unusable_key_does_not_take_a_name() -> None:
    """An unusable key under a good key's kid changes nothing."""
    assert keys(EC) == keyset.parse_jwks(jwks(EC, issuer_key("HS256").jwk(kid=EC.kid))).keys


# --- what is no key set -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="HTML"),
        pytest.param(b"{}", id="empty object"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"keys":null}', id="keys null"),
        pytest.param(b'{"keys":{}}', id="keys object"),
        pytest.param(b'{"keys":[]}', id="no keys"),
        pytest.param(jwks(RSA)[:-40], id="half a body"),
        pytest.param(jwks(issuer_key("HS256")), id="only a symmetric key"),
        pytest.param(b'{"keys":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}", id="deep"),
        pytest.param(b'{"keys":["\xff"]}', id="invalid UTF-8"),
        pytest.param(jwks(RSA) + b" " * keyset.MAX_BYTES, id="over 1 MiB"),
        pytest.param(jwks(*[RSA] * 101), id="101 keys"),
        pytest.param(b"\xef\xbb\xbf" + jwks(RSA), id="byte order mark"),
    ],
)
def test_body_that_is_no_key_set(body: bytes) -> None:
    """A body without a usable key, or over its bounds, is refused whole."""
    with pytest.raises(BadKeySet):
        keyset.parse_jwks(body)


def test_hundred_keys_are_read() -> None:
    """A set of 100 keys is within bounds."""
    assert 1 == len(keyset.parse_jwks(jwks(*[RSA] * 100)).keys)


@settings(max_examples=30, deadline=None)
@given(
    st.binary(max_size=100)
    | st.lists(
        st.dictionaries(
            st.sampled_from(["kty", "kid", "alg", "use", "key_ops", "n", "e", "crv", "x", "y", "d"]),
            st.sampled_from(["RSA", "EC", "AQAB", "P-256", "sig", "k", "", RSA.jwk()["n"]]) | st.text() | st.integers(),
        ),
        max_size=3,
    ).map(lambda entries: compact({"keys": entries}))
)
def test_no_body_raises_anything_else(body: bytes) -> None:
    """Any bytes are a key set or a BadKeySet."""
    try:
        parsed = keyset.parse_jwks(body)
    except BadKeySet:
        return
    assert parsed.keys


# --- the keys that we hold --------------------------------------------------------------------------------------------


def test_new_key_set_has_nothing() -> None:
    """Before the first keys nothing is found, nothing is fresh and there is no age."""
    held = KeySet()

    assert (None, False, None, 0) == (held.find(RSA.kid, 0.0), held.fresh(0.0), held.age(0.0), held.generation)


def test_key_is_found_by_name() -> None:
    """A key is found under its kid only."""
    held = KeySet()
    held.replace(keys(RSA, EC), 5.0)

    assert 2 == len(held)
    assert keys(EC)[EC.kid] == held.find(EC.kid, 5.0)
    assert held.find("k", 5.0) is None


def test_keys_become_stale() -> None:
    """Keys that nobody confirmed for the bound are not used from that second on."""
    held = KeySet(staleness_seconds=100.0)
    held.replace(keys(RSA), 5.0)

    assert held.find(RSA.kid, 104.9) is not None
    assert held.find(RSA.kid, 105.0) is None
    assert (False, 100.0) == (held.fresh(105.0), held.age(105.0))


def test_confirmed_keys_are_fresh_again() -> None:
    """The same keys again begin a new age and no new generation."""
    held = KeySet(staleness_seconds=100.0)
    held.replace(keys(RSA), 5.0)

    assert not held.replace(keys(RSA), 200.0)
    assert (True, 1) == (held.fresh(200.0), held.generation)


def test_keys_of_a_file_do_not_age() -> None:
    """Without a bound keys are never stale."""
    held = KeySet(staleness_seconds=None)
    held.replace(keys(RSA), 5.0)

    assert held.find(RSA.kid, 1e9) is not None


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(keys(RSA, EC), id="added"),
        pytest.param(keys(EC), id="other"),
        pytest.param(keyset.parse_jwks(jwks(EC.jwk(kid=RSA.kid))).keys, id="other key, same name"),
    ],
)
def test_each_change_is_a_generation(after: dict[str, VerifyingKey]) -> None:
    """Any change of content is a new generation, a new key under an old name too."""
    held = KeySet()
    held.replace(keys(RSA), 0.0)

    assert held.replace(after, 1.0)
    assert 2 == held.generation


def test_removed_key_is_gone() -> None:
    """A key that the issuer no longer lists is not found any more."""
    held = KeySet()
    held.replace(keys(RSA, EC), 0.0)
    held.replace(keys(EC), 1.0)

    assert held.find(RSA.kid, 1.0) is None


def test_later_changes_of_the_mapping_do_not_count() -> None:
    """What is held is what was given at the time."""
    given_keys = keys(RSA)
    held = KeySet()
    held.replace(given_keys, 0.0)
    given_keys.clear()

    assert held.find(RSA.kid, 0.0) is not None


def test_unknown_kid_may_refresh_once_a_cooldown() -> None:
    """An unknown kid may cause a fetch at once, then not before the cool-down has passed since that one began."""
    held = KeySet(cooldown_seconds=10.0)

    assert [True, False, False, True, False] == [held.may_refresh(at) for at in (3.0, 3.0, 12.9, 13.0, 14.0)]


def test_refusals_do_not_stretch_the_cooldown() -> None:
    """
    Being asked in vain does not move the time of the next fetch: else a stream of unknown kids would stop it for ever.
    """
    held = KeySet(cooldown_seconds=10.0)

    assert 11 == sum(held.may_refresh(at / 10) for at in range(1001))
