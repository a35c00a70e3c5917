"""A whole list, taken into the index of its kind page by page."""

from collections.abc import Collection, Iterator
from typing import Any, Generic, Protocol

from nats_k8s_oidc_callout.core.kubernetes.wire import Event, Kind, M, Page

STEP_ITEMS = 100
"""So many items of a page are taken in at once: that is half a millisecond."""


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
        page, steps = self.steps(body)
        for _ in steps:
            pass
        return page

    def steps(self, body: bytes) -> tuple[Page, Iterator[None]]:
        """Do what `page` does, but take in only as many items a step as hold nobody up."""
        page, items = self._index.kind.read_page(body)
        return page, self._take(items)

    def _take(self, items: Iterator[M | None]) -> Iterator[None]:
        for number, meta in enumerate(items, 1):
            if meta is None:
                self._index.skipped += 1
            else:
                self._unseen.discard(self._index.listed(meta))
            if number % STEP_ITEMS == 0:
                yield

    def commit(self) -> int:
        """Remove every entry that no page had, and return how many went."""
        self._index.remove(self._unseen)
        gone = len(self._unseen)
        self._unseen = set()
        return gone


class Index(Protocol):
    """What lists and watches keep true: the index of one kind, whichever it is.

    A scope is a namespace: then the list is of what is in it, or of the Namespace of that name. None means all.
    """

    @property
    def kind(self) -> Kind[Any]: ...

    @property
    def skipped(self) -> int: ...

    def __len__(self) -> int: ...

    def wants_list(self, scope: str | None = None, /) -> bool:
        """Say whether something is missing that only a new list can bring."""

    def begin(self, scope: str | None = None, /) -> Relist[Any]:
        """Start a new list; readers keep the old entries until its `commit`."""

    def apply(self, line: bytes) -> Event:
        """Take in one line of a watch and return what it was; raise Unreachable for one that cannot be read."""
