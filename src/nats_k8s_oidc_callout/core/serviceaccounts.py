"""Which ServiceAccounts exist, by uid, and what their annotations ask for. Their bytes are kubernetes_wire.

Who exists is what we authorise by, so each doubt is settled towards "not there": a list is believed only when it
says that it is one, an entry goes when a whole list lacks it, and a line that cannot be read is an error.
"""

from collections.abc import Mapping
from typing import NamedTuple

from nats_k8s_oidc_callout.core.kubernetes_wire import Event, EventKind, Meta, Page, read_event, read_one, read_page

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
        event, meta = read_event(line)
        if event.kind not in (EventKind.BOOKMARK, EventKind.ERROR):
            self._take(f"{meta.namespace}/{meta.name}", meta, event.kind is EventKind.DELETED)
        return event

    def read(self, body: bytes) -> ServiceAccount | None:
        """Return the one ServiceAccount that a GET answered, None while it is being deleted; the index stays as is.

        Raises Unreachable when the answer is something else.
        """
        meta = read_one(body)
        return None if meta.deletion else self.entry(meta.uid, meta.annotations)

    def entry(self, uid: str, annotations: Mapping[str, str] | None) -> ServiceAccount:
        """Return what the index holds of a ServiceAccount with these annotations; the index stays as is."""
        if not annotations:
            return ServiceAccount(uid, None)
        ours = {self._shared(key): value for key, value in annotations.items() if key.startswith(self._prefix)}
        return ServiceAccount(uid, ours or None)

    def _take(self, key: str, meta: Meta, is_deleted: bool) -> None:
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
        page, items = read_page(body)
        for meta in items:
            if meta is None:
                self._index.skipped += 1
            elif not meta.deletion:
                self.put(meta.namespace, meta.name, self._index.entry(meta.uid, meta.annotations))
        return page

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
