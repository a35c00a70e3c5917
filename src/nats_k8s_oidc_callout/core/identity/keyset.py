"""An issuer's last good keys, and when they may be fetched again. Fetching itself is adapters.jwks.

The law is RFC 7517 (JWK) and RFC 7518, section 6; RFC 8725 says why each key is bound to one algorithm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from msgspec import UNSET, UnsetType

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.identity import tokens
from nats_k8s_oidc_callout.core.identity.tokens import VerifyingKey
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import BadKeySet, Unreadable

MAX_BYTES = 1 << 20
MAX_KEYS = 100
# Kubernetes' issuers publish for hours; a day of silence means that nobody vouches for these keys any more.
STALENESS_SECONDS = 86_400.0
# A kid is chosen by the caller before anything is verified: without the cool-down each bad token would cost a fetch.
COOLDOWN_SECONDS = 10.0

# RSA below 2048 bits can be broken (NIST SP 800-131A); above 8192, or with a huge exponent, one check costs
# milliseconds, which whoever sends tokens would make us spend.
_RSA_BITS = range(2048, 8192 + 1)
_MAX_EXPONENT_BITS = 64
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


@dataclass(frozen=True, slots=True)
class ParsedKeys:
    """The usable keys of a set by kid, and one short reason for each key that is not; never key material."""

    keys: dict[str, VerifyingKey]
    skipped: tuple[str, ...] = ()


class _Document(msgspec.Struct, gc=False):
    keys: list[msgspec.Raw]


class _Jwk(msgspec.Struct, gc=False):
    kty: str
    kid: str | UnsetType = UNSET
    use: str | UnsetType = UNSET
    key_ops: list[str] | UnsetType = UNSET
    alg: str | UnsetType = UNSET
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""
    d: msgspec.Raw | UnsetType = UNSET
    p: msgspec.Raw | UnsetType = UNSET
    q: msgspec.Raw | UnsetType = UNSET
    dp: msgspec.Raw | UnsetType = UNSET
    dq: msgspec.Raw | UnsetType = UNSET
    qi: msgspec.Raw | UnsetType = UNSET
    oth: msgspec.Raw | UnsetType = UNSET
    k: msgspec.Raw | UnsetType = UNSET


_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_read_document = reader(_Document)
_read_jwk = reader(_Jwk)


class _Unusable(Exception):
    """Why one key is left out; never leaves this module."""


def parse_jwks(body: bytes) -> ParsedKeys:
    """Return the usable keys of a JWKS, one by one: a bad key never spoils the good ones beside it.

    Raise BadKeySet when the body is no JWKS, is over its bounds, or leaves no key to use.
    """
    if len(body) > MAX_BYTES:
        raise BadKeySet(f"is larger than {MAX_BYTES} bytes")
    try:
        entries = _read_document(body).keys
    except Unreadable:
        raise BadKeySet("is not a JSON object with a list `keys`") from None
    if len(entries) > MAX_KEYS:
        raise BadKeySet(f"has more than {MAX_KEYS} keys")
    keys: dict[str, VerifyingKey] = {}
    skipped: list[str] = []
    ambiguous: set[str] = set()
    for position, entry in enumerate(entries):
        try:
            key = _parse_key(entry)
        except _Unusable as reason:
            skipped.append(f"key {position}{reason}")
            continue
        if keys.setdefault(key.kid, key) != key:
            ambiguous.add(key.kid)
    for kid in sorted(ambiguous):
        # Whoever may choose which of two keys a name means, chooses who signs.
        del keys[kid]
        skipped.append(f"{_shown(kid)}: stands for two different keys")
    if not keys:
        raise BadKeySet("holds no usable key" + (f" ({skipped[0]})" if skipped else ""))
    return ParsedKeys(keys, tuple(skipped))


def _parse_key(entry: msgspec.Raw) -> VerifyingKey:
    try:
        jwk = _read_jwk(entry)
    except Unreadable:
        raise _Unusable(": is not a JWK") from None
    if jwk.kid is UNSET or not tokens.legal_kid(jwk.kid):
        raise _Unusable(": has no usable kid")
    try:
        alg, numbers, key = _parse_public(jwk)
    except _Unusable as reason:
        raise _Unusable(f" ({_shown(jwk.kid)}): {reason}") from None
    return VerifyingKey(jwk.kid, alg, numbers, key)


def _parse_public(jwk: _Jwk) -> tuple[str, tuple[int, int], RSAKey | ECKey]:
    """Return algorithm, numbers and key of a JWK that may verify tokens; raise _Unusable for any other."""
    if jwk.kty not in ("RSA", "EC"):
        raise _Unusable(f"kty {_shown(jwk.kty)} is not supported")
    if any(getattr(jwk, member) is not UNSET for member in _PRIVATE):
        raise _Unusable("is a private key")
    if jwk.use is not UNSET and jwk.use != "sig":
        raise _Unusable(f"use {_shown(jwk.use)} is not sig")
    if jwk.key_ops is not UNSET and "verify" not in jwk.key_ops:
        raise _Unusable("key_ops has no verify")
    alg = "RS256" if jwk.kty == "RSA" else _CURVES.get(jwk.crv, "")
    if not alg:
        raise _Unusable(f"crv {_shown(jwk.crv)} is not supported")
    if jwk.alg not in (UNSET, alg):
        raise _Unusable(f"alg {_shown(str(jwk.alg))} is not {alg}, the one for such a key")
    try:
        return alg, *(_parse_rsa(jwk) if jwk.kty == "RSA" else _parse_ec(jwk))
    except (JoseError, ValueError):
        raise _Unusable("RSA numbers are unsound" if jwk.kty == "RSA" else "not a point of its curve") from None


def _parse_rsa(jwk: _Jwk) -> tuple[tuple[int, int], RSAKey]:
    n, e = _number(jwk.n), _number(jwk.e)
    if n.bit_length() not in _RSA_BITS:
        raise _Unusable(f"RSA of {n.bit_length()} bits, not {_RSA_BITS.start} to {_RSA_BITS.stop - 1}")
    if n % 2 == 0 or e < 3 or e % 2 == 0 or e.bit_length() > _MAX_EXPONENT_BITS:
        raise _Unusable("RSA numbers are unsound")
    return (n, e), RSAKey.import_key({"kty": "RSA", "n": jwk.n, "e": jwk.e})


def _parse_ec(jwk: _Jwk) -> tuple[tuple[int, int], ECKey]:
    # cryptography refuses a point that is not on its curve.
    return (_number(jwk.x), _number(jwk.y)), ECKey.import_key({"kty": "EC", "crv": jwk.crv, "x": jwk.x, "y": jwk.y})


def _number(text: str) -> int:
    """Read RFC 7518's Base64urlUInt."""
    try:
        return int.from_bytes(base64url.decode(text.encode()), "big")
    except ValueError:
        raise _Unusable("a number is not base64url") from None


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 48 else text[:48] + "…")


@dataclass(slots=True)
class KeySet:
    """The keys that were good last, by kid. A failed fetch leaves them alone; only their age ends them.

    `staleness_seconds` None means never: the keys are a file, which was just read. `generation` grows by one with
    each change of content, so that what was proved under other keys is proved again.
    """

    staleness_seconds: float | None = STALENESS_SECONDS
    cooldown_seconds: float = COOLDOWN_SECONDS
    generation: int = field(default=0, init=False)
    _keys: Mapping[str, VerifyingKey] = field(default_factory=dict, init=False, repr=False)
    _replaced_at: float | None = field(default=None, init=False)
    _refresh_began_at: float | None = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str, monotonic: float) -> VerifyingKey | None:
        """Return the key of this name, or None when there is none or all are stale."""
        return self._keys.get(kid) if self.fresh(monotonic) else None

    def replace(self, keys: Mapping[str, VerifyingKey], monotonic: float) -> bool:
        """Take `keys` as all there is, seen at `monotonic`; tell whether that changed anything."""
        self._replaced_at = monotonic
        if keys == self._keys:
            return False
        self._keys = dict(keys)
        self.generation += 1
        return True

    def age(self, monotonic: float) -> float | None:
        """Return how many seconds ago the keys were last confirmed, or None before the first time."""
        return None if self._replaced_at is None else max(0.0, monotonic - self._replaced_at)

    def fresh(self, monotonic: float) -> bool:
        """Tell whether there are keys and they may still be used."""
        age = self.age(monotonic)
        return bool(self._keys) and age is not None and (self.staleness_seconds is None or age < self.staleness_seconds)

    def refresh_is_due(self, monotonic: float) -> bool:
        """Tell whether the cool-down after the last refresh for an unknown kid is over."""
        return self._refresh_began_at is None or monotonic - self._refresh_began_at >= self.cooldown_seconds

    def may_refresh(self, monotonic: float) -> bool:
        """Tell whether an unknown kid may cause a fetch now. A yes starts the cool-down, however the fetch ends."""
        if not self.refresh_is_due(monotonic):
            return False
        self._refresh_began_at = monotonic
        return True
