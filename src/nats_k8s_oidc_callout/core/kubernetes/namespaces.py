"""Which labels the namespaces have, as far as rules use them. Their bytes are wire's.

What is not surely known is not held: then a login waits for the cluster's own answer, and never passes for one of a
namespace without labels.
"""

from collections.abc import Callable, Collection, Mapping

from nats_k8s_oidc_callout.core.kubernetes import relist
from nats_k8s_oidc_callout.core.kubernetes.wire import NAMESPACES, Event, EventKind, NamespaceMeta
from nats_k8s_oidc_callout.core.names import is_label_value
from nats_k8s_oidc_callout.errors import Unreachable

BYTES_MAX = 8 << 20
"""For all entries together: 38,000 namespaces that share a few sets of labels, 9,000 with two labels that nobody shares.

A namespace past it is not held, so each of its logins asks the cluster.
"""
ENTRY_BYTES = 220
"""What a namespace takes at most, its labels apart; a test measures it."""
SET_BYTES = 400
LABEL_BYTES = 140
"""What a set of labels takes at most, and each label in it."""


class Read(dict[str, str]):
    """The labels of a namespace that rules use, as the cluster answered. Not to be changed."""

    __slots__ = ("keys_read",)

    keys_read: tuple[str, ...]
    """All that were looked for, since a label that was not looked for may be there."""

    @classmethod
    def of(cls, labels: Mapping[str, str], keys: tuple[str, ...]) -> "Read":
        found = cls(labels)
        found.keys_read = keys
        return found


class _Shared(dict[str, str]):
    """The labels of all namespaces that have the same. Not to be changed."""

    __slots__ = ("namespaces",)

    namespaces: int
    """How many have these."""


class Namespaces:
    """The labels of every known namespace. One writer a namespace (or one for all), any number of readers, one thread."""

    kind = NAMESPACES

    def __init__(self, keys: Collection[str]) -> None:
        """`keys` are the labels that rules use; no other one is kept."""
        self.keys = tuple(sorted(keys))
        self._entries: dict[str, _Shared] = {}
        self._sets: dict[tuple[tuple[str, str], ...], _Shared] = {}
        self._weight = 0
        self.on_change: Callable[[str], None] | None = None
        """Told of each namespace whose labels are others now, or known or unknown now."""
        self.skipped = 0
        """Items of lists that could not be read, ever."""

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str) -> Mapping[str, str] | None:
        """Return the labels that rules use; empty when the namespace has none of them, None when it is not known."""
        return self._entries.get(name)

    def wants_list(self, _name: str | None = None) -> bool:
        """Say whether only a new list can bring what is missing: never."""
        return False

    def begin(self, name: str | None = None) -> "Relist":
        """Start a new list of one namespace, or of all; readers keep the old entries until `commit`."""
        return Relist(self, name)

    def apply(self, line: bytes) -> Event:
        """Take in one line of a watch and return what it was.

        Raises Unreachable for a line that cannot be read. The caller must list again then.
        """
        event, meta = self.kind.read_event(line)
        if meta is not None:
            # One that is being deleted still runs pods, and its labels still say whose they are.
            if event.kind is EventKind.DELETED:
                self.remove([meta.name])
            else:
                self._put(meta.name, self.labels_of(meta.labels))
        return event

    def read(self, body: bytes, _uid: str = "") -> Read:
        """Return the labels of the one Namespace that a GET answered; the index stays as is.

        Raises Unreachable when the answer is something else.
        """
        return Read.of(self.labels_of(self.kind.read_one(body).labels), self.keys)

    def weigh(self, labels: Mapping[str, str]) -> int:
        """Return what an answer to a GET takes in memory at most, in bytes."""
        return SET_BYTES + LABEL_BYTES * len(labels)

    def labels_of(self, labels: Mapping[str, str] | None) -> Mapping[str, str]:
        """Return those that rules use, in the order of `keys`; raise Unreachable for a value that no label can have."""
        used = {key: labels[key] for key in self.keys if key in labels} if labels else {}
        if not all(map(is_label_value, used.values())):
            raise Unreachable("a Namespace has a label that Kubernetes does not allow")
        return used

    def listed(self, meta: NamespaceMeta) -> str:
        """Take in one item of a list and return its name; empty for one that cannot be read."""
        try:
            self._put(meta.name, self.labels_of(meta.labels))
        except Unreachable:
            self.skipped += 1
            return ""
        return meta.name

    def remove(self, keys: Collection[str]) -> None:
        """Forget these namespaces."""
        for name in keys:
            if self._forget(name) and self.on_change is not None:
                self.on_change(name)

    def _put(self, name: str, labels: Mapping[str, str]) -> None:
        if self._entries.get(name) == labels:
            return
        was_known = self._forget(name)
        is_known = self._hold(name, labels)
        if (was_known or is_known) and self.on_change is not None:
            self.on_change(name)

    def _hold(self, name: str, labels: Mapping[str, str]) -> bool:
        key = tuple(labels.items())
        shared = self._sets.get(key)
        if shared is None:
            shared = _Shared(labels)
            shared.namespaces = 0
        weight = ENTRY_BYTES if shared.namespaces else ENTRY_BYTES + self.weigh(shared)
        if self._weight + weight > BYTES_MAX:
            return False
        self._sets[key] = self._entries[name] = shared
        shared.namespaces += 1
        self._weight += weight
        return True

    def _forget(self, name: str) -> bool:
        old = self._entries.pop(name, None)
        if old is None:
            return False
        self._weight -= ENTRY_BYTES
        old.namespaces -= 1
        if not old.namespaces:
            del self._sets[tuple(old.items())]
            self._weight -= self.weigh(old)
        return True


class Relist(relist.Relist[NamespaceMeta]):
    """One list of all namespaces, or of one."""

    def __init__(self, index: Namespaces, name: str | None) -> None:
        known = set(index._entries)
        super().__init__(index, known if name is None else known & {name})
        self._entries = index

    def put(self, name: str, labels: Mapping[str, str]) -> None:
        """Take in one namespace that was read elsewhere, from a manifest."""
        self._unseen.discard(name)
        self._entries._put(name, labels)
