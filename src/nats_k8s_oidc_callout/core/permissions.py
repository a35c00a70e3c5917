"""What a workload may publish and subscribe: the defaults of its namespace, and what its annotations add.

Annotations are written by tenants, so an entry is taken only if it can reach nothing that others depend on: inboxes,
the system's subjects, or JetStream beyond the named stream.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from nats_k8s_oidc_callout.core import subjects
from nats_k8s_oidc_callout.core.model import Permissions, Refusal

# Far above what teams write by hand; keeps the longest answer (256 x 256 characters a side) under max_payload.
MAX_ENTRIES = 256
# An annotation can be 256 KiB of commas. Reading on after this many entries would be work a tenant can order at will.
_MAX_WRITTEN = 4 * MAX_ENTRIES
_MAX_REFUSALS = 32
# Grants are kept by size, not number: a tenant can make one of 130 kB, and must not crowd out memory with it.
CACHE_BYTES = 16 << 20

_SEPARATORS = re.compile(r"[,\n]")
_JETSTREAM_ROOTS = ("$JS", "$KV", "$O")
_STREAM = "{stream}"
# `{stream}` stands for one literal token and a last `>` for one or more of any kind. With `$JS.API.>` a tenant could
# create a stream over other tenants' subjects and read them there; none of these creates or changes a stream.
_DATA_GRANTS = tuple(
    pattern.split(".")
    for pattern in (
        "$JS.ACK.{stream}.>",
        "$JS.FC.{stream}.>",
        "$KV.{stream}.>",
        "$O.{stream}.>",
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.INFO.{stream}",
        "$JS.API.STREAM.MSG.GET.{stream}",
        "$JS.API.DIRECT.GET.{stream}",
        "$JS.API.DIRECT.GET.{stream}.>",
        *(
            f"$JS.API.CONSUMER.{verb}.{{stream}}{tail}"
            for verb in ("CREATE", "DURABLE.CREATE", "INFO", "NAMES", "LIST", "MSG.NEXT", "DELETE")
            for tail in ("", ".>")
        ),
    )
)


class InboxMode(StrEnum):
    """Whether every workload of an account may read `_INBOX.>` (the guide's default), or only its own inbox."""

    SHARED = "shared"
    PRIVATE = "private"


class JetStreamGrants(StrEnum):
    """What an annotation may ask for below `$JS`, `$KV` and `$O`."""

    DATA = "data"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class PermissionRules:
    """What the platform decides for all workloads."""

    annotation_prefix: str = "nats.io/"
    inbox_mode: InboxMode = InboxMode.SHARED
    jetstream_grants: JetStreamGrants = JetStreamGrants.DATA
    replies_max: int = 1
    replies_ttl_seconds: float = 120.0

    @property
    def publish_annotation(self) -> str:
        return f"{self.annotation_prefix}allowed-pub-subjects"

    @property
    def subscribe_annotation(self) -> str:
        return f"{self.annotation_prefix}allowed-sub-subjects"


@dataclass(frozen=True, slots=True)
class Grant:
    """The permissions of one workload, which of them are defaults, and what was left out."""

    permissions: Permissions
    default_publish: tuple[str, ...]
    default_subscribe: tuple[str, ...]
    refused: tuple[Refusal, ...]


def private_inbox(namespace: str, name: str) -> str:
    """Return the inbox pattern that only this ServiceAccount may read.

    Names may contain dots, which NATS would take for more tokens, so that `a` could cover `a.b`; none contains `_`.
    """
    return f"_INBOX_{namespace}_{name.replace('.', '_')}.>"


def compile_grant(namespace: str, name: str, annotations: Mapping[str, str] | None, rules: PermissionRules) -> Grant:
    """Return what a ServiceAccount with these annotations may do."""
    own = f"{namespace}.>"
    inboxes: tuple[str, ...] = (private_inbox(namespace, name),)
    if rules.inbox_mode is InboxMode.SHARED:
        inboxes = ("_INBOX.>", *inboxes)
    refused: list[Refusal] = []
    publish = _add((own,), annotations, rules.publish_annotation, rules, refused)
    subscribe = _add((own, *inboxes), annotations, rules.subscribe_annotation, rules, refused)
    permissions = Permissions(publish, subscribe, rules.replies_max, rules.replies_ttl_seconds)
    return Grant(permissions, (own,), (own, *inboxes), tuple(refused))


def _add(
    defaults: tuple[str, ...],
    annotations: Mapping[str, str] | None,
    annotation: str,
    rules: PermissionRules,
    refused: list[Refusal],
) -> tuple[str, ...]:
    """Return the defaults and the entries of one annotation, each once, in the order they were written."""
    taken = dict.fromkeys(defaults)
    unread = 0
    written = _SEPARATORS.split((annotations or {}).get(annotation, ""), maxsplit=_MAX_WRITTEN)
    if len(written) > _MAX_WRITTEN:
        unread = 1 + len(_SEPARATORS.findall(written.pop()))
    refusals: list[Refusal] = []
    for entry in written:
        subject = entry.strip()
        if not subject or subject in taken:
            continue
        why = subjects.problem(subject) or _trespass(subject, rules.jetstream_grants)
        if not why and len(taken) == MAX_ENTRIES:
            why = f"is beyond the {MAX_ENTRIES} entries that one side may have"
        if not why:
            taken[subject] = None
        elif len(refusals) < _MAX_REFUSALS:
            refusals.append(Refusal(annotation, subject[: subjects.MAX_CHARACTERS], why))
        else:
            unread += 1
    if unread:
        refusals.append(Refusal(annotation, "…", f"and {unread} more entries are left out"))
    refused.extend(refusals)
    return tuple(taken)


def _trespass(subject: str, grants: JetStreamGrants) -> str:
    """Return why a tenant may not have this well-formed subject, or an empty string."""
    tokens = subject.split(".")
    first = tokens[0]
    # A wildcard here matches `_INBOX` and `$SYS` too, whatever follows.
    if not subjects.is_literal(first):
        return "starts with a wildcard, which reaches every inbox and system subject"
    if first.startswith("_"):
        return "is reserved for inboxes and replies"
    if not first.startswith("$"):
        return ""
    if first not in _JETSTREAM_ROOTS:
        return "is a system subject"
    if grants is JetStreamGrants.ADMIN or any(_fits(tokens, pattern) for pattern in _DATA_GRANTS):
        return ""
    return "reaches JetStream beyond the data of one named stream or bucket (JETSTREAM_GRANTS)"


def _fits(tokens: list[str], pattern: list[str]) -> bool:
    """Say whether everything that `tokens` matches lies inside `pattern`."""
    for position, wanted in enumerate(pattern):
        if wanted == ">":
            return len(tokens) > position
        if position == len(tokens):
            return False
        token = tokens[position]
        if not subjects.is_literal(token) or (wanted not in (_STREAM, token)):
            return False
    return len(tokens) == len(pattern)


class _Side(msgspec.Struct, omit_defaults=True):
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class _Replies(msgspec.Struct):
    max: int
    ttl: int


class _NatsUser(msgspec.Struct, omit_defaults=True):
    pub: _Side
    sub: _Side
    resp: _Replies | None = None
    # -1 is "no limit"; the server ignores these for callout users, but its validation wants them set.
    subs: int = msgspec.field(default=0)
    data: int = msgspec.field(default=0)
    payload: int = msgspec.field(default=0)
    type: str = ""
    version: int = 0


# A login under such a connection name asks for less than its workload may: only to be told by the server who it is and
# in which account. Anybody may take the name, since it gives up everything and gains a look at oneself.
SELF_TEST = "nats-k8s-oidc-callout self-test "
WHO_AM_I = "$SYS.REQ.USER.INFO"

_NOTHING = _Side(deny=(">",))
_encode = msgspec.json.Encoder().encode


def encode(permissions: Permissions) -> bytes:
    """Return the JSON object `nats` of a user JWT, or nothing when there is nothing the user may do.

    To NATS a side without an allow list is a side with every right (server/accounts.go, facts 7.3): such a side is
    written as `deny: [">"]`.
    """
    if not permissions.publish and not permissions.subscribe:
        return b""
    replies = None
    if permissions.replies_max:
        replies = _Replies(permissions.replies_max, round(permissions.replies_ttl_seconds * 1_000_000_000))
    return _encode(
        _NatsUser(
            pub=_Side(allow=permissions.publish) if permissions.publish else _NOTHING,
            sub=_Side(allow=permissions.subscribe) if permissions.subscribe else _NOTHING,
            resp=replies,
            subs=-1,
            data=-1,
            payload=-1,
            type="user",
            version=2,
        )
    )


def self_test(namespace: str, name: str) -> bytes:
    """Return the encoded grant of a self-test: to ask the server about oneself, and to hear the answer."""
    return encode(Permissions((WHO_AM_I,), (private_inbox(namespace, name),), 0, 0.0))


@dataclass(slots=True)
class Grants:
    """Encoded grants of the workloads that log in, made again only when their annotations changed."""

    rules: PermissionRules
    _kept: dict[tuple[str, str], tuple[Mapping[str, str] | None, bytes]] = field(default_factory=dict)
    size: int = 0
    """What is kept, in bytes."""

    def of(self, namespace: str, name: str, annotations: Mapping[str, str] | None) -> tuple[bytes, tuple[Refusal, ...]]:
        """Return the encoded grant, and what was refused if it had to be made just now."""
        key = namespace, name
        kept = self._kept.get(key)
        if kept is not None and (kept[0] is annotations or kept[0] == annotations):
            return kept[1], ()
        grant = compile_grant(namespace, name, annotations, self.rules)
        encoded = encode(grant.permissions)
        self._keep(key, annotations, encoded)
        return encoded, grant.refused

    def _keep(self, key: tuple[str, str], annotations: Mapping[str, str] | None, encoded: bytes) -> None:
        self._forget(key)
        self._kept[key] = annotations, encoded
        self.size += _size(annotations, encoded)
        while self.size > CACHE_BYTES and len(self._kept) > 1:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: tuple[str, str]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.size -= _size(*kept)


def _size(annotations: Mapping[str, str] | None, encoded: bytes) -> int:
    return len(encoded) + sum(map(len, (annotations or {}).values()))
