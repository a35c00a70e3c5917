"""The API server's bytes, as its list, watch and get answer them. What they mean is serviceaccounts and namespaces.

Each doubt is an error: an answer is a list only when it says so, and a watch line that cannot be read is never skipped.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

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
    """An object's metadata, as far as we read it of every kind."""

    name: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")

    @property
    def is_whole(self) -> bool:
        """Whether it says which object it is of."""
        return bool(self.uid) and is_name(self.name)


class AccountMeta(Meta, gc=False):
    """A ServiceAccount's metadata."""

    namespace: str = ""
    deletion: str | None = msgspec.field(name="deletionTimestamp", default=None)
    annotations: dict[str, str] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it says which ServiceAccount it is of."""
        return bool(self.uid) and is_name(self.name) and is_name(self.namespace)


class NamespaceMeta(Meta, gc=False):
    """A Namespace's metadata."""

    labels: dict[str, str] | None = None


M = TypeVar("M", bound=Meta)


class _Object(msgspec.Struct, Generic[M], gc=False):
    metadata: M
    kind: str = ""  # items of a list come without


class _ListMeta(msgspec.Struct, gc=False):
    resource_version: str = msgspec.field(name="resourceVersion")
    continue_token: str = msgspec.field(name="continue", default="")


class _Head(msgspec.Struct, gc=False):
    """A list without its items."""

    kind: str
    metadata: _ListMeta


class _List(_Head, Generic[M], gc=False):
    items: list[_Object[M]] | None


class _RawList(_Head, gc=False):
    items: list[msgspec.Raw] | None


class _Subject(msgspec.Struct, Generic[M], gc=False):
    """An object of the kind, or the Status of an ERROR line."""

    metadata: M | None = None
    code: int = 0
    reason: str = ""


class _Line(msgspec.Struct, Generic[M], gc=False):
    type: EventKind
    object: _Subject[M]


# A heavier page is read item by item: with one emoji in it a text takes four times as much as it did in the page.
_AT_ONCE_BYTES = 1 << 20

_read_head = reader(_Head)
_read_raw_list = reader(_RawList)


class Kind(Generic[M]):
    """A kind of object: what it is called, and how to read the bytes about it."""

    def __init__(
        self,
        name: str,
        resource: str,
        read_list: Callable[[bytes], _List[M]],
        read_object: Callable[[bytes | msgspec.Raw], _Object[M]],
        read_line: Callable[[bytes], _Line[M]],
    ) -> None:
        """`resource` is its word in paths and in RBAC."""
        self.name, self.resource = name, resource
        self._list, self._object, self._line = read_list, read_object, read_line
        self._no_list = f"the answer is not a list of {name}s"

    def read_event(self, line: bytes) -> tuple[Event, M | None]:
        """Return what a line of a watch is, and what an ADDED, MODIFIED or DELETED is about; None for the others.

        Raises Unreachable for a line that cannot be read; nothing of it goes into the message, since tenants write it.
        """
        try:
            read = self._line(line)
        except Unreadable as error:
            raise Unreachable("a watch line is not an event that we know") from error
        meta = read.object.metadata
        if read.type is EventKind.ERROR:
            return Event(read.type, "", read.object.code, read.object.reason), None
        if meta is None or not meta.resource_version:
            raise Unreachable("a watch line has no resource version")
        event = Event(read.type, meta.resource_version)
        if read.type is EventKind.BOOKMARK:
            return event, None
        if not meta.is_whole:
            raise Unreachable(f"a watch line does not say which {self.name} it is about")
        return event, meta

    def read_one(self, body: bytes) -> M:
        """Return the one object that a GET answered; raise Unreachable when the answer is something else."""
        try:
            read = self._object(body)
        except Unreadable as error:
            raise Unreachable(f"the answer is not a {self.name}") from error
        if read.kind != self.name or not read.metadata.is_whole:
            raise Unreachable(f"the answer is not a {self.name}")
        return read.metadata

    def read_page(self, body: bytes) -> tuple[Page, Iterator[M | None]]:
        """Return where a list goes on, and its items in order, None for each that cannot be read.

        Raises Unreachable when it is no list of this kind: `{}` must never pass for an empty cluster.
        """
        read: _List[M] | _RawList
        items: Iterator[M | None]
        try:
            if len(body) > _AT_ONCE_BYTES:
                raise Unreadable("is too large to be read at once")
            read = self._list(body)
            items = (_whole_or_none(item.metadata) for item in read.items or ())
        except Unreadable:
            read = self._listed(body, _read_raw_list)
            items = map(self._readable, read.items or ())
        return Page(read.metadata.continue_token, self._version_of(read)), items

    def read_version(self, body: bytes) -> str:
        """Return the version that a list shows, its items unread; raise Unreachable when the answer is something else."""
        return self._version_of(self._listed(body, _read_head))

    def _listed(self, body: bytes, read: Callable[[bytes], T]) -> T:
        try:
            return read(body)
        except Unreadable as error:
            raise Unreachable(self._no_list) from error

    def _version_of(self, read: _Head) -> str:
        if read.kind != f"{self.name}List" or not read.metadata.resource_version:
            raise Unreachable(self._no_list)
        return read.metadata.resource_version

    def _readable(self, item: msgspec.Raw) -> M | None:
        try:
            return _whole_or_none(self._object(item).metadata)
        except Unreadable:
            return None


def _whole_or_none(meta: M) -> M | None:
    return meta if meta.is_whole else None


SERVICE_ACCOUNTS: Kind[AccountMeta] = Kind(
    "ServiceAccount",
    "serviceaccounts",
    reader(_List[AccountMeta]),
    reader(_Object[AccountMeta]),
    reader(_Line[AccountMeta]),
)
NAMESPACES: Kind[NamespaceMeta] = Kind(
    "Namespace",
    "namespaces",
    reader(_List[NamespaceMeta]),
    reader(_Object[NamespaceMeta]),
    reader(_Line[NamespaceMeta]),
)


def is_name(text: str) -> bool:
    """Tell whether the index can hold it: a slash would make two identities share one key.

    The API server refuses a slash too, as a path segment.
    """
    return bool(text) and "/" not in text
