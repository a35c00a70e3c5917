"""A folder of manifests as the only source, where there is no cluster: development, edge, the demo."""

import asyncio
import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import structlog

from nats_k8s_oidc_callout.bounded.documents import load_documents
from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.core.kubernetes import relist
from nats_k8s_oidc_callout.core.kubernetes.namespaces import Namespaces
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
from nats_k8s_oidc_callout.core.kubernetes.wire import is_name
from nats_k8s_oidc_callout.core.names import is_label
from nats_k8s_oidc_callout.errors import BadManifest, Unreachable

log = structlog.get_logger("informer")

INTERVAL_SECONDS = 2.0
SUMMARY_SECONDS = 300.0
FILES_MAX = 10_000
ALL_BYTES_MAX = 64 * 1024 * 1024
DEFAULT_NAMESPACE = "default"
ENDINGS = frozenset({".yaml", ".yml", ".json"})


class Manifest(NamedTuple):
    """A ServiceAccount as a manifest describes it."""

    namespace: str
    name: str
    account: ServiceAccount


class NamespaceManifest(NamedTuple):
    """A Namespace as a manifest describes it."""

    name: str
    labels: Mapping[str, str]


E = TypeVar("E", Manifest, NamespaceManifest)
X = TypeVar("X", bound=relist.Index)


class _File(NamedTuple, Generic[E]):
    digest: bytes
    """Of the content that was seen last, good or bad; empty when it could not be read."""
    manifests: tuple[E, ...]
    """Of the content that was good last."""
    failing: str
    size: int = 0
    """Of the content in bytes, as far as it was read."""


class _AccountMeta(msgspec.Struct):
    name: str
    namespace: str | None = None
    uid: str | None = None
    annotations: dict[str, str | None] | None = None


class _NamespaceMeta(msgspec.Struct):
    name: str
    labels: dict[str, str | None] | None = None


class _Folder(ABC, Generic[E, X]):
    """Keeps the index of one kind equal to the manifests in a folder, read every 2 s by content.

    Files ending in .yaml, .yml or .json directly in the folder count, hidden ones do not. A file that cannot be read
    or parsed keeps the entries it had; the others go on. One that is gone takes its entries along. When the folder
    itself cannot be listed everything stays. Two files that name the same object: the later by name wins.
    """

    def __init__(
        self,
        folder: Path,
        index: X,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._index = index
        self._interval_seconds = interval_seconds
        self._monotonic = monotonic
        self._files: dict[str, _File[E]] = {}
        self.failing = ""
        """What is wrong at present, else empty."""
        self.synced = False
        """True once the folder was read, and from then on."""
        self.last_contact: float | None = None
        """Monotonic time at which the folder was last listed."""
        self.listed_at = 0.0
        """When we last began to read the folder (Unix seconds), if it could be listed."""

    @abstractmethod
    def _read(self, item: Mapping[object, object]) -> E:
        """Return what a manifest of the kind describes; raise BadManifest."""

    async def run(self) -> None:
        """Follow the folder until cancelled."""
        said_at = self._monotonic()
        while True:
            await self.poll()
            if self._monotonic() - said_at >= SUMMARY_SECONDS:
                said_at = self._monotonic()
                self._summary()
            await asyncio.sleep(self._interval_seconds)

    async def poll(self) -> None:
        """Read the folder once."""
        began_at = time.time()
        try:
            # In a thread: parsing a large folder takes longer than a login may.
            files = await asyncio.to_thread(self._scan, self._files)
        except (OSError, BadManifest) as error:
            self._report(f"the folder cannot be read ({_summary(error)})")
            return
        before, self._files = self._files, files
        self.last_contact, self.listed_at = self._monotonic(), began_at
        if not self.synced or self._index.wants_list() or _manifests(before) != _manifests(files):
            # Each kind has a `put` of its own.
            new: Any = self._index.begin()
            for manifest in _manifests(files):
                new.put(*manifest)
            new.commit()
            self.synced = True
            self._summary()
        self._report("; ".join(f"{name}: {file.failing}" for name, file in files.items() if file.failing)[:1000])

    def _scan(self, known: Mapping[str, _File[E]]) -> dict[str, _File[E]]:
        root = self._folder.resolve(strict=True)
        names = sorted(path.name for path in root.iterdir() if path.suffix in ENDINGS and not path.name.startswith("."))
        if len(names) > FILES_MAX:
            raise BadManifest(f"over {FILES_MAX} files")
        files: dict[str, _File[E]] = {}
        size = 0
        for name in names:
            if size > ALL_BYTES_MAX:
                raise BadManifest(f"over {ALL_BYTES_MAX} bytes in all")
            old = known.get(name) or _File(b"", (), "")
            try:
                files[name] = self._look(root, name, old)
                size += files[name].size
            except FileNotFoundError:
                # Gone between the listing and now, or a link to nothing.
                continue
            except (OSError, BadManifest) as error:
                files[name] = _File(b"", old.manifests, _summary(error))
        return files

    def _look(self, root: Path, name: str, old: _File[E]) -> _File[E]:
        path = root / name
        # A mounted ConfigMap is links within its folder: file -> ..data/file, ..data -> ..2026_11_24.
        if not path.resolve().is_relative_to(root):
            raise BadManifest("a link leads out of the folder")
        # Opened by its own name: the resolved one may just have been swapped away.
        content = read_file(path)
        digest = hashlib.sha256(content).digest()
        if digest == old.digest:
            return old
        try:
            return _File(digest, tuple(self._parse(content)), "", len(content))
        except BadManifest as error:
            return _File(digest, old.manifests, _summary(error), len(content))

    def _parse(self, content: bytes) -> Iterator[E]:
        for document in load_documents(content):
            for item in _items(document, self._index.kind.name):
                yield self._read(item)

    def _report(self, why: str) -> None:
        if why == self.failing:
            return
        self.failing = why
        if why:
            log.warning(
                "informer manifests cannot be used, keeping the last good ones",
                resource=self._index.kind.resource,
                why=why,
            )
        else:
            log.info("informer manifests usable again", resource=self._index.kind.resource)

    def _summary(self) -> None:
        heard = self.last_contact
        log.info(
            "informer summary",
            resource=self._index.kind.resource,
            synced=self.synced,
            objects=len(self._index),
            files=len(self._files),
            age_seconds=None if heard is None else round(self._monotonic() - heard, 1),
        )


class ManifestFolder(_Folder[Manifest, Index]):
    """The ServiceAccounts of a folder."""

    @property
    def unchecked(self) -> int:
        """How many entries have no uid, so that no token's uid is compared with them."""
        return sum(not manifest.account.uid for manifest in _manifests(self._files))

    @property
    def manifests(self) -> list[Manifest]:
        """All there are, one for each ServiceAccount, in the order of the files."""
        return list({manifest[:2]: manifest for manifest in _manifests(self._files)}.values())

    async def poll(self) -> None:
        """Read the folder once."""
        was_synced = self.synced
        await super().poll()
        if not was_synced and self.unchecked:
            log.warning("informer found ServiceAccounts without a uid, matched by name alone", number=self.unchecked)

    def _read(self, item: Mapping[object, object]) -> Manifest:
        try:
            meta = msgspec.convert(item.get("metadata"), _AccountMeta)
        except msgspec.ValidationError as error:
            raise BadManifest("a ServiceAccount's name, namespace, uid and annotations must be text") from error
        if not is_name(meta.name) or not is_name(meta.namespace or DEFAULT_NAMESPACE):
            raise BadManifest("a ServiceAccount has no legal name")
        account = self._index.entry(meta.uid or "", _written(meta.annotations))
        return Manifest(meta.namespace or DEFAULT_NAMESPACE, meta.name, account)


class NamespaceFolder(_Folder[NamespaceManifest, Namespaces]):
    """The labels of the Namespaces of a folder."""

    def _read(self, item: Mapping[object, object]) -> NamespaceManifest:
        try:
            meta = msgspec.convert(item.get("metadata"), _NamespaceMeta)
            labels = self._index.labels_of(_written(meta.labels))
        except msgspec.ValidationError as error:
            raise BadManifest("a Namespace's name and labels must be text") from error
        except Unreachable as error:
            raise BadManifest(str(error)) from error
        if not is_label(meta.name):
            raise BadManifest("a Namespace has no legal name")
        return NamespaceManifest(meta.name, labels)


def _items(document: object, wanted: str) -> Iterator[Mapping[object, object]]:
    if document is None:
        return
    if not isinstance(document, Mapping):
        raise BadManifest("a document is not a mapping")
    kind = document.get("kind")
    if kind == wanted:
        yield document
    if kind not in ("List", f"{wanted}List"):
        return
    items = document.get("items") or []
    if not isinstance(items, list):
        raise BadManifest("the items of a List are not a list")
    for item in items:
        if not isinstance(item, Mapping):
            raise BadManifest("an item of a List is not a mapping")
        # The items of a typed list may leave their kind out, as the API server does.
        if item.get("kind", "" if kind == "List" else wanted) == wanted:
            yield item


def _written(texts: Mapping[str, str | None] | None) -> dict[str, str] | None:
    """Return what has a value. A null is how YAML says that there is none, and no text."""
    return None if texts is None else {key: text for key, text in texts.items() if text is not None}


def _manifests(files: Mapping[str, _File[E]]) -> list[E]:
    return [manifest for file in files.values() for manifest in file.manifests]


def _summary(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
