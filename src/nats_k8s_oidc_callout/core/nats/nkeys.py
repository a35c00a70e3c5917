"""NATS keys: their text form, and signing with them. NATS JWTs are natsjwt, sealed messages xkey."""

import binascii
from enum import IntEnum
from functools import lru_cache

import nacl.bindings
import nacl.exceptions

from nats_k8s_oidc_callout.errors import BadKey

# Base32 (RFC 4648) through int(): several times faster than base64.b32decode. Whatever is not in the alphabet
# becomes "!", since int() would forgive signs, spaces, underscores and lower case.
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_TO_INT = bytes(ord(_DIGITS[_ALPHABET.index(chr(c))]) if chr(c) in _ALPHABET else ord("!") for c in range(256))

_PUBLIC_CHARACTERS = 56  # prefix 1 + key 32 + CRC 2 bytes, no padding
_SEED_CHARACTERS = 58  # one prefix byte more, 4 unused bits at the end
_SEED_PREFIX = 18 << 3
_SIGNATURE_BYTES = 64


class Kind(IntEnum):
    """What a key is for, as the first byte of its text form says."""

    ACCOUNT = 0
    CLUSTER = 2 << 3
    SERVER = 13 << 3
    OPERATOR = 14 << 3
    USER = 20 << 3
    CURVE = 23 << 3

    @property
    def letter(self) -> str:
        return _ALPHABET[self >> 3]


def _base32_decode(text: str, size: int) -> bytes:
    try:
        value = int(text.encode("ascii").translate(_TO_INT), 32)
    except ValueError:
        raise BadKey("has a character outside A-Z2-7") from None
    unused = len(text) * 5 - size * 8
    if value & ((1 << unused) - 1):
        raise BadKey("has a tail that no encoder writes")
    return (value >> unused).to_bytes(size, "big")


def _base32_encode(data: bytes) -> str:
    characters = -(-len(data) * 8 // 5)
    value = int.from_bytes(data, "big") << (characters * 5 - len(data) * 8)
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range((characters - 1) * 5, -1, -5))


def _checked(data: bytes) -> bytes:
    """Return `data` without its CRC-16/XMODEM, which stands at the end, little-endian."""
    body, crc = data[:-2], data[-2:]
    if binascii.crc_hqx(body, 0).to_bytes(2, "little") != crc:
        raise BadKey("has a wrong checksum")
    return body


def _with_checksum(body: bytes) -> bytes:
    return body + binascii.crc_hqx(body, 0).to_bytes(2, "little")


def encode_public(kind: Kind, raw: bytes) -> str:
    """Return the 56 characters that stand for the 32 bytes of a public key."""
    return _base32_encode(_with_checksum(bytes([kind]) + raw))


def decode_public(text: str, kind: Kind) -> bytes:
    """Return the 32 bytes of a public key of this kind; raise BadKey for anything else."""
    if len(text) != _PUBLIC_CHARACTERS:
        raise BadKey(f"is not the {_PUBLIC_CHARACTERS} characters of a public key")
    body = _checked(_base32_decode(text, 35))
    if body[0] != kind:
        raise BadKey(f"is no {kind.name.lower()} key ({kind.letter}…)")
    return body[1:]


def encode_seed(kind: Kind, raw: bytes) -> str:
    """Return the 58 characters of the seed that holds these 32 secret bytes."""
    return _base32_encode(_with_checksum(bytes([_SEED_PREFIX | kind >> 5, (kind & 31) << 3]) + raw))


def decode_seed(text: str) -> tuple[Kind, bytes]:
    """Return the kind and the 32 secret bytes of a seed; raise BadKey, which never quotes it."""
    if len(text) != _SEED_CHARACTERS or not text.startswith("S"):
        raise BadKey(f"is not the {_SEED_CHARACTERS} characters of a seed (S…)")
    body = _checked(_base32_decode(text, 36))
    if body[0] & 0xF8 != _SEED_PREFIX or body[1] & 7:
        raise BadKey("is not a seed")
    try:
        return Kind((body[0] & 7) << 5 | body[1] >> 3), body[2:]
    except ValueError:
        raise BadKey("is a seed of an unknown kind") from None


class SigningKey:
    """An Ed25519 nkey that signs. Its repr shows the public half only."""

    __slots__ = ("_raw", "_secret", "kind", "public")

    def __init__(self, kind: Kind, raw: bytes) -> None:
        if kind is Kind.CURVE:
            raise BadKey("is a curve key (X…), which cannot sign")
        self._raw = raw
        # PyNaCl's own classes around these functions wrap and copy what we do not need, at each login three times.
        public, self._secret = nacl.bindings.crypto_sign_seed_keypair(raw)
        self.kind = kind
        self.public = encode_public(kind, public)

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature."""
        return nacl.bindings.crypto_sign(message, self._secret)[:_SIGNATURE_BYTES]

    def in_form(self, kind: Kind) -> "SigningKey":
        """Return the same secret as a key of another kind: `U…` and `A…` of one seed."""
        return SigningKey(kind, self._raw)

    def __repr__(self) -> str:
        return f"SigningKey({self.public})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SigningKey) and other.public == self.public

    def __hash__(self) -> int:
        return hash(self.public)


def parse_signing_key(text: str, kind: Kind) -> SigningKey:
    """Return the signing key of a seed of this kind; raise BadKey, which says which kind it is instead."""
    found, raw = decode_seed(text)
    if found is not kind:
        raise BadKey(f"is the {found.name.lower()} seed S{found.letter}…, but S{kind.letter}… is required")
    return SigningKey(found, raw)


_public_bytes = lru_cache(maxsize=1024)(decode_public)


def verify(public: str, kind: Kind, message: bytes, signature: bytes) -> bool:
    """Say whether the key of this kind made the signature; raise BadKey when `public` is no such key."""
    raw = _public_bytes(public, kind)
    if len(signature) != _SIGNATURE_BYTES:
        return False
    try:
        nacl.bindings.crypto_sign_open(signature + message, raw)
    except nacl.exceptions.BadSignatureError:
        return False
    return True
