"""Whose tokens are forged, and the ways to forge one: each gives a `Make` for the table in tests/fakes/hostile_tokens.py."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import RSAKey

from nats_k8s_oidc_callout.core import base64url
from tests.fakes.issuer import Issuer, IssuerKey, b64, compact, issuer_key
from tests.leaks import SECRETS

ABSENT = object()
ATTACKER = issuer_key("RS256", 66)


def uid_of(namespace: str, name: str) -> str:
    """Return the uid that a world's ServiceAccount of this name has."""
    return f"uid-of-{namespace}-{name}"


@dataclass(frozen=True)
class Forge:
    """Forges tokens of this issuer's team-a/orders, at this time (Unix seconds)."""

    issuer: Issuer
    now: float

    @property
    def key(self) -> IssuerKey:
        return self.issuer.keys[0]

    def claims(self, **changes: object) -> dict[str, Any]:
        """Return good claims with these put over them (ABSENT: left out)."""
        whole = {**self.issuer.claims("team-a", "orders", uid_of("team-a", "orders"), now=self.now), **changes}
        return {name: value for name, value in whole.items() if value is not ABSENT}

    def sign(
        self,
        payload: Mapping[str, object] | bytes = b"",
        header: Mapping[str, object] | bytes = b"",
        key: IssuerKey | None = None,
        alg: str = "",
    ) -> str:
        """Return a token of this payload and header, or of good ones; `alg` is what is really computed."""
        key = key or self.key
        header = header or {"alg": key.alg, "kid": key.kid}
        return SECRETS.register("token", key.sign(header, payload or self.claims(), alg))

    def good(self, **changes: Any) -> str:
        """Return a good token but for these changes (those of `Issuer.token`)."""
        uid = uid_of("team-a", "orders")
        return SECRETS.register("token", self.issuer.token(uid=uid, now=self.now, **changes))


Make = Callable[[Forge], str]


def text(sent: str) -> Make:
    return lambda forge: sent


def header(**members: object) -> Make:
    """Sign a good payload under the issuer's own header with these members put over it (ABSENT: left out)."""

    def make(forge: Forge) -> str:
        whole = {"alg": forge.key.alg, "kid": forge.key.kid, **members}
        return forge.sign(header={name: value for name, value in whole.items() if value is not ABSENT})

    return make


def raw_header(sent: bytes) -> Make:
    """Sign a good payload under this header; KID in it is the issuer's own."""
    return lambda forge: forge.sign(header=sent.replace(b"KID", forge.key.kid.encode()))


def kid(change: Callable[[str], str]) -> Make:
    return lambda forge: header(kid=change(forge.key.kid))(forge)


def payload(sent: bytes) -> Make:
    return lambda forge: forge.sign(sent)


def claim(**changes: object) -> Make:
    return lambda forge: forge.sign(forge.claims(**changes))


def at(**seconds: float) -> Make:
    """Sign a payload in which these claims are times, that many seconds from now."""
    return lambda forge: claim(**{name: int(forge.now + value) for name, value in seconds.items()})(forge)


def json_claim(find: str, put: str) -> Make:
    """Sign a payload whose JSON text was changed."""

    def make(forge: Forge) -> str:
        whole = compact(forge.claims()).decode()
        assert find in whole, find
        return forge.sign(whole.replace(find, put, 1).encode())

    return make


def kubernetes(**changes: object) -> Make:
    """Sign a payload with these members of the claim `kubernetes.io` changed (ABSENT: left out)."""

    def make(forge: Forge) -> str:
        whole = {**forge.claims()["kubernetes.io"], **changes}
        return claim(**{"kubernetes.io": {name: value for name, value in whole.items() if value is not ABSENT}})(forge)

    return make


def warned(seconds: float) -> Make:
    return lambda forge: kubernetes(warnafter=int(forge.now + seconds))(forge)


def account(**members: object) -> Make:
    return kubernetes(serviceaccount=members)


def named(namespace: str, name: str) -> Make:
    """Sign a payload that names this ServiceAccount, in both places, with a uid that is no longer than others."""
    return lambda forge: forge.good(namespace=namespace, name=name)


def respelt(change: Callable[[str], str]) -> Make:
    """Change the text of a good token."""
    return lambda forge: change(forge.good())


def part(number: int, change: Callable[[str], str], *, signed: bool = False) -> Make:
    """Change the text of one part of a good token; `signed`, the signature is over what was changed."""

    def make(forge: Forge) -> str:
        parts = forge.good().split(".")
        parts[number] = change(parts[number])
        if signed:
            parts[2] = b64(forge.key.raw_signature(f"{parts[0]}.{parts[1]}".encode()))
        return ".".join(parts)

    return make


def by_hmac(secret: Callable[[RSAKey], bytes], alg: str = "HS256") -> Make:
    """Sign by HMAC with what everybody knows of the issuer's key."""

    def make(forge: Forge) -> str:
        assert isinstance(forge.key.private, RSAKey)
        signed = f"{b64(compact({'alg': alg, 'kid': forge.key.kid}))}.{b64(compact(forge.claims()))}"
        return f"{signed}.{b64(hmac.digest(secret(forge.key.private), signed.encode(), hashlib.sha256))}"

    return make


def by_algorithm(alg: str, called: str = "") -> Make:
    """Sign with the issuer's own RSA key by an algorithm that is not that key's, under its name or another."""
    return lambda forge: forge.sign(header={"alg": called or alg, "kid": forge.key.kid}, alg=alg)


def by_attacker(**members: object) -> Make:
    """Sign with a key of one's own, and say so in the header in this way."""
    return lambda forge: forge.sign(header={"alg": "RS256", "kid": forge.key.kid, **members}, key=ATTACKER)


def by_key(key: IssuerKey, kid: str) -> Make:
    """Sign with this key, and name that one."""
    return lambda forge: forge.good(key=key, header={"kid": kid})


def signature(alg: str, change: Callable[[bytes], bytes]) -> Make:
    """Put a made-up signature under the issuer's key for this algorithm."""

    def make(forge: Forge) -> str:
        signed, _, good = forge.good(key=issuer_key(alg)).rpartition(".")
        return f"{signed}.{b64(change(base64url.decode(good.encode())))}"

    return make
