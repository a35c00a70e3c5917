"""What the files hold that settings name: bytes in, keys out. For the start, and for each change of a file after it.

The functions raise BadKey, whose text follows the file's path and never quotes what it read.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from nats_k8s_oidc_callout.core.identity import keyset
from nats_k8s_oidc_callout.core.identity.own_token import claims_of
from nats_k8s_oidc_callout.core.nats import natsjwt, nkeys, xkey
from nats_k8s_oidc_callout.core.nats.natsjwt import Creds
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.signers import AccountSigner
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import BadKey, BadToken

T = TypeVar("T")

# The new key while the servers still use the old one; a third has no use, and each costs a try on every request.
_MOST_XKEYS = 2
_SPACE = re.compile(r"[\s\x00-\x1f\x7f]")
_CERTIFICATE = re.compile(rb"-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----")
_PRIVATE_KEY = re.compile(rb"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----")
_ENCRYPTED_KEY = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadKey("is not text") from None


def _seeds(data: bytes) -> list[tuple[int, str]]:
    """Return the lines that are neither empty nor comments (#), each with its number from 1."""
    lines = [(number, line.strip()) for number, line in enumerate(_text(data).splitlines(), 1)]
    seeds = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not seeds:
        raise BadKey("holds no seed")
    return seeds


def _each(data: bytes, parse: Callable[[str], T]) -> list[T]:
    """Return what each seed is; raise BadKey with the line of the first that is wrong."""
    keys = []
    for number, seed in _seeds(data):
        try:
            keys.append(parse(seed))
        except BadKey as error:
            raise BadKey(f"line {number} {error}") from None
    return keys


def read_signing_keys(data: bytes) -> tuple[SigningKey, ...]:
    """Return the account signing keys of `SA…` seeds, one a line, in their order, each once."""
    return tuple(dict.fromkeys(_each(data, lambda seed: nkeys.parse_signing_key(seed, Kind.ACCOUNT))))


def read_account_signer(data: bytes) -> AccountSigner:
    """Return the account of a line `A…` and the key of a line `SA…`, in either order."""
    accounts = [(number, line) for number, line in _seeds(data) if line.startswith("A")]
    seeds = [(number, line) for number, line in _seeds(data) if not line.startswith("A")]
    if len(accounts) != 1 or len(seeds) != 1:
        raise BadKey("must hold two lines: the account's public key (A…), and its seed or that of a signing key (SA…)")
    (number, account), (of_seed, seed) = accounts[0], seeds[0]
    try:
        nkeys.decode_public(account, Kind.ACCOUNT)
        number = of_seed
        return AccountSigner(account, nkeys.parse_signing_key(seed, Kind.ACCOUNT))
    except BadKey as error:
        raise BadKey(f"line {number} {error}") from None


def read_xkeys(data: bytes) -> tuple[CurveKey, ...]:
    """Return the one or two curve keys of `SX…` seeds, one a line, in the order in which to try them."""
    keys = {key.public: key for key in _each(data, xkey.parse_curve_key)}
    if len(keys) > _MOST_XKEYS:
        raise BadKey(f"holds {len(keys)} seeds, at most {_MOST_XKEYS} are tried")
    return tuple(keys.values())


def read_creds(data: bytes) -> Creds:
    """Return the login of a creds file, or of a bare `SU…` seed, whose `jwt` and `account` are then empty.

    Config mode logs in by the nkey alone, so there nobody should have to forge a JWT around a seed.
    """
    text = _text(data)
    if "-----" in text:
        return natsjwt.parse_creds(text)
    seeds = _seeds(data)
    if len(seeds) > 1:
        raise BadKey("is neither a creds file nor one seed (SU…)")
    return Creds("", nkeys.parse_signing_key(seeds[0][1], Kind.USER), "", "", None)


@dataclass(frozen=True, slots=True)
class Sentinel:
    """What clients present beside their token in operator mode. No repr of the JWT."""

    jwt: str = field(repr=False)
    key: SigningKey | None
    """Its key, where the file has the seed; a bearer needs none."""
    account: str
    bearer: bool
    denies_all: bool
    """It may neither publish nor subscribe anything, as a sentinel must not."""
    expires_at: int | None


class _Side(msgspec.Struct):
    allow: list[str] = []
    deny: list[str] = []


class _SentinelUser(msgspec.Struct):
    pub: _Side = msgspec.field(default_factory=_Side)
    sub: _Side = msgspec.field(default_factory=_Side)
    bearer_token: bool = False
    issuer_account: str = ""


class _SentinelClaims(msgspec.Struct):
    iss: str
    nats: _SentinelUser
    exp: int = 0


_sentinel_claims = reader(_SentinelClaims)
_JWT = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+", re.ASCII)


def read_sentinel(data: bytes) -> Sentinel:
    """Return the sentinel in a creds file, or of a JWT alone."""
    text = _text(data)
    found = _JWT.search(text)
    if found is None:
        raise BadKey("holds no user JWT")
    key = natsjwt.parse_creds(text).key if "SEED" in text else None
    try:
        claims = natsjwt.verify(found[0].encode(), Kind.ACCOUNT, _sentinel_claims)
    except BadToken as error:
        raise BadKey(f"holds a user JWT that {error}") from None
    user = claims.nats
    return Sentinel(
        jwt=found[0],
        key=key,
        account=user.issuer_account or claims.iss,
        bearer=user.bearer_token,
        denies_all=">" in user.pub.deny and ">" in user.sub.deny,
        expires_at=claims.exp or None,
    )


def check_certificates(data: bytes) -> None:
    """Say nothing when there is a PEM certificate; chains and dates are for the TLS library."""
    if not _CERTIFICATE.search(data):
        raise BadKey("holds no PEM certificate")


def check_private_key(data: bytes) -> None:
    """Say nothing when there is a PEM key that needs no passphrase: nobody is there to type one."""
    if _ENCRYPTED_KEY.search(data):
        raise BadKey("is encrypted, and there is nobody to ask for the passphrase")
    if not _PRIVATE_KEY.search(data):
        raise BadKey("holds no PEM private key")


def check_jwks(data: bytes) -> None:
    """Say nothing when there is a key to use; else raise BadKeySet."""
    keyset.parse_jwks(data)


def check_token(data: bytes) -> None:
    """Say nothing when there is something; what it is worth is for the API server to say."""
    if not data.strip():
        raise BadKey("is empty")


def check_self_test_token(data: bytes) -> None:
    """Say nothing when it reads like a token that an API server issues; whether it is good the self-test will tell."""
    if not own_issuer(data):
        raise BadKey("holds no ServiceAccount token")


def own_issuer(data: bytes) -> str:
    """Return `iss` of our own mounted token, or nothing. Not verified, so good for a default only."""
    claims = claims_of(data)
    return "" if claims is None or _SPACE.search(claims.iss) else claims.iss
