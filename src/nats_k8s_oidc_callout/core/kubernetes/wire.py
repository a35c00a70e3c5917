"""The API server's bytes about ServiceAccounts, as its list, watch and get answer them. What they mean is serviceaccounts.

Each doubt is an error: an answer is a list only when it says so, and a watch line that cannot be read is never skipped.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple, TypeVar

import msgspec

from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import Unreachable, Unreadable

T = TypeVar("T")


class Page(NamedTuple):
    """Where a list goes on (`continue_token`, empty on the last page) and which version it shows."""

    continue_token: str
    resource_version: str


class EventKind(StrEnum):
    """What a watch line says."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"


class Event(NamedTuple):
    """A watch line. `resource_version` is opaque and empty for ERROR; `code` and `reason` are set for ERROR only."""

    kind: EventKind
    resource_version: str
    code: int = 0
    reason: str = ""

    @property
    def is_gone(self) -> bool:
        """The server no longer has the history we ask for: only a new list tells the truth."""
        return self.code == 410 or self.reason in ("Expired", "Gone")


class Meta(msgspec.Struct, gc=False):
    """A ServiceAccount's metadata, as far as we read it."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    deletion: str | None = msgspec.field(name="deletionTimestamp", default=None)
    annotations: dict[str, str] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it says which ServiceAccount it is of."""
        return bool(self.uid) and is_name(self.name) and is_name(self.namespace)


class _Object(msgspec.Struct, gc=False):
    metadata: Meta
    kind: str = ""  # items of a list come without


class _ListMeta(msgspec.Struct, gc=False):
    resource_version: str = msgspec.field(name="resourceVersion")
    continue_token: str = msgspec.field(name="continue", default="")


class _Head(msgspec.Struct, gc=False):
    """A list without its items."""

    kind: str
    metadata: _ListMeta


class _List(_Head, gc=False):
    items: list[_Object] | None


class _RawList(_Head, gc=False):
    items: list[msgspec.Raw] | None


class _Subject(msgspec.Struct, gc=False):
    """A ServiceAccount, or the Status of an ERROR line."""

    metadata: Meta = msgspec.field(default_factory=Meta)
    code: int = 0
    reason: str = ""


class _Line(msgspec.Struct, gc=False):
    type: EventKind
    object: _Subject


# A heavier page is read item by item: with one emoji in it a text takes four times as much as it did in the page.
_AT_ONCE_BYTES = 1 << 20

_NO_LIST = "the answer is not a list of ServiceAccounts"

_read_list = reader(_List)
_read_head = reader(_Head)
_read_raw_list = reader(_RawList)
_read_object = reader(_Object)
_read_line = reader(_Line)


def read_event(line: bytes) -> tuple[Event, Meta]:
    """Return what a line of a watch is, and the ServiceAccount that an ADDED, MODIFIED or DELETED is about.

    Raises Unreachable for a line that cannot be read; nothing of it goes into the message, since tenants write it.
    """
    try:
        read = _read_line(line)
    except Unreadable as error:
        raise Unreachable("a watch line is not an event that we know") from error
    meta = read.object.metadata
    if read.type is EventKind.ERROR:
        return Event(read.type, "", read.object.code, read.object.reason), meta
    if not meta.resource_version:
        raise Unreachable("a watch line has no resource version")
    if read.type is not EventKind.BOOKMARK and not meta.is_whole:
        raise Unreachable("a watch line does not say which ServiceAccount it is about")
    return Event(read.type, meta.resource_version), meta


def read_one(body: bytes) -> Meta:
    """Return the one ServiceAccount that a GET answered; raise Unreachable when the answer is something else."""
    try:
        read = _read_object(body)
    except Unreadable as error:
        raise Unreachable("the answer is not a ServiceAccount") from error
    if read.kind != "ServiceAccount" or not read.metadata.is_whole:
        raise Unreachable("the answer is not a ServiceAccount")
    return read.metadata


def read_page(body: bytes) -> tuple[Page, Iterator[Meta | None]]:
    """Return where a list goes on, and its items in order, None for each that cannot be read.

    Raises Unreachable when it is not a ServiceAccountList: `{}` must never pass for an empty cluster.
    """
    read: _List | _RawList
    items: Iterator[Meta | None]
    try:
        if len(body) > _AT_ONCE_BYTES:
            raise Unreadable("is too large to be read at once")
        read = _read_list(body)
        items = (_whole_or_none(item.metadata) for item in read.items or ())
    except Unreadable:
        read = _listed(body, _read_raw_list)
        items = map(_readable, read.items or ())
    return Page(read.metadata.continue_token, _version_of(read)), items


def read_version(body: bytes) -> str:
    """Return the version that a list shows, its items unread; raise Unreachable when the answer is something else."""
    return _version_of(_listed(body, _read_head))


def _listed(body: bytes, read: Callable[[bytes], T]) -> T:
    try:
        return read(body)
    except Unreadable as error:
        raise Unreachable(_NO_LIST) from error


def _version_of(read: _Head) -> str:
    if read.kind != "ServiceAccountList" or not read.metadata.resource_version:
        raise Unreachable(_NO_LIST)
    return read.metadata.resource_version


def _readable(item: msgspec.Raw) -> Meta | None:
    try:
        return _whole_or_none(_read_object(item).metadata)
    except Unreadable:
        return None


def _whole_or_none(meta: Meta) -> Meta | None:
    return meta if meta.is_whole else None


def is_name(text: str) -> bool:
    """Tell whether the index can hold it: a slash would make two identities share one key.

    The API server refuses a slash too, as a path segment.
    """
    return bool(text) and "/" not in text
