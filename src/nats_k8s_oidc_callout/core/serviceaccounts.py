"""Which ServiceAccounts exist, by uid, and what their annotations ask for. Fetching them is adapters.kubernetes.

Who exists is what we authorise by, so each doubt is settled towards "not there": a list is believed only when it
says that it is one, an entry goes when a whole list lacks it, and a line that cannot be read is an error.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import Unreachable, Unreadable

KEYS_SHARED_MAX = 64
"""Tenants choose annotation keys: past this many different ones they are no longer shared between entries."""


class ServiceAccount(NamedTuple):
    """One ServiceAccount as far as we care. Unchanged ones stay the same object across events and relists.

    A tuple, since there are 50,000 of them. Compare with `==` (or `is`); a dict inside makes it unhashable.
    """

    uid: str
    """Empty only for one from a manifest without a uid: then it is not checked."""
    annotations: Mapping[str, str] | None
    """Those under the annotation prefix, full keys; None when there are none."""


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


class _Meta(msgspec.Struct, gc=False):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    deletion: str | None = msgspec.field(name="deletionTimestamp", default=None)
    annotations: dict[str, str] | None = None


class _Object(msgspec.Struct, gc=False):
    metadata: _Meta
    kind: str = ""  # items of a list come without


class _ListMeta(msgspec.Struct, gc=False):
    resource_version: str = msgspec.field(name="resourceVersion")
    continue_token: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct, gc=False):
    kind: str
    metadata: _ListMeta
    items: list[_Object] | None


class _RawList(msgspec.Struct, gc=False):
    kind: str
    metadata: _ListMeta
    items: list[msgspec.Raw] | None


class _Subject(msgspec.Struct, gc=False):
    """A ServiceAccount, or the Status of an ERROR line."""

    metadata: _Meta = msgspec.field(default_factory=_Meta)
    code: int = 0
    reason: str = ""


class _Line(msgspec.Struct, gc=False):
    type: EventKind
    object: _Subject


_read_list = reader(_List)
_read_raw_list = reader(_RawList)
_read_object = reader(_Object)
_read_line = reader(_Line)


class Index:
    """Every known ServiceAccount. One writer a namespace (or one for all), any number of readers, one thread."""

    def __init__(self, annotation_prefix: str) -> None:
        self._prefix = annotation_prefix
        # "namespace/name" as one string: a tuple or a dict a namespace costs 70 to 200 B more an entry.
        self._entries: dict[str, ServiceAccount] = {}
        self._keys: dict[str, str] = {}
        self.skipped = 0
        """Items of lists that could not be read, ever."""

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, namespace: str, name: str) -> ServiceAccount | None:
        """Return the entry, or None when there is no such ServiceAccount as far as we have heard."""
        return self._entries.get(f"{namespace}/{name}")

    def begin(self, namespace: str | None = None) -> "Relist":
        """Start a new list of one namespace, or of all; readers keep the old entries until `commit`."""
        return Relist(self, namespace)

    def apply(self, line: bytes) -> Event:
        """Take in one line of a watch and return what it was.

        Raises Unreachable for a line that cannot be read. The caller must list again then: the line may have been
        a delete, and a delete that is skipped keeps a ServiceAccount alive for ever.
        """
        try:
            read = _read_line(line)
        except Unreadable as error:
            # Tenants write annotations, so nothing of the line goes into the message.
            raise Unreachable("a watch line is not an event that we know") from error
        if read.type is EventKind.ERROR:
            return Event(read.type, "", read.object.code, read.object.reason)
        meta = read.object.metadata
        if not meta.resource_version:
            raise Unreachable("a watch line has no resource version")
        if read.type is not EventKind.BOOKMARK:
            if not _is_whole(meta):
                raise Unreachable("a watch line does not say which ServiceAccount it is about")
            self._take(f"{meta.namespace}/{meta.name}", meta, read.type is EventKind.DELETED)
        return Event(read.type, meta.resource_version)

    def read(self, body: bytes) -> ServiceAccount | None:
        """Return the one ServiceAccount that a GET answered, None while it is being deleted; the index stays as is.

        Raises Unreachable when the answer is something else.
        """
        try:
            read = _read_object(body)
        except Unreadable as error:
            raise Unreachable("the answer is not a ServiceAccount") from error
        if read.kind != "ServiceAccount" or not _is_whole(read.metadata):
            raise Unreachable("the answer is not a ServiceAccount")
        return None if read.metadata.deletion else self.entry(read.metadata.uid, read.metadata.annotations)

    def entry(self, uid: str, annotations: Mapping[str, str] | None) -> ServiceAccount:
        """Return what the index holds of a ServiceAccount with these annotations; the index stays as is."""
        if not annotations:
            return ServiceAccount(uid, None)
        ours = {self._shared(key): value for key, value in annotations.items() if key.startswith(self._prefix)}
        return ServiceAccount(uid, ours or None)

    def _take(self, key: str, meta: _Meta, is_deleted: bool) -> None:
        old = self._entries.get(key)
        # The API server refuses tokens of a ServiceAccount that only a finalizer still holds; so do we, at once.
        if is_deleted or meta.deletion:
            # Another uid is a re-created one, and this line is about its predecessor.
            if old is not None and old.uid == meta.uid:
                del self._entries[key]
            return
        self._put(key, self.entry(meta.uid, meta.annotations))

    def _put(self, key: str, new: ServiceAccount) -> None:
        # An equal entry keeps its object: who holds something derived from it can compare by identity.
        if self._entries.get(key) != new:
            self._entries[key] = new

    def _remove(self, key: str) -> None:
        self._entries.pop(key, None)

    def _known(self, namespace: str | None) -> set[str]:
        if namespace is None:
            return set(self._entries)
        return {key for key in self._entries if key.startswith(f"{namespace}/")}

    def _shared(self, key: str) -> str:
        shared = self._keys.get(key)
        if shared is None:
            shared = key
            if len(self._keys) < KEYS_SHARED_MAX:
                self._keys[key] = key
        return shared


class Relist:
    """One list of the cluster, or of one namespace, taken in page by page; `commit` removes what it lacked.

    Pages change entries in place (a second dict would double the peak memory). Given up half-way it has only
    brought entries up to date; begin again. The index must not hear events of the same namespace meanwhile.
    """

    def __init__(self, index: Index, namespace: str | None) -> None:
        self._index = index
        self._unseen = index._known(namespace)

    def page(self, body: bytes) -> Page:
        """Take in one page as the server sent it. Items that cannot be read are skipped and counted.

        Raises Unreachable when it is not a ServiceAccountList: `{}` must never pass for an empty cluster.
        """
        try:
            read = _read_list(body)
            metadata, kind = read.metadata, read.kind
            items: Iterator[_Meta] = (item.metadata for item in read.items or ())
        except Unreadable:
            metadata, kind, items = self._one_by_one(body)
        if kind != "ServiceAccountList" or not metadata.resource_version:
            raise Unreachable("the answer is not a list of ServiceAccounts")
        for meta in items:
            if not _is_whole(meta):
                self._index.skipped += 1
            elif not meta.deletion:
                self.put(meta.namespace, meta.name, self._index.entry(meta.uid, meta.annotations))
        return Page(metadata.continue_token, metadata.resource_version)

    def put(self, namespace: str, name: str, new: ServiceAccount) -> None:
        """Take in one entry that was read elsewhere, from a manifest."""
        key = f"{namespace}/{name}"
        self._unseen.discard(key)
        self._index._put(key, new)

    def commit(self) -> int:
        """Remove every entry that no page had, and return how many went."""
        for key in self._unseen:
            self._index._remove(key)
        gone = len(self._unseen)
        self._unseen = set()
        return gone

    def _one_by_one(self, body: bytes) -> tuple[_ListMeta, str, Iterator[_Meta]]:
        try:
            read = _read_raw_list(body)
        except Unreadable as error:
            raise Unreachable("the answer is not a list of ServiceAccounts") from error
        return read.metadata, read.kind, self._readable(read.items or [])

    def _readable(self, items: list[msgspec.Raw]) -> Iterator[_Meta]:
        for item in items:
            try:
                yield _read_object(item).metadata
            except Unreadable:
                self._index.skipped += 1


def _is_whole(meta: _Meta) -> bool:
    return bool(meta.uid) and is_name(meta.name) and is_name(meta.namespace)


def is_name(text: str) -> bool:
    """Tell whether the index can hold it: a slash would make two identities share one key.

    The API server refuses a slash too, as a path segment.
    """
    return bool(text) and "/" not in text
