"""What clients and servers send at a login, fuzzed: tokens, and questions in clear and sealed."""

import json
import re
from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey

from nats_k8s_oidc_callout.adapters.telemetry.redaction import clean
from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.decide import Facts, decide
from nats_k8s_oidc_callout.core.identity import issuers, tokens
from nats_k8s_oidc_callout.core.identity.keyset import KeySet, parse_jwks
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from nats_k8s_oidc_callout.core.model import Allow, Deny, Drop, NeedKeys, NeedServiceAccount, Reason, Token
from nats_k8s_oidc_callout.core.nats import callout, natsjwt
from nats_k8s_oidc_callout.core.nats.callout import Unanswerable
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.signers import config_mode
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from tests.fakes.issuer import AUDIENCE, ISSUER, NOW, UID, Issuer, IssuerKey, jwks
from tests.fakes.rules import CLAIMS, fresh_grants

# One key for all runs, so that a kept token means the same in each of them: the example of RFC 7517, A.2.
_EC: Mapping[str, str] = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
}


KEY = IssuerKey("ES256", ECKey.import_key(dict(_EC)))
_PRIVATE = ec.derive_private_key(int.from_bytes(base64url.decode(_EC["d"].encode()), "big"), ec.SECP256R1())
KUBERNETES = Issuer(keys=[KEY])
KEYS = parse_jwks(jwks(KEY)).keys
SERVER = SigningKey(Kind.SERVER, bytes([3] * 32))
THEIRS, OURS = CurveKey(bytes([4] * 32)), CurveKey(bytes([5] * 32))
OUR_ISSUER = SigningKey(Kind.ACCOUNT, bytes([1] * 32))
SIGNERS = config_mode("APP", [OUR_ISSUER])

_NAMES = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def _sign(header: bytes, payload: bytes) -> str:
    """Do as `IssuerKey.sign`, four times as fast."""
    signed = base64url.encode(header) + b"." + base64url.encode(payload)
    r, s = decode_dss_signature(_PRIVATE.sign(signed, ec.ECDSA(hashes.SHA256())))
    return (signed + b"." + base64url.encode(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()


def text_of(data: bytes, with_surrogates: bool) -> str:
    """Return any bytes as text, with lone surrogates in it when those are wanted."""
    return data.decode("utf-8", "surrogateescape" if with_surrogates else "replace")


def token(data: bytes) -> None:
    """`r` and a token as it is · `s`, a header, a newline and a payload, which the issuer's own key then signs."""
    mode, rest = data[:1], data[1:]
    if mode == b"s":
        header, _, payload = rest.partition(b"\n")
        text = _sign(header, payload)
    else:
        text = text_of(rest, mode == b"u")
    seen = tokens.peek(Token(text))
    if isinstance(seen, Deny):
        return
    key = KEYS.get(seen.kid, KEYS[KEY.kid])
    claims = tokens.verify(seen, key)
    if isinstance(claims, Deny):
        return
    assert mode == b"s" or text.rpartition(".")[0] == _SIGNED_PART, "a signature that nobody made"
    proved = issuers.accept(claims, CLAIMS, NOW)
    if isinstance(proved, issuers.Proved):
        who = proved.workload
        assert _NAMES.fullmatch(str(who)), who
        assert claims.sub == who.username
        assert isinstance(claims.exp, int) and claims.exp > NOW
        assert claims.iss == ISSUER and AUDIENCE in claims.audiences
        assert len(proved.other_audiences) < issuers.MAX_AUDIENCES


SIGNED_TOKEN = KUBERNETES.token()
# ECDSA signs anew each time, and (r, −s) is as good as (r, s): what is signed is what must not change.
_SIGNED_PART = SIGNED_TOKEN.rpartition(".")[0]


def _facts() -> Facts:
    keys = KeySet()
    keys.replace(KEYS, 0.0)
    index = Index("nats.io/")
    index.begin().put("team-a", "orders", index.entry(UID, None))
    return Facts(CLAIMS, (), keys, index, fresh_grants())


FACTS = _facts()


def request(data: bytes) -> None:
    """`r` and a message as it is · `s` and claims, which a server key then signs · `h`, a header, a newline, claims."""
    mode, rest = data[:1], data[1:]
    if mode == b"s":
        message = natsjwt.sign(rest, SERVER)
    elif mode == b"h":
        head, _, body = rest.partition(b"\n")
        signed = base64url.encode(head) + b"." + base64url.encode(body)
        message = signed + b"." + base64url.encode(SERVER.sign(signed))
    else:
        message = rest
    _opened(message, "", ())


def box(data: bytes) -> None:
    """`r`, the header's key, a newline and a message · `s` and a text, which is then sealed for us."""
    mode, rest = data[:1], data[1:]
    if mode == b"s":
        header, message = THEIRS.public, THEIRS.seal(OURS.public, bytes(24), rest)
    else:
        name, _, message = rest.partition(b"\n")
        header = name.decode("utf-8", "surrogateescape")
    _opened(message, header, (OURS,))


def _opened(message: bytes, header: str, xkeys: tuple[CurveKey, ...]) -> None:
    try:
        asked, opened_by = callout.open_request(message, header, SIGNERS.answers, xkeys, clear_allowed=not xkeys)
    except Unanswerable as refused:
        assert refused.detail
        return
    assert asked.subject == OUR_ISSUER.public
    assert not xkeys or opened_by is OURS
    verdict = decide(asked, FACTS, NOW, 1.0)
    assert isinstance(verdict, Allow | Deny | Drop | NeedKeys | NeedServiceAccount)
    if isinstance(verdict, Allow):
        assert asked.token is not None
        assert asked.token.reveal().rpartition(".")[0] == _SIGNED_PART, "somebody who has no token"
    else:
        verdict = Deny(Reason.INTERNAL)
    answer = callout.encode(asked, verdict, SIGNERS, None, NOW, bytes)
    claims = json.loads(base64url.decode(answer.split(b".")[1]))
    assert (claims["sub"], claims["aud"]) == (asked.user_nkey, asked.server_id)
    for chosen in (asked.client_host, asked.client_name, asked.server_name):
        assert clean(chosen).isprintable()
