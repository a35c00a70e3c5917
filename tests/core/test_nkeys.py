"""NATS keys in text: the known pairs, and every way a text is not one."""

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.nats import nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.errors import BadKey

RAW = bytes(range(1, 33))
ACCOUNT_SEED = "SAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IFO3A"
ACCOUNT_PUBLIC = "AB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGIFW3"
USER_SEED = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ"
USER_PUBLIC = "UB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJBFE"
OPERATOR_SEED = "SOAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IHCVI"
OPERATOR_PUBLIC = "OB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGIT25"
PAIRS = [
    pytest.param(Kind.ACCOUNT, ACCOUNT_SEED, ACCOUNT_PUBLIC, id="account"),
    pytest.param(Kind.USER, USER_SEED, USER_PUBLIC, id="user"),
    pytest.param(Kind.OPERATOR, OPERATOR_SEED, OPERATOR_PUBLIC, id="operator"),
]
signing_kinds = st.sampled_from([kind for kind in Kind if kind is not Kind.CURVE])
raw_keys = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize(("kind", "seed", "public"), PAIRS)
def test_known_pairs(kind: Kind, seed: str, public: str) -> None:
    """A seed and a public key read and write as the field's other libraries do it."""
    assert (kind, RAW) == nkeys.decode_seed(seed)
    assert seed == nkeys.encode_seed(kind, RAW)
    assert public == nkeys.parse_signing_key(seed, kind).public


def test_known_signature() -> None:
    """The account key of the vectors signs "abc" to the known 64 bytes."""
    signature = nkeys.parse_signing_key(ACCOUNT_SEED, Kind.ACCOUNT).sign(b"abc")

    expected = "cdy2XwHTJVYTTKRNEwcVrbAiEJGaikfgFnc9dCtCGJXr8d89m_RHuFet7Jg_BVhVyaQmCtmh-W2kyC9QvsfOAQ=="
    assert expected == base64.urlsafe_b64encode(signature).decode()
    assert nkeys.verify(ACCOUNT_PUBLIC, Kind.ACCOUNT, b"abc", signature)


def test_user_and_account_form_of_one_seed() -> None:
    """A user's seed in account form is the account key of the same 32 bytes."""
    assert ACCOUNT_PUBLIC == nkeys.parse_signing_key(USER_SEED, Kind.USER).in_form(Kind.ACCOUNT).public


@given(kind=st.sampled_from(Kind), raw=raw_keys)
def test_seeds_round_trip(kind: Kind, raw: bytes) -> None:
    """What a seed holds is what was put in."""
    assert (kind, raw) == nkeys.decode_seed(nkeys.encode_seed(kind, raw))


@given(kind=st.sampled_from(Kind), raw=raw_keys)
def test_public_keys_round_trip(kind: Kind, raw: bytes) -> None:
    """What a public key holds is what was put in, and it starts with its kind's letter."""
    text = nkeys.encode_public(kind, raw)

    assert raw == nkeys.decode_public(text, kind)
    assert kind.letter == text[0]


@given(kind=st.sampled_from(Kind), raw=raw_keys, position=st.integers(0, 55), letter=st.sampled_from("AQZ27"))
def test_one_changed_character_is_noticed(kind: Kind, raw: bytes, position: int, letter: str) -> None:
    """No public key differs from another in one character only."""
    text = nkeys.encode_public(kind, raw)
    changed = text[:position] + letter + text[position + 1 :]
    if changed == text:
        return

    with pytest.raises(BadKey):
        nkeys.decode_public(changed, kind)


@given(
    text=st.one_of(st.text(max_size=80), st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567 _+-\n0", min_size=56, max_size=58))
)
def test_any_text_is_refused(text: str) -> None:
    """Whatever is not a key is BadKey, never another exception."""
    with pytest.raises(BadKey):
        nkeys.decode_public(text, Kind.ACCOUNT)
    with pytest.raises(BadKey):
        nkeys.decode_seed(text)


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        pytest.param(USER_SEED, "user seed SU…, but SA… is required", id="other kind"),
        pytest.param(ACCOUNT_SEED[:-1] + "B", "tail", id="tail that no encoder writes"),
        pytest.param(ACCOUNT_SEED[:-3] + "M3A", "checksum", id="checksum"),
        pytest.param(ACCOUNT_SEED[:-1], "58 characters", id="short"),
        pytest.param(ACCOUNT_SEED.lower(), "58 characters", id="lower case"),
        pytest.param("S" + ACCOUNT_SEED[1:-1] + "0", "A-Z2-7", id="foreign character"),
        pytest.param(ACCOUNT_PUBLIC + "AA", "58 characters", id="public key"),
    ],
)
def test_bad_seed_says_what_is_wrong(seed: str, words: str) -> None:
    """A seed that will not do is described without being quoted."""
    with pytest.raises(BadKey) as raised:
        nkeys.parse_signing_key(seed, Kind.ACCOUNT)

    assert words in str(raised.value)
    assert seed[8:24] not in str(raised.value)


@pytest.mark.parametrize(
    ("first", "words"),
    [(bytes([1, 0]), "is not a seed"), (bytes([144, 1]), "is not a seed"), (bytes([144, 1 << 3]), "unknown kind")],
    ids=["no S", "bits that mean nothing", "no kind"],
)
def test_a_good_checksum_makes_no_seed(first: bytes, words: str) -> None:
    """What says nothing of a kind of ours is no seed, whatever its checksum."""
    body = first + RAW
    text = base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")
    with pytest.raises(BadKey, match=words if text.startswith("S") else "of a seed"):
        nkeys.decode_seed(text)


def test_a_curve_key_signs_nothing() -> None:
    """A curve key in the place of a signing key is refused."""
    with pytest.raises(BadKey, match="cannot sign"):
        SigningKey(Kind.CURVE, RAW)


def test_public_key_of_another_kind() -> None:
    """A user's public key is no account key."""
    with pytest.raises(BadKey, match="no account key"):
        nkeys.decode_public(USER_PUBLIC, Kind.ACCOUNT)


@given(kind=signing_kinds, raw=raw_keys, message=st.binary(max_size=200))
def test_signatures_verify_for_their_message_only(kind: Kind, raw: bytes, message: bytes) -> None:
    """A signature holds for its message and no other."""
    key = SigningKey(kind, raw)
    signature = key.sign(message)

    assert nkeys.verify(key.public, kind, message, signature)
    assert not nkeys.verify(key.public, kind, message + b"x", signature)


@pytest.mark.parametrize("signature", [b"", b"x" * 63, b"x" * 64, b"x" * 65], ids=len)
def test_odd_signatures_do_not_verify(signature: bytes) -> None:
    """A signature of any other length or content is simply wrong."""
    assert not nkeys.verify(ACCOUNT_PUBLIC, Kind.ACCOUNT, b"abc", signature)


def test_secret_has_no_repr() -> None:
    """A key prints its public half only."""
    key = nkeys.parse_signing_key(ACCOUNT_SEED, Kind.ACCOUNT)

    assert f"SigningKey({ACCOUNT_PUBLIC})" == repr(key)
    assert {key} == {key, SigningKey(Kind.ACCOUNT, RAW)}
