"""NATS' own JWTs (`alg: ed25519-nkey`) and creds files. Tokens of Kubernetes are tokens."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.nats import nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import BadKey, BadToken, Unreadable

T = TypeVar("T")

# nats-server's jwt library refuses longer ones (since 2.11.10), and so do we before decoding anything.
MAX_BYTES = 1 << 20
_HEADER = base64url.encode(b'{"typ":"JWT","alg":"ed25519-nkey"}')


class _Header(msgspec.Struct):
    typ: str
    alg: str


_read_header = reader(_Header)


def sign(claims: bytes, key: SigningKey) -> bytes:
    """Return the JWT over these claims (JSON), signed by `key`."""
    signed = _HEADER + b"." + base64url.encode(claims)
    return signed + b"." + base64url.encode(key.sign(signed))


class _Issuer(msgspec.Struct):
    iss: str


_read_issuer = reader(_Issuer)


def verify(token: bytes, kind: Kind, claims: Callable[[bytes], T]) -> T:
    """Return the claims of a JWT that the key in its own `iss`, of this kind, has signed; else raise BadToken.

    That proves self-consistency only: whether that key may speak is the caller's question.
    """
    parts = token.split(b".") if len(token) <= MAX_BYTES else ()
    if len(parts) != 3:
        raise BadToken("is not three parts")
    head, body, signature = parts
    # Servers all write one header; any other spelling is decoded before it is judged.
    try:
        if head != _HEADER:
            _check_header(base64url.decode(head))
        payload, proof = base64url.decode(body), base64url.decode(signature)
    except ValueError:
        raise BadToken("is not base64url") from None
    try:
        issuer = _read_issuer(payload).iss
        if not nkeys.verify(issuer, kind, token[: len(head) + 1 + len(body)], proof):
            raise BadToken("has a wrong signature")
        return claims(payload)
    except BadKey as error:
        raise BadToken(f"its issuer {error}") from None
    except Unreadable:
        raise BadToken("has claims that do not fit") from None


def _check_header(head: bytes) -> None:
    try:
        header = _read_header(head)
    except Unreadable:
        raise BadToken("has a header that does not fit") from None
    if header.alg != "ed25519-nkey" or header.typ.upper() != "JWT":
        raise BadToken("is not an ed25519-nkey JWT")


class _NatsUser(msgspec.Struct):
    issuer_account: str = ""


class _UserClaims(msgspec.Struct):
    iss: str
    sub: str
    exp: int = 0
    nats: _NatsUser = msgspec.field(default_factory=_NatsUser)


_user_claims = reader(_UserClaims)
_JWT_BLOCK = re.compile(r"-{3,}BEGIN NATS USER JWT-{3,}\s+(\S+)\s+-{3,}END NATS USER JWT-{3,}")
_SEED_BLOCK = re.compile(r"-{3,}BEGIN USER NKEY SEED-{3,}\s+(\S+)\s+-{3,}END USER NKEY SEED-{3,}")


@dataclass(frozen=True, slots=True)
class Creds:
    """A creds file: a user's JWT and the seed that belongs to it. No repr of either."""

    jwt: str = field(repr=False)
    key: SigningKey
    issuer: str
    """`iss` of the JWT: the account, or one of its signing keys."""
    issuer_account: str
    """The account when a signing key signed, else empty."""
    expires_at: int | None

    @property
    def account(self) -> str:
        return self.issuer_account or self.issuer


def parse_creds(text: str) -> Creds:
    """Return the login in a creds file; raise BadKey when it is none, or its two halves do not belong together."""
    token, seed = _JWT_BLOCK.search(text), _SEED_BLOCK.search(text)
    if token is None or seed is None:
        raise BadKey("is not a creds file: it needs a NATS USER JWT block and a USER NKEY SEED block")
    key = nkeys.parse_signing_key(seed[1], Kind.USER)
    try:
        claims = verify(token[1].encode(), Kind.ACCOUNT, _user_claims)
    except BadToken as error:
        raise BadKey(f"holds a user JWT that {error}") from None
    if claims.sub != key.public:
        raise BadKey("holds a seed that does not belong to its JWT")
    return Creds(token[1], key, claims.iss, claims.nats.issuer_account, claims.exp or None)
