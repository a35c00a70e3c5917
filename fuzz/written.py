"""What people write, fuzzed: annotations, files of secrets, and text that ends up in a log line."""

import json
import re
from collections.abc import Callable
from dataclasses import replace

from fuzz.logins import SIGNED_TOKEN, text_of
from nats_k8s_oidc_callout.adapters.telemetry.redaction import clean, redact
from nats_k8s_oidc_callout.core.grants import annotations
from nats_k8s_oidc_callout.core.grants.entries import PUBLISH, SUBSCRIBE
from nats_k8s_oidc_callout.core.grants.terms import InboxMode
from nats_k8s_oidc_callout.core.nats import subjects, user
from nats_k8s_oidc_callout.errors import BadKey
from nats_k8s_oidc_callout.settings import keyfiles
from tests.fakes.rules import PREFIX, TERMS

_QUOTED = 12
_SEED = "SA" + "A2B3C4D5E6F7" * 4 + "ABCDEFGH"
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
    text = text_of(data[1:], data[:1] == b"u")
    shown = clean(text)
    assert shown.isprintable() and len(shown) <= 129
    assert _SEED not in redact(f"{text} {_SEED} {text}")
    assert SIGNED_TOKEN not in redact(f"{text} {SIGNED_TOKEN} {text}")
