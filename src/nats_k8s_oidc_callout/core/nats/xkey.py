"""Messages sealed between a NATS server and us: NaCl box under `xkv1`. Nonces are arguments."""

from functools import lru_cache

import nacl.exceptions
import nacl.public

from nats_k8s_oidc_callout.core.nats import nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.errors import BadBox, BadKey

MAGIC = b"xkv1"
NONCE_BYTES = 24
_HEAD_BYTES = len(MAGIC) + NONCE_BYTES
_TAG_BYTES = 16
# A server has one curve key for its whole life: a few hundred boxes cover any cluster, restarts included.
_BOXES = 512


class CurveKey:
    """Our half of an xkey (`SX…`). Its repr shows the public half only."""

    __slots__ = ("_box", "_private", "public")

    def __init__(self, raw: bytes) -> None:
        self._private = nacl.public.PrivateKey(raw)
        self.public = nkeys.encode_public(Kind.CURVE, bytes(self._private.public_key))
        # The X25519 agreement costs ten times the box itself, so one box a server key is kept.
        self._box = lru_cache(maxsize=_BOXES)(self._agree)

    def _agree(self, theirs: str) -> nacl.public.Box:
        return nacl.public.Box(self._private, nacl.public.PublicKey(nkeys.decode_public(theirs, Kind.CURVE)))

    def seal(self, theirs: str, nonce: bytes, message: bytes) -> bytes:
        """Return `message` sealed for the holder of the public key `theirs` (`X…`)."""
        return MAGIC + nonce + self._box(theirs).encrypt(message, nonce).ciphertext

    def open(self, theirs: str, sealed: bytes) -> bytes:
        """Return what the holder of `theirs` sealed for us; raise BadBox when it does not open."""
        if sealed[: len(MAGIC)] != MAGIC or len(sealed) < _HEAD_BYTES + _TAG_BYTES:
            raise BadBox("is not an xkv1 message")
        try:
            return self._box(theirs).decrypt(sealed[_HEAD_BYTES:], sealed[len(MAGIC) : _HEAD_BYTES])
        except BadKey as error:
            raise BadBox(f"the sender's key {error}") from None
        except (nacl.exceptions.CryptoError, ValueError):
            raise BadBox("does not open with our key") from None

    def __repr__(self) -> str:
        return f"CurveKey({self.public})"


def parse_curve_key(text: str) -> CurveKey:
    """Return the curve key of an `SX…` seed; raise BadKey, which says which kind it is instead."""
    kind, raw = nkeys.decode_seed(text)
    if kind is not Kind.CURVE:
        raise BadKey(f"is the {kind.name.lower()} seed S{kind.letter}…, but SX… is required")
    return CurveKey(raw)
