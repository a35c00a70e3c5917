"""Sealed messages: the known box, and every box that does not open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.nats import nkeys, xkey
from nats_k8s_oidc_callout.errors import BadBox, BadKey

SENDER = xkey.parse_curve_key("SXAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC6WE")
RECIPIENT = xkey.parse_curve_key("SXACCIRDEQSSMJZIFEVCWLBNFYXTAMJSGM2DKNRXHA4TUOZ4HU7D6QD2VY")
NONCE = bytes(range(24))
SEALED = bytes.fromhex(
    "786b7631000102030405060708090a0b0c0d0e0f1011121314151617b3468579e761630041eaa57a9ff9de727a90b73535"
)


def test_known_box() -> None:
    """Sealing and opening agree with the vector that real servers accepted."""
    assert SEALED == SENDER.seal(RECIPIENT.public, NONCE, b"hello")
    assert b"hello" == RECIPIENT.open(SENDER.public, SEALED)


def test_public_halves() -> None:
    """The public keys are the vectors' own."""
    assert "XAD2G7F4CQQJHSFXKXOBWEHINS2CMN2K2FVKQU7NBPP4BMVYNUOHZWPX" == SENDER.public
    assert "XBMGTL7UKBKJOMWLVLWV4XPZWMFG3IY4WDSXIK5NLLKKDJ3I6GTHXST6" == RECIPIENT.public


@given(message=st.binary(max_size=300), nonce=st.binary(min_size=24, max_size=24))
def test_round_trip(message: bytes, nonce: bytes) -> None:
    """What one seals the other opens."""
    assert message == RECIPIENT.open(SENDER.public, SENDER.seal(RECIPIENT.public, nonce, message))


@pytest.mark.parametrize(
    ("sealed", "theirs"),
    [
        pytest.param(b"xkv2" + SEALED[4:], SENDER.public, id="other magic"),
        pytest.param(SEALED[:-1], SENDER.public, id="truncated"),
        pytest.param(SEALED[:30], SENDER.public, id="only a head"),
        pytest.param(SEALED[:-1] + b"\x00", SENDER.public, id="flipped"),
        pytest.param(SEALED, RECIPIENT.public, id="another sender"),
        pytest.param(SEALED, "", id="no sender"),
        pytest.param(SEALED, "XNONSENSE", id="sender that is no key"),
    ],
)
def test_boxes_that_do_not_open(sealed: bytes, theirs: str) -> None:
    """A box that is not for us, or not whole, is BadBox."""
    with pytest.raises(BadBox):
        RECIPIENT.open(theirs, sealed)


@given(sealed=st.binary(max_size=200), theirs=st.one_of(st.just(SENDER.public), st.text(max_size=60)))
def test_any_bytes_are_refused(sealed: bytes, theirs: str) -> None:
    """Whatever nobody sealed is BadBox, never another exception."""
    with pytest.raises(BadBox):
        RECIPIENT.open(theirs, b"xkv1" + sealed)


def test_all_zero_sender_key_is_refused() -> None:
    """A public key of low order, with which anybody could guess the shared secret, opens nothing."""
    with pytest.raises(BadBox):
        RECIPIENT.open(nkeys.encode_public(nkeys.Kind.CURVE, bytes(32)), SEALED)


def test_signing_seed_is_no_curve_key() -> None:
    """An account seed where a curve seed belongs is named as such."""
    with pytest.raises(BadKey, match="account seed SA…"):
        xkey.parse_curve_key("SAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IFO3A")


def test_secret_has_no_repr() -> None:
    """A curve key prints its public half only."""
    assert f"CurveKey({SENDER.public})" == repr(SENDER)
