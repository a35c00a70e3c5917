"""A whole list, taken into the index of its kind page by page."""

from collections.abc import Collection
from typing import Generic, Protocol

from nats_k8s_oidc_callout.core.kubernetes.wire import Kind, M, Page


class Listed(Protocol[M]):
    """What a list is taken into: the index of one kind."""

    kind: Kind[M]
    skipped: int
    """Items of lists that could not be read, ever."""

    def listed(self, meta: M) -> str:
        """Take in one item and return its key; empty for one that is not to be held."""

    def remove(self, keys: Collection[str]) -> None:
        """Forget these."""


class Relist(Generic[M]):
    """One list, taken in page by page; `commit` removes what it lacked.

    Pages change entries in place (a second dict would double the peak memory). Given up half-way it has only
    brought entries up to date; begin again. The index must not hear events of the same scope meanwhile.
    """

    def __init__(self, index: Listed[M], known: set[str]) -> None:
        """`known` are the keys that the list is expected to have."""
        self._index = index
        self._unseen = known

    def page(self, body: bytes) -> Page:
        """Take in one page as the server sent it. Items that cannot be read are skipped and counted.

        Raises Unreachable when it is no list of this kind: `{}` must never pass for an empty cluster.
        """
        page, items = self._index.kind.read_page(body)
        for meta in items:
            if meta is None:
                self._index.skipped += 1
            else:
                self._unseen.discard(self._index.listed(meta))
        return page

    def commit(self) -> int:
        """Remove every entry that no page had, and return how many went."""
        self._index.remove(self._unseen)
        gone = len(self._unseen)
        self._unseen = set()
        return gone
