"""What files hold, read at the start and at each change."""

import msgspec
import pytest

from nats_k8s_oidc_callout import settings
from nats_k8s_oidc_callout.core.nats import natsjwt, nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from nats_k8s_oidc_callout.errors import BadKey
from tests.settings.whole import (
    ACCOUNT,
    ACCOUNT_SEED,
    BAD_CHECKSUM,
    CALLOUT,
    CURVE_SEED,
    OTHER_ACCOUNT_SEED,
    USER,
    USER_SEED,
    creds,
)


def test_signing_keys_in_their_order() -> None:
    """One seed a line, in the order written, each once; comments and empty lines do not count."""
    data = f"# new\n{OTHER_ACCOUNT_SEED}\n\n  {ACCOUNT_SEED}\r\n{ACCOUNT_SEED}\n".encode()

    assert (CALLOUT, ACCOUNT) == settings.read_signing_keys(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b"", "holds no seed", id="empty"),
        pytest.param(b"# nothing\n", "holds no seed", id="comment"),
        pytest.param(b"\xff", "is not text", id="bytes"),
        pytest.param(
            f"{ACCOUNT_SEED}\n{USER_SEED}".encode(), "line 2 is the user seed SU…, but SA… is required", id="user"
        ),
        pytest.param(CURVE_SEED.encode(), "line 1 is the curve seed SX…, but SA… is required", id="curve"),
        pytest.param(ACCOUNT.public.encode(), "line 1 is not the 58 characters of a seed (S…)", id="public"),
        pytest.param(ACCOUNT_SEED[:-2].encode() + b"AA", "line 1 has a wrong checksum", id="checksum"),
    ],
)
def test_signing_keys_refused(data: bytes, text: str) -> None:
    """A seed of another kind is told by both kinds, never by itself."""
    with pytest.raises(BadKey) as caught:
        settings.read_signing_keys(data)

    assert text == str(caught.value)


@pytest.mark.parametrize("seed", [ACCOUNT_SEED, OTHER_ACCOUNT_SEED], ids=["own key", "signing key"])
def test_account_signer(seed: str) -> None:
    """Account and seed stand in two lines, in either order; comments do not count."""
    lines = ["# nsc", ACCOUNT.public, seed]
    for text in ("\n".join(lines), "\r\n".join(lines[::-1])):
        found = settings.read_account_signer(text.encode())
        assert (ACCOUNT.public, nkeys.parse_signing_key(seed, Kind.ACCOUNT)) == found


TWO_LINES = "must hold two lines: the account's public key (A…), and its seed or that of a signing key (SA…)"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        pytest.param([], "holds no seed", id="empty"),
        pytest.param([ACCOUNT_SEED], TWO_LINES, id="seed alone"),
        pytest.param([ACCOUNT.public], TWO_LINES, id="account alone"),
        pytest.param([ACCOUNT.public, ACCOUNT_SEED, OTHER_ACCOUNT_SEED], TWO_LINES, id="two seeds"),
        pytest.param([ACCOUNT.public, CALLOUT.public, ACCOUNT_SEED], TWO_LINES, id="two accounts"),
        pytest.param([BAD_CHECKSUM, ACCOUNT_SEED], "line 1 has a wrong checksum", id="account"),
        pytest.param(
            [ACCOUNT.public, USER_SEED], "line 2 is the user seed SU…, but SA… is required", id="seed of a user"
        ),
    ],
)
def test_account_signer_refused(lines: list[str], text: str) -> None:
    """What is wrong is told without quoting a line."""
    with pytest.raises(BadKey) as caught:
        settings.read_account_signer("\n".join(lines).encode())

    assert text == str(caught.value)


def test_xkeys() -> None:
    """One or two curve keys, in the order in which to try them; a third is refused."""
    seeds = [nkeys.encode_seed(Kind.CURVE, bytes([n]) * 32) for n in range(3)]
    two = settings.read_xkeys("\n".join(seeds[:2]).encode())

    assert [CurveKey(bytes(32)).public, CurveKey(b"\x01" * 32).public] == [key.public for key in two]
    with pytest.raises(BadKey, match="holds 3 seeds, at most 2"):
        settings.read_xkeys("\n".join(seeds).encode())


def test_creds() -> None:
    """A login is a creds file, or a seed alone, which has no JWT and no account."""
    whole, bare = settings.read_creds(creds()), settings.read_creds(USER_SEED.encode())

    assert (USER, CALLOUT.public) == (whole.key, whole.account)
    assert (USER, "", "") == (bare.key, bare.jwt, bare.account)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(f"{USER_SEED}\n{USER_SEED}".encode(), id="two-seeds"),
        pytest.param(creds(sub=ACCOUNT.public), id="another's-jwt"),
        pytest.param(creds().replace(b"USER NKEY", b"NKEY"), id="half"),
    ],
)
def test_creds_refused(data: bytes) -> None:
    """Anything else is no login."""
    with pytest.raises(BadKey):
        settings.read_creds(data)


def sentinel_jwt(**nats: object) -> str:
    claims = {"iss": CALLOUT.public, "sub": USER.public, "nats": nats}
    return natsjwt.sign(msgspec.json.encode(claims), CALLOUT).decode()


def test_sentinel() -> None:
    """
    A sentinel is a creds file, or its JWT alone, and says whose it is, whether it is a bearer, and what it may do.
    """
    nothing = {"pub": {"deny": [">"]}, "sub": {"deny": [">"]}}
    alone = settings.read_sentinel(sentinel_jwt(bearer_token=True, **nothing).encode())
    whole = settings.read_sentinel(creds(issuer_account=ACCOUNT.public))

    assert (None, CALLOUT.public, True, True) == (alone.key, alone.account, alone.bearer, alone.denies_all)
    assert (USER, ACCOUNT.public, False, False) == (whole.key, whole.account, whole.bearer, whole.denies_all)


@pytest.mark.parametrize(
    "nats",
    [
        pytest.param({}, id="no-permissions"),
        pytest.param({"pub": {"deny": [">"]}}, id="may-subscribe"),
        pytest.param({"pub": {"deny": [">"]}, "sub": {"deny": ["$SYS.>"]}}, id="may-subscribe-most"),
        pytest.param({"pub": {"allow": ["x"]}, "sub": {"deny": [">"]}}, id="may-publish"),
    ],
)
def test_sentinel_that_may_do_something(nats: dict[str, object]) -> None:
    """Only a deny of everything on both sides is nothing."""
    assert not settings.read_sentinel(sentinel_jwt(**nats).encode()).denies_all


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(USER_SEED.encode(), id="seed-alone"),
        pytest.param(sentinel_jwt().encode()[:-2] + b"AA", id="forged"),
        pytest.param(creds(sub=ACCOUNT.public), id="anothers-jwt"),
    ],
)
def test_sentinel_refused(data: bytes) -> None:
    """Anything else is no sentinel."""
    with pytest.raises(BadKey):
        settings.read_sentinel(data)
