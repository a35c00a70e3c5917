"""What is fuzzed, and what must hold for any bytes: a function for each parser, which raises when it does not.

Known refusals (BadKeySet, Deny, Unanswerable …) are answers. Every other exception is a find, and so is an answer that
is wrong by its own words. Nothing in here needs the fuzzer: tests/test_fuzz_corpus.py replays the kept inputs by it.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey

from fuzz.connections import connections
from nats_k8s_oidc_callout.adapters.manifests import ManifestFolder
from nats_k8s_oidc_callout.adapters.telemetry.redaction import clean, redact
from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.decide import Facts, decide
from nats_k8s_oidc_callout.core.grants import annotations
from nats_k8s_oidc_callout.core.grants.entries import PUBLISH, SUBSCRIBE
from nats_k8s_oidc_callout.core.grants.terms import InboxMode
from nats_k8s_oidc_callout.core.identity import issuers, tokens
from nats_k8s_oidc_callout.core.identity.keyset import KeySet, parse_jwks
from nats_k8s_oidc_callout.core.kubernetes.namespaces import Namespaces
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from nats_k8s_oidc_callout.core.kubernetes.wire import SERVICE_ACCOUNTS
from nats_k8s_oidc_callout.core.model import Allow, Deny, Drop, NeedKeys, NeedServiceAccount, Reason, Token
from nats_k8s_oidc_callout.core.names import is_label_value
from nats_k8s_oidc_callout.core.nats import callout, natsjwt, subjects, user
from nats_k8s_oidc_callout.core.nats.callout import Unanswerable
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.signers import config_mode
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from nats_k8s_oidc_callout.errors import BadKey, BadKeySet, BadManifest, Unreachable
from nats_k8s_oidc_callout.settings import keyfiles
from tests.fakes.issuer import AUDIENCE, ISSUER, NOW, UID, Issuer, IssuerKey, jwks
from tests.fakes.rules import CLAIMS, PREFIX, TERMS, fresh_grants

Target = Callable[[bytes], None]

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


def _text(data: bytes, with_surrogates: bool) -> str:
    """Return any bytes as text, with lone surrogates in it when those are wanted."""
    return data.decode("utf-8", "surrogateescape" if with_surrogates else "replace")


def token(data: bytes) -> None:
    """`r` and a token as it is · `s`, a header, a newline and a payload, which the issuer's own key then signs."""
    mode, rest = data[:1], data[1:]
    if mode == b"s":
        header, _, payload = rest.partition(b"\n")
        text = _sign(header, payload)
    else:
        text = _text(rest, mode == b"u")
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


_SIGNED_TOKEN = KUBERNETES.token()
# ECDSA signs anew each time, and (r, −s) is as good as (r, s): what is signed is what must not change.
_SIGNED_PART = _SIGNED_TOKEN.rpartition(".")[0]


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


def key_set(data: bytes) -> None:
    """A key endpoint's answer."""
    try:
        parsed = parse_jwks(data)
    except BadKeySet:
        return
    assert 0 < len(parsed.keys) <= 100
    for kid, key in parsed.keys.items():
        assert kid == key.kid and tokens.legal_kid(kid)
        assert key.alg in tokens.ALGORITHMS
        assert key.alg != "RS256" or key.numbers[0].bit_length() >= 2048
        assert not key.key.is_private


def watch(data: bytes) -> None:
    """Lines of a watch, one after the other, upon indexes that know one ServiceAccount, and one Namespace."""
    labels = _labels()
    index = Index("nats.io/")
    index.begin().put("team-a", "orders", index.entry("uid-1", None))
    for line in data.split(b"\n")[:16]:
        with suppress(Unreachable):
            labels.apply(line)
        before = dict(index._entries)
        try:
            event = index.apply(line)
        except Unreachable:
            assert before == index._entries, "a line that could not be read changed something"
            continue
        lost = before.keys() - index._entries.keys()
        assert not lost or event.kind != "BOOKMARK"
    _check_index(index)
    _check_labels(labels)


def list_page(data: bytes) -> None:
    """A page of a list, of ServiceAccounts or of Namespaces."""
    labels = _labels()
    with suppress(Unreachable):
        labels.begin().page(data)
    _check_labels(labels)
    index = Index("nats.io/")
    index.begin().put("team-a", "orders", index.entry("uid-1", None))
    relist = index.begin()
    try:
        page = relist.page(data)
    except Unreachable:
        assert index.find("team-a", "orders") is not None
        return
    assert page.resource_version == SERVICE_ACCOUNTS.read_version(data)
    relist.commit()
    _check_index(index)


def _labels() -> Namespaces:
    labels = Namespaces(["team", "kubernetes.io/metadata.name"])
    labels.begin().put("team-a", {"team": "a"})
    return labels


def _check_labels(labels: Namespaces) -> None:
    shared = list(labels._entries.values())
    assert {id(one) for one in shared} == {id(one) for one in labels._sets.values()}
    for name, found in labels._entries.items():
        assert name and "/" not in name, name
        assert set(found) <= set(labels.keys) and all(map(is_label_value, found.values())), found


def _check_index(index: Index) -> None:
    for name, entry in index._entries.items():
        assert name.count("/") == 1 and not name.startswith("/") and not name.endswith("/"), name
        assert entry.uid
        assert all(key.startswith("nats.io/") for key in entry.annotations or {})


_CHANGING = {"CREATE", "UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE", "LEADER", "PEER"}


def _check_reach(subject: str) -> None:
    """Say it again, in other words than the code that decides: what a tenant's entry must never match."""
    first, *rest = subject.split(".")
    assert first not in ("*", ">") and not first.startswith("_"), subject
    if not first.startswith("$"):
        return
    assert first in ("$JS", "$KV", "$O") and rest, subject
    # The stream or bucket is named: `*` or `>` in its place would be everybody's.
    assert rest[0] not in ("*", ">"), subject
    if first == "$JS" and rest[0] == "API":
        assert len(rest) > 1 and rest[1] in ("INFO", "STREAM", "DIRECT", "CONSUMER"), subject
        assert rest[1] != "STREAM" or (not _CHANGING & set(rest[2:3]) and rest[2:3] != [">"]), subject
        named = {"INFO": 2, "STREAM": 3, "DIRECT": 4, "CONSUMER": 4}[rest[1]]
        assert not {"*", ">"} & set(rest[:named]), subject


def annotation(data: bytes) -> None:
    """What a tenant writes for subjects; the first byte picks side and inbox mode."""
    text = data[1:].decode("utf-8", "replace")
    private = bool(data[:1]) and data[0] & 1 == 1
    terms = replace(TERMS, inbox_mode=InboxMode.PRIVATE if private else InboxMode.SHARED)
    # One side at a time: both are compiled alike, and it is twice as fast.
    side = SUBSCRIBE if data[:1] and data[0] & 2 else PUBLISH
    written = {PREFIX + side: text}
    grant = annotations.compile_grant("team-a", "orders.v2", written, terms, PREFIX)
    for subjects_of_side, given in (
        (grant.permissions.publish, grant.default_publish),
        (grant.permissions.subscribe, grant.default_subscribe),
    ):
        assert len(subjects_of_side) <= annotations.MAX_ENTRIES
        for subject in subjects_of_side[len(given) :]:
            assert not subjects.problem(subject), subject
            _check_reach(subject)
    assert len(grant.refused) <= 2 * 33
    wire = json.loads(user.encode(grant.permissions))
    for name in ("pub", "sub"):
        assert wire[name].get("allow") or wire[name].get("deny") == [">"], wire


def manifest(data: bytes) -> None:
    """A file in the folder of manifests."""
    index = Index("nats.io/")
    folder = ManifestFolder(Path(), index)
    try:
        for found in folder._parse(data):
            index.begin().put(*found)
    except BadManifest as error:
        assert len(str(error)) < 200
        return
    for name in index._entries:
        assert name.count("/") == 1, name


_QUOTED = 12


def secret_file(data: bytes) -> None:
    """A creds file or a file of seeds: refused without quoting it."""
    readers: tuple[Callable[[bytes], object], ...] = (
        keyfiles.read_creds,
        keyfiles.read_signing_keys,
        keyfiles.read_account_signer,
        keyfiles.read_xkeys,
        keyfiles.read_sentinel,
    )
    for read in readers:
        try:
            read(data)
        except BadKey as error:
            said = str(error)
            text = data.decode("latin-1")
            runs = re.findall(rf"[A-Z2-7]{{{_QUOTED},}}", text)
            assert not any(run[:_QUOTED] in said for run in runs), said
    keyfiles.own_issuer(data)


def log_text(data: bytes) -> None:
    """Text that ends up in a log line, with a seed put in the middle."""
    text = _text(data[1:], data[:1] == b"u")
    shown = clean(text)
    assert shown.isprintable() and len(shown) <= 129
    assert _SEED not in redact(f"{text} {_SEED} {text}")
    assert _SIGNED_TOKEN not in redact(f"{text} {_SIGNED_TOKEN} {text}")


_SEED = "SA" + "A2B3C4D5E6F7" * 4 + "ABCDEFGH"

TARGETS: Mapping[str, Target] = {
    target.__name__: target
    for target in (
        token,
        request,
        box,
        key_set,
        watch,
        list_page,
        annotation,
        manifest,
        secret_file,
        log_text,
        connections,
    )
}
