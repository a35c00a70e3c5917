"""The forged, malformed and misused tokens of the suite: by name, the reason they are refused for, and how to make one.

The numbers in the comments are rows of the checklist behind docs/SECURITY_MODEL.md.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from joserfc.jwk import RSAKey

from tests.e2e.worlds import World, uid_of
from tests.fakes.issuer import b64, compact, issuer_key
from tests.leaks import SECRETS

Make = Callable[[World], str]
ATTACKER = issuer_key("RS256", 66)
_ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _claims(world: World, **changes: object) -> dict[str, Any]:
    return {**world.issuer.claims("team-a", "orders", uid_of("team-a", "orders"), now=time.time()), **changes}


def _secret(token: str) -> str:
    return SECRETS.register("token", token)


def header(**members: object) -> Make:
    """Sign a good payload under the issuer's own header with these members put over it (None: left out)."""

    def make(world: World) -> str:
        key = world.issuer.keys[0]
        whole = {"alg": key.alg, "kid": key.kid, **members}
        return _secret(key.sign({name: value for name, value in whole.items() if value is not None}, _claims(world)))

    return make


def raw_header(text: bytes) -> Make:
    return lambda world: _secret(world.issuer.keys[0].sign(text, _claims(world)))


def from_now(seconds: int) -> Callable[[], int]:
    """Return what gives the time this many seconds from now, when the token is made."""
    return lambda: int(time.time()) + seconds


def _settled(value: object) -> object:
    return value() if callable(value) else value


def claim(**changes: object) -> Make:
    """Sign a payload with these claims put over the good ones (ABSENT: left out)."""

    def make(world: World) -> str:
        key = world.issuer.keys[0]
        whole = _claims(world, **{name: _settled(value) for name, value in changes.items()})
        return _secret(
            key.sign(
                {"alg": key.alg, "kid": key.kid}, {name: value for name, value in whole.items() if value != ABSENT}
            )
        )

    return make


ABSENT = "<absent>"


def json_claim(find: str, put: str) -> Make:
    """Sign a payload whose JSON text was changed."""

    def make(world: World) -> str:
        key, text = world.issuer.keys[0], compact(_claims(world)).decode()
        assert find in text, find
        payload = text.replace(find, put, 1).encode("utf-8", "surrogateescape")
        return _secret(key.sign({"alg": key.alg, "kid": key.kid}, payload))

    return make


def kubernetes(**changes: object) -> Make:
    """Sign a payload with these members of the claim `kubernetes.io` changed."""

    def make(world: World) -> str:
        settled = {name: _settled(value) for name, value in changes.items()}
        return claim(**{"kubernetes.io": {**_claims(world)["kubernetes.io"], **settled}})(world)

    return make


def named(namespace: str, name: str) -> Make:
    """Sign a payload that names this ServiceAccount, in both places."""
    return lambda world: _secret(world.token(namespace, name))


def respelt(change: Callable[[str], str]) -> Make:
    """Change the text of a good token."""
    return lambda world: _secret(change(world.token()))


def part(number: int, change: Callable[[str], str]) -> Make:
    def changed(token: str) -> str:
        parts = token.split(".")
        parts[number] = change(parts[number])
        return ".".join(parts)

    return respelt(changed)


def by_hmac(secret: Callable[[RSAKey], bytes], alg: str = "HS256") -> Make:
    """Sign by HMAC with what everybody knows of the issuer's key."""

    def make(world: World) -> str:
        key = world.issuer.keys[0]
        assert isinstance(key.private, RSAKey)
        signed = f"{b64(compact({'alg': alg, 'kid': key.kid}))}.{b64(compact(_claims(world)))}"
        return _secret(f"{signed}.{b64(hmac.digest(secret(key.private), signed.encode(), hashlib.sha256))}")

    return make


def by_algorithm(alg: str) -> Make:
    """Sign with the issuer's own RSA key by an algorithm that is not that key's."""

    def make(world: World) -> str:
        key = world.issuer.keys[0]
        return _secret(key.sign({"alg": alg, "kid": key.kid}, _claims(world), alg))

    return make


def by_attacker(**members: object) -> Make:
    """Sign with a key of one's own, and say so in the header in this way."""

    def make(world: World) -> str:
        whole = {"alg": "RS256", "kid": world.issuer.keys[0].kid, **members}
        return _secret(ATTACKER.sign(whole, _claims(world)))

    return make


def signature(make_signature: Callable[[bytes], bytes], alg: str = "ES256") -> Make:
    """Put a made-up signature under the issuer's elliptic key."""

    def make(world: World) -> str:
        token = world.token(key=issuer_key(alg))
        signed, _, last = token.rpartition(".")
        raw = base64.urlsafe_b64decode(last + "=" * (-len(last) % 4))
        return _secret(f"{signed}.{b64(make_signature(raw))}")

    return make


def _deep(open_: str, close: str = "", levels: int = 5000) -> bytes:
    return (open_ * levels + close * levels).encode()


_JWK = {"kty": "RSA", "n": ATTACKER.jwk()["n"], "e": "AQAB"}
# 256 bytes are 342 characters, of whose last one four bits mean nothing: another character for the same bytes.
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SAME_BYTES = {letter: _ALPHABET[place ^ 1] for place, letter in enumerate(_ALPHABET)}
MALFORMED, ALGORITHM, SIGNATURE = "malformed_token", "unsupported_algorithm", "bad_signature"
UNKNOWN, CLAIMS, ISSUER, AUDIENCE = "unknown_key", "bad_claims", "wrong_issuer", "wrong_audience"

FORMS: Mapping[str, tuple[str, Make]] = {
    "nothing": ("no_token", lambda world: ""),  # 1
    "spaces": ("no_token", lambda world: "   "),  # 2
    "newline": ("no_token", lambda world: "\n"),
    "no-break-space": ("no_token", lambda world: "\u00a0"),
    "nul": (MALFORMED, lambda world: "\x00"),
    "over-16-kib": ("token_too_large", lambda world: "a" * (16 * 1024 + 1)),  # 3
    "48-kib-of-dots": ("token_too_large", lambda world: "." * 48 * 1024),
    "two-parts": (MALFORMED, respelt(lambda token: token.rpartition(".")[0])),  # 4
    "four-parts": (MALFORMED, respelt(lambda token: f"{token}.x")),
    "five-parts-jwe": (MALFORMED, respelt(lambda token: f"{token}.x.y")),  # 18
    "only-dots": (MALFORMED, lambda world: ".."),
    "empty-signature": (MALFORMED, part(2, lambda _: "")),
    "detached-payload": (MALFORMED, part(1, lambda _: "")),
    "newline-at-the-end": (MALFORMED, part(2, lambda text: f"{text}\n")),  # 5
    "space-at-the-end": (MALFORMED, respelt(lambda token: f"{token} ")),
    "padding-at-the-end": (MALFORMED, part(2, lambda text: f"{text}==")),
    "standard-alphabet-in-the-signature": (
        SIGNATURE,
        part(2, lambda text: text.replace("-", "+").replace("_", "/") + "+"),
    ),
    "space-at-the-start": (MALFORMED, respelt(lambda token: f" {token}")),
    "newline-within": (MALFORMED, part(0, lambda text: f"{text[:9]}\n{text[9:]}")),
    "padding": (MALFORMED, part(0, lambda text: f"{text}=")),
    "standard-alphabet": (MALFORMED, part(0, lambda text: f"{text}++")),
    "unused-bits-in-the-signature": (SIGNATURE, part(2, lambda text: text[:-1] + _SAME_BYTES[text[-1]])),
    "bearer-in-front": (MALFORMED, respelt(lambda token: f"Bearer {token}")),
    "full-width-dots": (MALFORMED, respelt(lambda token: token.replace(".", "\uff0e"))),
    "look-alike-letter": (MALFORMED, respelt(lambda token: token.replace("e", "\u0435", 1))),
    "header-list": (MALFORMED, raw_header(b"[]")),  # 6
    "header-text": (MALFORMED, raw_header(b'"x"')),
    "header-null": (MALFORMED, raw_header(b"null")),
    "header-deep": (MALFORMED, raw_header(b'{"alg":"RS256","kid":"k","x":' + _deep("["))),  # 8
    "header-no-utf8": (MALFORMED, raw_header(b'{"alg":"RS256","kid":"\xff"}')),
    "payload-list": (CLAIMS, lambda world: _secret(_signed(world, b"[]"))),
    "payload-null": (CLAIMS, lambda world: _secret(_signed(world, b"null"))),
    "payload-empty-object": (ISSUER, lambda world: _secret(_signed(world, b"{}"))),
    "payload-deep": (CLAIMS, lambda world: _secret(_signed(world, b'{"x":' + _deep("[") + b"}"))),
    "payload-no-utf8": (CLAIMS, lambda world: _secret(_signed(world, b'{"iss":"\xff"}'))),
    "payload-lone-surrogate": (CLAIMS, lambda world: _secret(_signed(world, b'{"iss":"\\ud800"}'))),
    "payload-nan": (CLAIMS, lambda world: _secret(_signed(world, b'{"exp":NaN}'))),
    "payload-infinity": (CLAIMS, lambda world: _secret(_signed(world, b'{"exp":-Infinity}'))),
    "payload-number-of-5000-digits": (CLAIMS, lambda world: _secret(_signed(world, b'{"exp":' + b"9" * 5000 + b"}"))),
}

CRYPTOGRAPHY: Mapping[str, tuple[str, Make]] = {
    "alg-none": (ALGORITHM, header(alg="none")),  # 9
    "alg-None": (ALGORITHM, header(alg="None")),
    "alg-nOnE": (ALGORITHM, header(alg="nOnE")),
    "alg-missing": (MALFORMED, header(alg=None)),
    "alg-number": (MALFORMED, header(alg=1)),
    "alg-list": (MALFORMED, header(alg=["RS256"])),
    "alg-lower-case": (ALGORITHM, header(alg="rs256")),
    "alg-with-space": (ALGORITHM, header(alg="RS256 ")),
    "hs256-by-the-public-pem": (ALGORITHM, by_hmac(lambda key: key.as_pem(private=False))),  # 10
    "hs256-by-the-public-jwk": (ALGORITHM, by_hmac(lambda key: json.dumps(key.as_dict(private=False)).encode())),
    "hs256-by-nothing": (ALGORITHM, by_hmac(lambda key: b"")),
    "hmac-called-rs256": (SIGNATURE, by_hmac(lambda key: key.as_pem(private=False), "RS256")),
    "rs512": (ALGORITHM, by_algorithm("RS512")),  # 12
    "rs384": (ALGORITHM, by_algorithm("RS384")),
    "ps256": (ALGORITHM, by_algorithm("PS256")),
    "pss-called-rs256": (SIGNATURE, lambda world: _secret(_as_rs256(world, "PS256"))),
    "rs512-called-rs256": (SIGNATURE, lambda world: _secret(_as_rs256(world, "RS512"))),
    "es256-with-an-rsa-kid": (ALGORITHM, header(alg="ES256")),  # 13
    "rs256-with-an-ec-kid": (ALGORITHM, header(kid=issuer_key("ES256").kid)),
    "es512-with-a-p256-key": (ALGORITHM, header(alg="ES512", kid=issuer_key("ES256").kid)),
    "crit-unknown": (ALGORITHM, header(crit=["x"], x=1)),  # 15
    "crit-b64": (ALGORITHM, header(crit=["b64"], b64=False)),
    "crit-null": (ALGORITHM, raw_header(b'{"alg":"RS256","kid":"k","crit":null}')),
    "brings-its-jwk": (SIGNATURE, by_attacker(jwk=_JWK)),  # 16
    "brings-its-jwk-and-kid": (UNKNOWN, by_attacker(jwk=_JWK, kid="mine")),
    "brings-its-jku": (UNKNOWN, by_attacker(jku="http://127.0.0.1:1/keys", kid="mine")),
    "brings-its-x5u": (SIGNATURE, by_attacker(x5u="http://127.0.0.1:1/cert")),
    "brings-its-x5c": (SIGNATURE, by_attacker(x5c=["MIIB"])),
    "kid-missing": (MALFORMED, header(kid=None)),  # 17
    "kid-number": (MALFORMED, header(kid=1)),
    "kid-object": (MALFORMED, header(kid={"a": 1})),
    "kid-empty": (MALFORMED, header(kid="")),
    "kid-10000-characters": (MALFORMED, header(kid="k" * 10_000)),
    "kid-path": (UNKNOWN, header(kid="../../etc/passwd")),
    "kid-sql": (UNKNOWN, header(kid="' OR 1=1; --")),
    "kid-with-line-break": (MALFORMED, header(kid='k\n{"event":"allowed"}')),
    "kid-in-another-case": (UNKNOWN, lambda world: header(kid=world.issuer.keys[0].kid.swapcase())(world)),
    "kid-with-combining-mark": (UNKNOWN, lambda world: header(kid=f"{world.issuer.keys[0].kid}\u0301")(world)),
    "kid-with-zero-width": (MALFORMED, lambda world: header(kid=f"{world.issuer.keys[0].kid}\u200b")(world)),
    "kid-twice-the-last-is-unknown": (UNKNOWN, lambda world: raw_header(
        f'{{"alg":"RS256","kid":"{world.issuer.keys[0].kid}","kid":"x"}}'.encode())(world)),
    "alg-twice-the-last-is-none": (ALGORITHM, lambda world: raw_header(
        f'{{"alg":"RS256","kid":"{world.issuer.keys[0].kid}","alg":"none"}}'.encode())(world)),
    "signature-cut": (SIGNATURE, part(2, lambda text: text[:-4])),  # 19
    "signature-flipped": (SIGNATURE, part(2, lambda text: ("B" if text[0] == "A" else "A") + text[1:])),
    "signature-of-another-key": (SIGNATURE, by_attacker()),
    "signature-of-zeros": (SIGNATURE, signature(lambda raw: bytes(64))),
    "signature-of-the-order": (SIGNATURE, signature(lambda raw: _ORDER_P256.to_bytes(32, "big") * 2)),
    "signature-in-der": (SIGNATURE, signature(lambda raw: b"\x30\x44\x02\x20" + raw[:32] + b"\x02\x20" + raw[32:])),
    "signature-of-1000-zeros-more": (SIGNATURE, signature(lambda raw: raw + bytes(1000))),
    "payload-changed": (SIGNATURE, part(1, lambda text: text[:-2] + ("AA" if text[-2:] != "AA" else "BB"))),
    "another-cluster-with-our-kid": (SIGNATURE, by_attacker(typ="JWT")),  # 22
}  # fmt: skip


def _signed(world: World, payload: bytes) -> str:
    key = world.issuer.keys[0]
    return key.sign({"alg": key.alg, "kid": key.kid}, payload)


def _as_rs256(world: World, alg: str) -> str:
    key = world.issuer.keys[0]
    return key.sign({"alg": "RS256", "kid": key.kid}, _claims(world), alg)
