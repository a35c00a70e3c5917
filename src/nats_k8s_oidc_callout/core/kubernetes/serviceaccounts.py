"""Which ServiceAccounts exist, by uid, and what their annotations ask for. Their bytes are wire's.

Who exists is what we authorise by, so each doubt is settled towards "not there": a list is believed only when it
says that it is one, an entry goes when a whole list lacks it, and a line that cannot be read is an error.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from nats_k8s_oidc_callout.core.grants.entries import Reader, version_of, weight_of
from nats_k8s_oidc_callout.core.kubernetes import relist
from nats_k8s_oidc_callout.core.kubernetes.shares import Shares
from nats_k8s_oidc_callout.core.kubernetes.wire import SERVICE_ACCOUNTS, AccountMeta, Event, EventKind

BYTES_MAX = 64 << 20
"""For all entries together. Past it the heaviest namespace has its defaults only."""
ENTRY_BYTES = 330
"""What an entry without annotations takes at most; a test measures it."""
# However many entries there are, so much is left for annotations.
_ROOM_LEAST = BYTES_MAX // 4


class ServiceAccount(msgspec.Struct, frozen=True, gc=False):
    """One ServiceAccount as far as we care. Unchanged ones stay the same object across events and relists.

    There are 50,000 of them: so they are small, and the garbage collector, which need not look, does not look at them.
    Compare with `==` (or `is`); a dict inside makes it unhashable.
    """

    uid: str
    """Empty only for one from a manifest without a uid: then it is not checked."""
    annotations: Mapping[str, str] | None
    """Those of ours, by their full keys and cut (`entries.Annotations`); None when there are none, or none count."""


def _ignore(_namespace: str, _counts: bool) -> None:
    """Tell nobody."""


OnChange = Callable[[str, str, ServiceAccount | None, ServiceAccount | None], None]
"""Told of a namespace, a name, and what the index held and holds of it; None for nothing."""


class Index:
    """Every known ServiceAccount. One writer a namespace (or one for all), any number of readers, one thread."""

    kind = SERVICE_ACCOUNTS

    def __init__(self, annotation_prefix: str, on_share: Callable[[str, bool], None] = _ignore) -> None:
        """`on_share(namespace, counts)` is told when annotations of a namespace no longer count, or count again."""
        self._reader = Reader(annotation_prefix)
        # "namespace/name" as one string: a tuple or a dict a namespace costs 70 to 200 B more an entry.
        self._entries: dict[str, ServiceAccount] = {}
        self._shares = Shares()
        self._on_share = on_share
        self.on_change: OnChange | None = None
        """Told of each real change once it holds, whatever brought it. It must be quick: a first list brings thousands."""
        # What the entries of a namespace that is ignored would weigh, to know when it fits again.
        self._claims: dict[str, int] = {}
        self._unlisted: set[str] = set()
        self.skipped = 0
        """Items of lists that could not be read, ever."""

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, namespace: str, name: str) -> ServiceAccount | None:
        """Return the entry, or None when there is no such ServiceAccount as far as we have heard."""
        return self._entries.get(f"{namespace}/{name}")

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield the namespace and name of each, as of now."""
        for key in tuple(self._entries):
            namespace, _, name = key.partition("/")
            yield namespace, name

    @property
    def ignored(self) -> tuple[str, ...]:
        """The namespaces whose annotations are ignored, since all together are too heavy."""
        return self._shares.ignored

    def is_whole(self, namespace: str) -> bool:
        """Say whether the annotations of a namespace count, and are all here."""
        return not self._shares.is_ignored(namespace) and namespace not in self._unlisted

    def wants_list(self, namespace: str | None = None) -> bool:
        """Say whether annotations count again that only a new list of this namespace, or of all, can bring."""
        return bool(self._unlisted) if namespace is None else namespace in self._unlisted

    def begin(self, namespace: str | None = None) -> "Relist":
        """Start a new list of one namespace, or of all; readers keep the old entries until `commit`."""
        self._unlisted = set() if namespace is None else self._unlisted - {namespace}
        return Relist(self, namespace)

    def apply(self, line: bytes) -> Event:
        """Take in one line of a watch and return what it was.

        Raises Unreachable for a line that cannot be read. The caller must list again then: the line may have been
        a delete, and a delete that is skipped keeps a ServiceAccount alive for ever.
        """
        event, meta = self.kind.read_event(line)
        if meta is not None:
            self._take(f"{meta.namespace}/{meta.name}", meta, event.kind is EventKind.DELETED)
        return event

    def read(self, body: bytes, uid: str = "") -> ServiceAccount | None:
        """Return the one ServiceAccount that a GET answered, None while it is being deleted; the index stays as is.

        One of another uid than the asker's comes without its annotations. Raises Unreachable when the answer is something else.
        """
        meta = self.kind.read_one(body)
        if meta.deletion:
            return None
        # The asker is refused for its uid alone; hundreds of old tokens would have us hold the annotations for each.
        return self.entry(meta.uid, meta.annotations if uid in ("", meta.uid) else None)

    def weigh(self, account: ServiceAccount) -> int:
        """Return what an answer to a GET takes in memory, beside its uid."""
        return weight_of(account.annotations)

    def entry(self, uid: str, annotations: Mapping[str, str] | None) -> ServiceAccount:
        """Return what the index holds of a ServiceAccount with these annotations; the index stays as is."""
        return ServiceAccount(uid, self._reader.read(annotations))

    def listed(self, meta: AccountMeta) -> str:
        """Take in one item of a list and return its key; empty for one that is being deleted."""
        if meta.deletion:
            return ""
        key = f"{meta.namespace}/{meta.name}"
        self._put(key, self.entry(meta.uid, meta.annotations))
        return key

    def remove(self, keys: Collection[str]) -> None:
        """Forget these."""
        for key in keys:
            old = self._entries.pop(key, None)
            if old is not None and (old.annotations is not None or key in self._claims):
                self._weigh(key.partition("/")[0], key, old, 0)
            self._tell(key, old, None)
        # Also those without annotations leave more room for others'.
        self._let_in()

    def _take(self, key: str, meta: AccountMeta, is_deleted: bool) -> None:
        old = self._entries.get(key)
        # The API server refuses tokens of a ServiceAccount that only a finalizer still holds; so do we, at once.
        if is_deleted or meta.deletion:
            # Another uid is a re-created one, and this line is about its predecessor.
            if old is not None and old.uid == meta.uid:
                self.remove([key])
            return
        self._put(key, self.entry(meta.uid, meta.annotations))

    def _put(self, key: str, new: ServiceAccount) -> None:
        old = self._entries.get(key)
        if new.annotations is None and (old is None or old.annotations is None) and key not in self._claims:
            # Nearly all: nothing to weigh. An equal entry keeps its object.
            if old != new:
                self._entries[key] = new
                self._tell(key, old, new)
            return
        is_known = old is not None and old.uid == new.uid and version_of(old.annotations) == version_of(new.annotations)
        # What is ignored looks like an entry without annotations, and may have lost them just now.
        if is_known and key not in self._claims:
            return
        namespace = key.partition("/")[0]
        is_ignored = self._shares.is_ignored(namespace)
        self._entries[key] = held = ServiceAccount(new.uid, None) if is_ignored else new
        if held != old:
            self._tell(key, old, held)
        has_room = self._weigh(namespace, key, old, weight_of(new.annotations))
        while self._shares.weight > self._room:
            self._ignore_namespace(self._shares.ignore_heaviest())
            # Somebody lighter may have been the heaviest before, and must not pay for this one too.
            has_room = True
        if has_room:
            self._let_in()

    def _tell(self, key: str, old: ServiceAccount | None, new: ServiceAccount | None) -> None:
        if self.on_change is not None and old is not new:
            namespace, _, name = key.partition("/")
            self.on_change(namespace, name, old, new)

    @property
    def _room(self) -> int:
        return max(_ROOM_LEAST, BYTES_MAX - ENTRY_BYTES * len(self._entries))

    def _weigh(self, namespace: str, key: str, old: ServiceAccount | None, weight: int) -> bool:
        """Note what an entry weighs now, and say whether that is less than before."""
        before = self._claims.pop(key, 0) or weight_of(old.annotations if old is not None else None)
        was_ignored = self._shares.is_ignored(namespace)
        if weight and was_ignored:
            self._claims[key] = weight
        self._shares.change(namespace, weight - before)
        if was_ignored and not self._shares.is_ignored(namespace):
            # It has no annotations any more: nothing to bring back.
            self._on_share(namespace, True)
        return weight < before

    def _let_in(self) -> None:
        """Have the annotations count again of those who fit now."""
        if not self._claims:
            return
        for back in self._shares.let_in(self._room):
            self._unlisted.add(back)
            for its in self._known(back):
                self._claims.pop(its, None)
            self._on_share(back, True)

    def _ignore_namespace(self, namespace: str) -> None:
        """Take the annotations of a namespace away, and remember only what they weigh."""
        for key in self._known(namespace):
            entry = self._entries[key]
            if entry.annotations is not None:
                self._claims[key] = weight_of(entry.annotations)
                self._entries[key] = left = ServiceAccount(entry.uid, None)
                self._tell(key, entry, left)
        self._on_share(namespace, False)

    def _known(self, namespace: str | None) -> set[str]:
        if namespace is None:
            return set(self._entries)
        return {key for key in self._entries if key.startswith(f"{namespace}/")}


class Relist(relist.Relist[AccountMeta]):
    """One list of the cluster, or of one namespace."""

    def __init__(self, index: Index, namespace: str | None) -> None:
        super().__init__(index, index._known(namespace))
        self._entries = index

    def put(self, namespace: str, name: str, new: ServiceAccount) -> None:
        """Take in one entry that was read elsewhere, from a manifest."""
        key = f"{namespace}/{name}"
        self._unseen.discard(key)
        self._entries._put(key, new)
