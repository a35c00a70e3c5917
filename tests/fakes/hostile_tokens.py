"""The hostile tokens, each once: how it is made, and the reason that it is refused for.

tests/core/test_hostile_tokens.py shows them to the decision in memory, tests/attack/test_tokens.py to a running responder
through a real server. The numbers in the comments are rows of docs/SECURITY_MODEL.md.
"""

import json
from collections.abc import Callable, Mapping

from nats_k8s_oidc_callout.core.model import Reason
from tests.fakes.forgery import (
    ABSENT,
    ATTACKER,
    Forge,
    Make,
    account,
    at,
    by_algorithm,
    by_attacker,
    by_hmac,
    by_key,
    claim,
    header,
    json_claim,
    kid,
    kubernetes,
    named,
    part,
    payload,
    raw_header,
    respelt,
    signature,
    text,
    uid_of,
    warned,
)
from tests.fakes.issuer import AUDIENCE as OURS
from tests.fakes.issuer import ISSUER as US
from tests.fakes.issuer import b64, issuer_key

MALFORMED, ALGORITHM, SIGNATURE = Reason.MALFORMED_TOKEN, Reason.UNSUPPORTED_ALGORITHM, Reason.BAD_SIGNATURE
UNKNOWN, CLAIMS, ISSUER, AUDIENCE = Reason.UNKNOWN_KEY, Reason.BAD_CLAIMS, Reason.WRONG_ISSUER, Reason.WRONG_AUDIENCE
NOBODY, UID = Reason.UNKNOWN_SERVICE_ACCOUNT, Reason.UID_MISMATCH
EXPIRED, EARLY, LIFETIME = Reason.EXPIRED, Reason.NOT_YET_VALID, Reason.LIFETIME_TOO_LONG
NOTHING, TOO_LARGE = Reason.NO_TOKEN, Reason.TOKEN_TOO_LARGE

ALGORITHMS = ("RS256", "ES256", "ES384", "ES512")
_SUB = "system:serviceaccount:team-a:orders"
_ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_JWK = {"kty": "RSA", "n": ATTACKER.jwk()["n"], "e": "AQAB"}
# 256 bytes are 342 characters, of whose last one four bits mean nothing: another character for the same bytes.
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SAME_BYTES = {letter: _ALPHABET[place ^ 1] for place, letter in enumerate(_ALPHABET)}
_HEADER = b64(b'{"alg":"RS256","kid":"k"}')

Table = Mapping[str, tuple[Reason, Make]]


def _with(member: str, inner: bytes) -> bytes:
    return b'{"' + member.encode() + b'":' + inner + b"}"


def _deep(open_: str, close: str = "", levels: int = 5000) -> bytes:
    return (open_ * levels + close * levels).encode()


def _as(reason: Reason, prefix: str, make: Callable[..., Make], cases: Mapping[str, object]) -> Table:
    """Return a row for each of these values."""
    return {f"{prefix}-{case}": (reason, make(value)) for case, value in cases.items()}


def _listed(*values: object) -> Mapping[str, object]:
    return {str(value): value for value in values}


FORMS: Table = {
    "nothing": (NOTHING, text("")),  # C1
    "spaces": (NOTHING, text("   ")),  # C2
    "newline": (NOTHING, text("\n")),
    "no-break-space": (NOTHING, text("\u00a0")),
    "nul": (MALFORMED, text("\x00")),
    "over-16-kib": (TOO_LARGE, text("a" * (16 * 1024 + 1))),  # C3
    "16-kib-of-dots": (MALFORMED, text("." * 16 * 1024)),
    "48-kib-of-dots": (TOO_LARGE, text("." * 48 * 1024)),
    "one-part": (MALFORMED, text("a")),
    "two-parts": (MALFORMED, respelt(lambda token: token.rpartition(".")[0])),  # C4
    "four-parts": (MALFORMED, respelt(lambda token: f"{token}.x")),
    "five-parts-jwe": (MALFORMED, respelt(lambda token: f"{token}.x.y")),  # C18
    "five-parts-by-an-unknown-key": (MALFORMED, text(f"{_HEADER}.e30.e30.e30.e30")),
    "dot-at-the-end": (MALFORMED, respelt(lambda token: f"{token}.")),
    "only-dots": (MALFORMED, text("..")),
    "empty-signature": (MALFORMED, part(2, lambda _: "")),
    "empty-header": (MALFORMED, part(0, lambda _: "", signed=True)),
    "detached-payload": (MALFORMED, part(1, lambda _: "", signed=True)),
    "newline-at-the-end": (MALFORMED, part(2, lambda text: f"{text}\n")),  # C5
    "space-at-the-end": (MALFORMED, respelt(lambda token: f"{token} ")),
    "padding-at-the-end": (MALFORMED, part(2, lambda text: f"{text}==")),
    "standard-alphabet-in-the-signature": (
        SIGNATURE, part(2, lambda text: text.replace("-", "+").replace("_", "/") + "+")),
    "space-before-the-signature": (SIGNATURE, part(2, lambda text: f" {text}")),
    "nul-behind-the-signature": (SIGNATURE, part(2, lambda text: f"{text}A\x00")),
    "space-at-the-start": (MALFORMED, respelt(lambda token: f" {token}")),
    "newline-within": (MALFORMED, part(0, lambda text: f"{text[:9]}\n{text[9:]}", signed=True)),
    "padding": (MALFORMED, part(0, lambda text: f"{text}=", signed=True)),
    "standard-alphabet": (MALFORMED, part(0, lambda text: f"{text}++", signed=True)),
    "newline-in-the-payload": (MALFORMED, part(1, lambda text: f"{text}\n", signed=True)),
    "space-in-the-payload": (MALFORMED, part(1, lambda text: f" {text}", signed=True)),
    "padding-in-the-payload": (MALFORMED, part(1, lambda text: f"{text}=", signed=True)),
    "standard-alphabet-in-the-payload": (MALFORMED, part(1, lambda text: f"{text}+/", signed=True)),
    "unused-bits-in-the-signature": (SIGNATURE, part(2, lambda text: text[:-1] + _SAME_BYTES[text[-1]])),
    "bearer-in-front": (MALFORMED, respelt(lambda token: f"Bearer {token}")),
    "not-ascii": (MALFORMED, text("ключ.e30.e30")),
    "full-width-dots": (MALFORMED, respelt(lambda token: token.replace(".", "\uff0e"))),
    "look-alike-letter": (MALFORMED, respelt(lambda token: token.replace("e", "\u0435", 1))),
    "header-list": (MALFORMED, raw_header(b"[]")),  # C6
    "header-text": (MALFORMED, raw_header(b'"x"')),
    "header-number": (MALFORMED, raw_header(b"1")),
    "header-null": (MALFORMED, raw_header(b"null")),
    "header-cut": (MALFORMED, raw_header(b"{")),
    "header-nan": (MALFORMED, raw_header(b'{"alg":NaN}')),
    "header-deep": (MALFORMED, raw_header(b'{"alg":"RS256","kid":"k","x":' + _deep("["))),  # C8
    "header-no-utf8": (MALFORMED, raw_header(b'{"alg":"RS256","kid":"\xff"}')),
    "payload-list": (CLAIMS, payload(b"[]")),
    "payload-text": (CLAIMS, payload(b'"x"')),
    "payload-null": (CLAIMS, payload(b"null")),
    "payload-zero-byte": (CLAIMS, payload(b"\x00")),
    "payload-byte-order-mark": (CLAIMS, payload(b"\xef\xbb\xbf{}")),
    "payload-and-more": (CLAIMS, payload(b'{"iss":"x"} ,')),
    "payload-empty-object": (ISSUER, payload(b"{}")),
    "payload-deep": (CLAIMS, payload(_with("x", _deep("[")))),
    "payload-deep-for-an-object": (CLAIMS, payload(_with("kubernetes.io", _deep("[", "]")))),
    "payload-deep-for-a-number": (CLAIMS, payload(_deep('{"exp":', levels=1400) + b"1" + b"}" * 1400)),
    "payload-no-utf8": (CLAIMS, payload(b'{"iss":"\xff"}')),
    "payload-lone-surrogate": (CLAIMS, payload(b'{"iss":"\\ud800"}')),
    "payload-nan": (CLAIMS, payload(_with("exp", b"NaN"))),
    "payload-infinity": (CLAIMS, payload(_with("exp", b"-Infinity"))),
    "payload-infinity-in-an-unknown-claim": (CLAIMS, payload(_with("x", b"Infinity"))),
    "payload-number-of-5000-digits": (CLAIMS, payload(_with("exp", b"9" * 5000))),
}  # fmt: skip

CRYPTOGRAPHY: Table = {
    **_as(ALGORITHM, "alg", lambda alg: header(alg=alg), _listed(  # C9, C12
        "none", "None", "nOnE", "HS256", "HS512", "PS384", "EdDSA", "ML-DSA-44")),
    "alg-none-by-an-unknown-key": (ALGORITHM, header(alg="none", kid="mine")),
    "alg-empty": (ALGORITHM, header(alg="")),
    "alg-missing": (MALFORMED, header(alg=ABSENT)),
    "alg-null": (MALFORMED, header(alg=None)),
    "alg-number": (MALFORMED, header(alg=1)),
    "alg-true": (MALFORMED, header(alg=True)),
    "alg-list": (MALFORMED, header(alg=["RS256"])),
    "alg-object": (MALFORMED, header(alg={"RS256": 1})),
    "alg-lower-case": (ALGORITHM, header(alg="rs256")),
    "alg-with-space": (ALGORITHM, header(alg="RS256 ")),
    "hs256-by-the-public-pem": (ALGORITHM, by_hmac(lambda key: key.as_pem(private=False))),  # C10
    "hs256-by-the-public-jwk": (ALGORITHM, by_hmac(lambda key: json.dumps(key.as_dict(private=False)).encode())),
    "hs256-by-nothing": (ALGORITHM, by_hmac(lambda key: b"")),
    "hmac-called-rs256": (SIGNATURE, by_hmac(lambda key: key.as_pem(private=False), "RS256")),
    "rs512": (ALGORITHM, by_algorithm("RS512")),
    "rs384": (ALGORITHM, by_algorithm("RS384")),
    "ps256": (ALGORITHM, by_algorithm("PS256")),
    "pss-called-rs256": (SIGNATURE, by_algorithm("PS256", "RS256")),
    "rs512-called-rs256": (SIGNATURE, by_algorithm("RS512", "RS256")),
    "es256-with-an-rsa-kid": (ALGORITHM, header(alg="ES256")),  # C13
    "es256-under-an-rsa-kid": (ALGORITHM, lambda forge: by_key(issuer_key("ES256"), forge.key.kid)(forge)),
    "rs256-with-an-ec-kid": (ALGORITHM, header(kid=issuer_key("ES256").kid)),
    "es256-with-a-p384-kid": (ALGORITHM, by_key(issuer_key("ES256"), issuer_key("ES384").kid)),
    "es512-with-a-p256-key": (ALGORITHM, header(alg="ES512", kid=issuer_key("ES256").kid)),
    "crit-unknown": (ALGORITHM, header(crit=["x"], x=1)),  # C15
    "crit-known": (ALGORITHM, header(crit=["exp"])),
    "crit-empty": (ALGORITHM, header(crit=[])),
    "crit-b64": (ALGORITHM, header(crit=["b64"], b64=False)),
    "crit-null": (ALGORITHM, header(crit=None)),
    "brings-its-jwk": (SIGNATURE, by_attacker(jwk=_JWK)),  # C16
    "brings-its-jwk-and-kid": (UNKNOWN, by_attacker(jwk=_JWK, kid="mine")),
    "brings-its-jku": (UNKNOWN, by_attacker(jku="http://127.0.0.1:1/keys", kid="mine")),
    "brings-its-x5u": (SIGNATURE, by_attacker(x5u="http://127.0.0.1:1/cert")),
    "brings-its-x5c": (SIGNATURE, by_attacker(x5c=["MIIB"])),
    "kid-missing": (MALFORMED, header(kid=ABSENT)),  # C17
    "kid-null": (MALFORMED, header(kid=None)),
    "kid-number": (MALFORMED, header(kid=1)),
    "kid-object": (MALFORMED, header(kid={"a": 1})),
    "kid-empty": (MALFORMED, header(kid="")),
    "kid-1024-characters": (UNKNOWN, header(kid="k" * 1024)),
    "kid-1025-characters": (MALFORMED, header(kid="k" * 1025)),
    "kid-10000-characters": (MALFORMED, header(kid="k" * 10_000)),
    "kid-path": (UNKNOWN, header(kid="../../etc/passwd")),
    "kid-sql": (UNKNOWN, header(kid="' OR 1=1; --")),
    "kid-with-line-break": (MALFORMED, header(kid='k\n{"event":"allowed"}')),
    "kid-in-another-case": (UNKNOWN, kid(str.swapcase)),
    "kid-with-combining-mark": (UNKNOWN, kid(lambda ours: f"{ours}\u0301")),
    "kid-with-zero-width": (MALFORMED, kid(lambda ours: f"{ours}\u200b")),
    "kid-twice-the-last-is-unknown": (UNKNOWN, raw_header(b'{"alg":"RS256","kid":"KID","kid":"x"}')),
    "alg-twice-the-last-is-none": (ALGORITHM, raw_header(b'{"alg":"RS256","kid":"KID","alg":"none"}')),
    **{f"signature-{damage}-{alg}": (SIGNATURE, signature(alg, change)) for alg in ALGORITHMS for damage, change in {  # C19
        "flipped": lambda good: good[:-1] + bytes([good[-1] ^ 1]),
        "cut": lambda good: good[:-1],
        "of-zeros": lambda good: bytes(len(good)),
        "with-zeros-more": lambda good: good + bytes(1000),
        "of-one-byte": lambda good: b"\0",
    }.items()},
    **{f"signature-of-another-key-{alg}": (SIGNATURE, by_key(issuer_key(alg, 1), issuer_key(alg).kid)) for alg in ALGORITHMS},
    "signature-of-the-order": (SIGNATURE, signature("ES256", lambda _: _ORDER_P256.to_bytes(32, "big") * 2)),
    "signature-in-der": (SIGNATURE, signature("ES256",
        lambda raw: b"\x30\x44\x02\x20" + raw[:32] + b"\x02\x20" + raw[32:])),
    "payload-changed": (SIGNATURE, part(1, lambda text: text[:-2] + ("AA" if text[-2:] != "AA" else "BB"))),
    "header-changed": (SIGNATURE, lambda forge: ".".join(
        [header(x=1)(forge).partition(".")[0], forge.good().partition(".")[2]])),
    "another-cluster-with-our-kid": (SIGNATURE, by_attacker(typ="JWT")),  # C22
}  # fmt: skip

# Nothing is converted: a claim is what Kubernetes writes there, or the token is refused.
_NO_TIMES = {"text": "1", "float": 1.5, "whole-float": 1.0, "negative": -1, "1e300": 1e300, "2^53+1": (1 << 53) + 1,
             "2^63": 1 << 63, "2^64": 1 << 64, "true": True, "null": None, "list": [], "missing": ABSENT}  # fmt: skip
TIMES: Table = {
    **_as(CLAIMS, "exp", lambda value: claim(exp=value), _NO_TIMES),  # C23
    **_as(CLAIMS, "nbf", lambda value: claim(nbf=value), _NO_TIMES),  # C25
    **_as(CLAIMS, "iat", lambda value: claim(iat=value), _NO_TIMES),  # C26
    "exp-zero": (EXPIRED, claim(exp=0)),
    "expired-1-second-ago": (EXPIRED, at(exp=-1)),  # C24
    "expired-this-second": (EXPIRED, at(exp=0)),
    "nbf-beyond-the-skew": (EARLY, at(nbf=60)),
    "iat-beyond-the-skew": (EARLY, at(iat=60)),
    "iat-after-exp": (CLAIMS, at(iat=20, exp=10)),
    "lifetime-of-a-year": (LIFETIME, at(exp=31_536_000)),  # C27
    "lifetime-to-2286": (LIFETIME, claim(exp=9_999_999_999)),
    "lifetime-to-2^53": (LIFETIME, claim(exp=1 << 53)),
    "issued-in-1970": (LIFETIME, claim(iat=0)),
    "past-its-warnafter": (EXPIRED, warned(-1)),
    "warnafter-text": (CLAIMS, kubernetes(warnafter="soon")),
}  # fmt: skip

ISSUERS: Table = {
    **_as(ISSUER, "iss", lambda value: claim(iss=value), {  # C28
        "with-slash": f"{US}/", "upper-case": US.upper(), "prefix": US[:-1], "longer": f"{US}.evil.example",
        "behind-another": f"https://evil.example/{US}", "missing": ABSENT, "empty": "", "with-space": f"{US} ",
        "another-cluster": "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789",
        "full-width": US.replace("k", "\uff4b", 1)}),
    **_as(CLAIMS, "iss", lambda value: claim(iss=value), {"list": [US], "number": 1, "null": None, "object": {}}),
    "iss-twice-the-last-is-theirs": (ISSUER, json_claim('"jti":', '"iss":"https://evil.example","jti":')),
    **_as(AUDIENCE, "aud", lambda value: claim(aud=value), {  # C29
        "missing": ABSENT, "empty": [], "empty-text": "", "other": ["https://kubernetes.default.svc"],
        "upper-case": [OURS.upper()], "with-space": [f"{OURS} "], "longer": [f"{OURS}-admin"],
        "longer-text": f"{OURS}x", "in-two-pieces": ["nat", "s"], "as-one-text-of-two": f"{OURS} other",
        "full-width": ["\uff4e\uff41\uff54\uff53"]}),
    **_as(CLAIMS, "aud", lambda value: claim(aud=value), {
        "object": {OURS: True}, "number": 1, "true": True, "numbers": [1], "nested": [[OURS]], "null": None}),
    "aud-twice-the-last-is-theirs": (AUDIENCE, json_claim('"exp":', '"aud":["vault"],"exp":')),
}  # fmt: skip

_NO_LABELS = {
    "empty": "", "slash": "a/x", "star": "*", "greater": ">", "sys": "$SYS", "with-underscore": "_INBOX", "space": "team a",
    "with-newline": "team-a\n", "with-nul": "team-a\x00", "upper-case": "Team-A", "hyphen-first": "-a", "hyphen-last": "a-",
    "with-colon": "a:b", "cyrillic": "team-\u0430", "full-width": "team\uff0da", "long-s": "\u017fecret",
    "kelvin-sign": "\u212a", "other-digits": "\u0661", "percent": "a%2eb", "combining": "orde\u0301rs",
    "254-characters": "a" * 254,
}  # fmt: skip
NAMES: Table = {
    "legacy-secret-token": (ISSUER, claim(**{  # C31
        "iss": "kubernetes/serviceaccount", "kubernetes.io": ABSENT, "aud": ABSENT, "exp": ABSENT, "iat": ABSENT,
        "nbf": ABSENT, "kubernetes.io/serviceaccount/namespace": "team-a",
    })),
    **_as(CLAIMS, "kubernetes", lambda value: claim(**{"kubernetes.io": value}), {  # C32
        "missing": ABSENT, "text": "team-a", "list": [], "null": None}),
    "kubernetes-twice-the-last-is-anothers": (CLAIMS, json_claim('"nbf":',
        '"kubernetes.io":{"namespace":"team-b","serviceaccount":{"name":"web","uid":"u"}},"nbf":')),
    "sub-twice-the-last-is-anothers": (CLAIMS, json_claim(f'"sub":"{_SUB}"',
        f'"sub":"{_SUB}","sub":"system:serviceaccount:team-b:web"')),
    **_as(CLAIMS, "namespace", lambda value: named(value, "orders"), {  # C33
        **_NO_LABELS, "with-slash": "team-a/x", "with-dot": "team.a", "64-characters": "a" * 64}),
    **_as(CLAIMS, "name", lambda value: named("team-a", value), {
        **_NO_LABELS, "with-slash": "../team-b/web", "dot-first": ".a", "two-dots": "a..b", "dot-at-the-end": "orders.",
        "hyphen-after-a-dot": "a.-b"}),
    "namespace-missing": (CLAIMS, kubernetes(namespace=ABSENT)),
    "namespace-number": (CLAIMS, kubernetes(namespace=1)),
    "serviceaccount-missing": (CLAIMS, kubernetes(serviceaccount=ABSENT)),
    "serviceaccount-text": (CLAIMS, kubernetes(serviceaccount="x")),
    "name-missing": (CLAIMS, account(uid=uid_of("team-a", "orders"))),
    "name-number": (CLAIMS, account(name=1)),
    "pod-list": (CLAIMS, kubernetes(pod=[])),
    "jti-number": (CLAIMS, claim(jti=1)),
    **_as(CLAIMS, "sub", lambda value: claim(sub=value), {  # C34, C39
        "disagrees": "system:serviceaccount:team-a:worker", "of-another-namespace": "system:serviceaccount:team-b:orders",
        "longer": f"{_SUB}2", "missing": ABSENT, "empty": "", "user": "system:admin", "node": "system:node:node-1",
        "anonymous": "system:anonymous", "five-parts": f"{_SUB}:x", "three-parts": "system:serviceaccount:team-a",
        "two-parts": "team-a:orders", "with-space": f" {_SUB}", "with-newline": f"{_SUB}\n", "upper-case": _SUB.upper(),
        "number": 1, "null": None, "list": []}),
    **_as(CLAIMS, "uid", lambda value: account(name="orders", uid=value), {  # C35
        "empty": "", "number": 7, "list": ["x"], "129-characters": "u" * 129, "with-newline": "a\nb"}),
    "uid-missing": (CLAIMS, account(name="orders")),
    **_as(UID, "uid", lambda value: account(name="orders", uid=value), {
        "of-another": "uid-of-nobody", "in-another-case": uid_of("team-a", "orders").upper(),
        "of-a-sibling": uid_of("team-a", "worker"), "longer": f"{uid_of('team-a', 'orders')}0"}),
    "account-that-is-not-there": (NOBODY, named("team-a", "nobody")),
    "namespace-that-is-not-there": (NOBODY, named("team-z", "orders")),
}  # fmt: skip

HOSTILE: Table = {**FORMS, **CRYPTOGRAPHY, **TIMES, **ISSUERS, **NAMES}


def _other_half(forge: Forge) -> str:
    """Return a token under the other of the two signatures that ECDSA knows for a message."""
    return signature(
        "ES256", lambda raw: raw[:32] + (_ORDER_P256 - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    )(forge)


LET_IN: Mapping[str, Make] = {
    **{alg: by_key(issuer_key(alg), issuer_key(alg).kid) for alg in ALGORITHMS},
    # Policy: header members beside `alg`, `kid` and `crit` say nothing that the signature and the claims do not.
    "typ-at+jwt": header(typ="at+jwt"),
    "typ-number": header(typ=7),
    "cty": header(cty="x"),
    "b64-not-critical": header(b64=False),
    "jku": header(jku="http://169.254.169.254/"),
    "x5u-number": header(x5u=1),
    "x5c": header(x5c=["x"]),
    "unknown-member": header(something={"new": []}),
    # ECDSA knows two signatures for one message. The other one is no other token: same claims, same end.
    "ecdsa-other-half": _other_half,
    # NTP drift between nodes is no reason to refuse a pod.
    "nbf-5-seconds-ahead": at(nbf=5, iat=5, exp=600),
    "aud-also-the-api-server": claim(aud=[OURS, "https://kubernetes.default.svc"]),
    "aud-as-text": claim(aud=OURS),
    "no-pod": lambda forge: forge.good(pod=""),
    # `kubectl create token` before 1.30.
    "no-pod-and-no-jti": lambda forge: forge.good(pod="", without=["jti"]),
    # Each release of Kubernetes adds some.
    "unknown-claims": claim(new={"x": [1.5]}),
    "unknown-claims-of-kubernetes": kubernetes(node={"name": "n"}, attestations=[{"a": 1}]),
}
