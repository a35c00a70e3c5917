"""ServiceAccount tokens: their form, their signature, and the claims that a signature proved.

The law is RFC 7515 (JWS, compact form), RFC 8725 (its best practice) and Kubernetes' own claims. Whether the claims
are *ours* is decided by issuers; where keys come from is keyset.
"""

from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from msgspec import UNSET, UnsetType

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.model import Deny, Reason, Token
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import Unreadable

ALGORITHMS = ("RS256", "ES256", "ES384", "ES512")
"""All that Kubernetes signs with. Nothing symmetric, nothing that a second kind of key could satisfy."""

MAX_BYTES = 16 * 1024
# Kubernetes' own kids have 43 characters, those of an external signer (KEP-740) up to 1024.
MAX_KID_CHARACTERS = 1024

# joserfc's own arithmetic for each algorithm. A key brings its algorithm, so that no header chooses between them.
_MODELS = {name: jws.JWSRegistry(algorithms=[name]).get_alg(name) for name in ALGORITHMS}

# What stands behind a token that was sent as a file or another program printed it. Told by its own words, since the
# same client works for whoever strips it.
_SPACE_BEHIND = "ends in white space: the client must strip it"
_STRAY = {
    "\n": "ends in a line feed: the client sends its token file as it is, and must strip it",
    "\r": _SPACE_BEHIND,
    "\t": _SPACE_BEHIND,
    " ": _SPACE_BEHIND,
    "=": "ends in =: a token has no padding; is this base64 of a token, as a Secret shows it?",
}
_GUESSES = {
    "/": ": it looks like the path of a file, not like what the file holds",
    "Bearer ": ": it begins with Bearer, and the token alone is wanted",
    '"': ": it begins with a quotation mark",
    "'": ": it begins with a quotation mark",
    " ": ": it begins with white space",
    "\n": ": it begins with white space",
    "ZXlK": ": it looks like base64 of a token, as a Secret shows it",
}


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key under its issuer's name for it, usable with one algorithm. Only `keyset.parse_jwks` makes one."""

    kid: str
    alg: str
    numbers: tuple[int, int]
    """(n, e) of RSA, (x, y) of a curve: what makes two keys the same one."""
    key: RSAKey | ECKey = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token of the right form. `kid` and `alg` are claims of whoever sent it, good for choosing a key only."""

    kid: str
    alg: str
    text: str = field(repr=False)


Seconds = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""RFC 7519 NumericDate as Kubernetes writes it: whole Unix seconds, exact in every JSON reader."""


class Ref(msgspec.Struct, frozen=True, gc=False):
    """A Kubernetes object, as the claim `kubernetes.io` names one."""

    name: str | UnsetType = UNSET
    uid: str | UnsetType = UNSET


class KubernetesClaims(msgspec.Struct, frozen=True, gc=False):
    """The claim `kubernetes.io`. Unknown members are ignored: the set grows with each release."""

    namespace: str | UnsetType = UNSET
    serviceaccount: Ref | UnsetType = UNSET
    pod: Ref | UnsetType = UNSET
    warnafter: Seconds | UnsetType = UNSET


class VerifiedClaims(msgspec.Struct, frozen=True, gc=False):
    """Claims that the issuer's key signed. Only `verify` makes one; what is missing is UNSET and judged by issuers."""

    iss: str | UnsetType = UNSET
    aud: tuple[str, ...] | str | UnsetType = UNSET
    sub: str | UnsetType = UNSET
    exp: Seconds | UnsetType = UNSET
    nbf: Seconds | UnsetType = UNSET
    iat: Seconds | UnsetType = UNSET
    jti: str | UnsetType = UNSET
    kubernetes: KubernetesClaims | UnsetType = msgspec.field(default=UNSET, name="kubernetes.io")

    @property
    def audiences(self) -> tuple[str, ...]:
        """`aud` as a tuple, whichever of its two spellings the token has; empty when it has none."""
        if isinstance(self.aud, str):
            return (self.aud,)
        return () if self.aud is UNSET else self.aud


class _Header(msgspec.Struct, gc=False):
    # jwk, jku, x5c and x5u are not here on purpose: a token may not bring its own key.
    alg: str
    kid: str
    crit: msgspec.Raw | UnsetType = UNSET


_read_header = reader(_Header)
_read_claims = reader(VerifiedClaims)


def peek(token: Token, max_bytes: int = MAX_BYTES) -> Unverified | Deny:
    """Read which key and algorithm a token claims, or say why it cannot be one; prove nothing.

    A header with `crit` is `unsupported_algorithm`: it asks for a rule of signing that we do not know (RFC 7515, 4.1.11).
    """
    text = token.reveal()
    parts = _parts(text, max_bytes)
    if isinstance(parts, Deny):
        return parts
    try:
        header = _read_header(base64url.decode(parts[0]))
    except ValueError:
        return Deny(Reason.MALFORMED_TOKEN, f"header is not base64url{_guess(text)}")
    except Unreadable:
        return Deny(Reason.MALFORMED_TOKEN, "header is not an object with alg and kid")
    if header.crit is not UNSET:
        return Deny(Reason.UNSUPPORTED_ALGORITHM, "crit")
    if header.alg not in ALGORITHMS:
        return Deny(Reason.UNSUPPORTED_ALGORITHM, ascii(header.alg[:32]))
    # After the algorithm: an unsigned token (RFC 7515, A.5) has an empty part too, and should hear why it is refused.
    if not all(parts):
        return Deny(Reason.MALFORMED_TOKEN, "an empty part")
    if not legal_kid(header.kid):
        return Deny(Reason.MALFORMED_TOKEN, "kid is empty, too long or not printable")
    return Unverified(header.kid, header.alg, text)


def _parts(text: str, max_bytes: int) -> list[bytes] | Deny:
    """Return the three parts of a token, nothing of them decoded."""
    # Characters first: encoding is work too, and no character takes less than a byte.
    if len(text) > max_bytes:
        return Deny(Reason.TOKEN_TOO_LARGE, f"{len(text)} characters")
    if not text.isascii():
        return Deny(Reason.MALFORMED_TOKEN, "not ASCII")
    if text[-1:] in _STRAY:
        return Deny(Reason.MALFORMED_TOKEN, _STRAY[text[-1]])
    parts = text.encode().split(b".", 3)
    if len(parts) != 3:
        return Deny(Reason.MALFORMED_TOKEN, f"not three parts{_guess(text)}")
    return parts


def _guess(text: str) -> str:
    """Return what the client may have sent instead of a token, in words of ours, or nothing."""
    return next((words for start, words in _GUESSES.items() if text.startswith(start)), "")


def legal_kid(kid: str) -> bool:
    """Tell whether a key may have this name, in a token or in a key set."""
    return 0 < len(kid) <= MAX_KID_CHARACTERS and kid.isprintable()


def verify(unverified: Unverified, key: VerifyingKey) -> VerifiedClaims | Deny:
    """Return the claims once `key`, by the one algorithm it is for, has proved that its holder wrote them."""
    if unverified.alg != key.alg:
        return Deny(Reason.UNSUPPORTED_ALGORITHM, f"{unverified.alg} with a key for {key.alg}")
    signed, _, signature = unverified.text.encode().rpartition(b".")
    try:
        decoded = base64url.decode(signed.partition(b".")[2])
    except ValueError:
        return Deny(Reason.MALFORMED_TOKEN, "payload is not base64url")
    # joserfc never sees the token's own header, so that no member of it can mean anything (RFC 7797's b64 changes what
    # is signed); its compact form would be read and checked again for each token, which costs as much as the signature.
    try:
        proof = base64url.decode(signature)
        # One token has one spelling: unused bits at the end are no room for others (joserfc's own reader says so, too).
        proved = base64url.encode(proof) == signature and _MODELS[key.alg].verify(signed, proof, key.key)
    except (JoseError, ValueError):
        proved = False
    if not proved:
        return Deny(Reason.BAD_SIGNATURE)
    try:
        return _read_claims(decoded)
    except Unreadable:
        return Deny(Reason.BAD_CLAIMS, "payload has a claim of a wrong type")
