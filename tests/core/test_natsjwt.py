"""NATS' own JWTs and creds files: what is written, and everything that is not read."""

import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.nats import natsjwt, nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import BadKey, BadToken

ACCOUNT = SigningKey(Kind.ACCOUNT, bytes([1] * 32))
USER = SigningKey(Kind.USER, bytes([2] * 32))
USER_SEED = nkeys.encode_seed(Kind.USER, bytes([2] * 32))


class Claims(msgspec.Struct):
    iss: str
    sub: str = ""


DECODER = reader(Claims)


def b64(text: str) -> bytes:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=")


def signed(head: bytes, body: bytes, key: SigningKey = ACCOUNT) -> bytes:
    return head + b"." + body + b"." + base64url.encode(key.sign(head + b"." + body))


HEAD = b64('{"typ":"JWT","alg":"ed25519-nkey"}')
BODY = b64(json.dumps({"iss": ACCOUNT.public, "sub": "x"}))


def test_header_is_the_one_that_servers_write() -> None:
    """A JWT of ours starts with exactly the header that nats-server writes."""
    assert HEAD == natsjwt.sign(b"{}", ACCOUNT).split(b".")[0]


def test_signed_claims_are_read_back() -> None:
    """What we sign verifies by the key in its own `iss`."""
    token = natsjwt.sign(json.dumps({"iss": ACCOUNT.public, "sub": "x"}).encode(), ACCOUNT)

    assert Claims(ACCOUNT.public, "x") == natsjwt.verify(token, Kind.ACCOUNT, DECODER)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param('{"alg":"ed25519-nkey","typ":"JWT"}', id="other order"),
        pytest.param('{"typ":"jwt","alg":"ed25519-nkey","x":1}', id="lower case and an extra member"),
    ],
)
def test_other_spellings_of_the_header(head: str) -> None:
    """The header may be spelled as servers of other versions spell it."""
    assert ACCOUNT.public == natsjwt.verify(signed(b64(head), BODY), Kind.ACCOUNT, DECODER).iss


@pytest.mark.parametrize(
    ("token", "words"),
    [
        pytest.param(b"", "three parts", id="empty"),
        pytest.param(b"a.b", "three parts", id="two parts"),
        pytest.param(b"a.b.c.d", "three parts", id="four parts"),
        pytest.param(b"." * (natsjwt.MAX_BYTES + 1), "three parts", id="huge"),
        pytest.param(signed(b64('{"typ":"JWT","alg":"none"}'), BODY), "ed25519", id="alg none"),
        pytest.param(signed(b64('{"typ":"JWT","alg":"EdDSA"}'), BODY), "ed25519", id="alg EdDSA"),
        pytest.param(signed(b64('{"alg":"ed25519-nkey"}'), BODY), "header", id="no typ"),
        pytest.param(signed(b64("[]"), BODY), "header", id="header is a list"),
        pytest.param(signed(base64url.encode(b'{"typ":"\xff","alg":"x"}'), BODY), "header", id="header is no UTF-8"),
        pytest.param(signed(HEAD, base64url.encode(b'{"iss":"\xff"}')), "claims", id="iss is no UTF-8"),
        pytest.param(signed(HEAD, BODY) + b"=", "base64url", id="padding"),
        pytest.param(signed(HEAD, BODY + b"\n"), "base64url", id="newline"),
        pytest.param(signed(HEAD, BODY)[:-4] + b"AAAA", "signature", id="flipped signature"),
        pytest.param(signed(HEAD, BODY, USER), "signature", id="other signer"),
        pytest.param(
            signed(HEAD, b64(json.dumps({"iss": ACCOUNT.public, "sub": 1})), USER),
            "signature",
            id="other signer and a wrong type: claims are read after the signature",
        ),
        pytest.param(signed(HEAD, b64('{"iss":"A"}')), "issuer is not the 56", id="iss that is no key"),
        pytest.param(signed(HEAD, b64(json.dumps({"iss": USER.public})), USER), "issuer is no account", id="user key"),
        pytest.param(signed(HEAD, b64(json.dumps({"iss": ACCOUNT.public, "sub": 1}))), "fit", id="wrong type"),
        pytest.param(signed(HEAD, b64("[" * 20000)), "fit", id="deep nesting"),
        pytest.param(signed(HEAD, b64("")), "fit", id="empty payload"),
    ],
)
def test_refused_tokens(token: bytes, words: str) -> None:
    """A JWT that is not whole, not signed or not of the wanted shape is BadToken."""
    with pytest.raises(BadToken, match=words):
        natsjwt.verify(token, Kind.ACCOUNT, DECODER)


@given(st.one_of(st.binary(max_size=200), st.lists(st.binary(max_size=60), min_size=3, max_size=3).map(b".".join)))
def test_any_bytes_are_refused(token: bytes) -> None:
    """Whatever nobody signed is BadToken, never another exception."""
    with pytest.raises(BadToken):
        natsjwt.verify(token, Kind.ACCOUNT, DECODER)


def creds(jwt: str, seed: str) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def user_jwt(**claims: object) -> str:
    whole = {"iss": ACCOUNT.public, "sub": USER.public, "nats": {"type": "user", "version": 2}, **claims}
    return natsjwt.sign(json.dumps(whole).encode(), ACCOUNT).decode()


def test_creds_of_an_account() -> None:
    """A creds file gives the login, its account and when it ends."""
    read = natsjwt.parse_creds(creds(user_jwt(exp=1_900_000_000), USER_SEED))

    assert (USER, ACCOUNT.public, 1_900_000_000) == (read.key, read.account, read.expires_at)


def test_creds_by_a_signing_key() -> None:
    """When a signing key signed the user, the account is in `issuer_account`."""
    account = SigningKey(Kind.ACCOUNT, bytes([9] * 32)).public
    read = natsjwt.parse_creds(creds(user_jwt(nats={"issuer_account": account}), USER_SEED))

    assert (account, None) == (read.account, read.expires_at)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "not a creds file", id="empty"),
        pytest.param(USER_SEED, "not a creds file", id="a bare seed"),
        pytest.param(creds(user_jwt(), nkeys.encode_seed(Kind.ACCOUNT, bytes(32))), "account seed", id="account seed"),
        pytest.param(creds(user_jwt(), nkeys.encode_seed(Kind.USER, bytes(32))), "belong", id="another's seed"),
        pytest.param(creds(user_jwt()[:-5] + "AAAAA", USER_SEED), "signature", id="forged"),
        pytest.param(creds("eyJ.x.y", USER_SEED), "JWT that", id="garbage JWT"),
    ],
)
def test_refused_creds(text: str, words: str) -> None:
    """A creds file that cannot work is described without quoting what is in it."""
    with pytest.raises(BadKey, match=words) as raised:
        natsjwt.parse_creds(text)

    assert USER_SEED[4:20] not in str(raised.value)


def test_creds_have_no_repr() -> None:
    """Printing a login shows neither its JWT nor its seed."""
    shown = repr(natsjwt.parse_creds(creds(user_jwt(), USER_SEED)))

    assert USER_SEED not in shown
    assert "eyJ" not in shown
