"""A folder of ServiceAccount manifests as the only source, where there is no cluster: development, edge, the demo."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog
import yaml

from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
from nats_k8s_oidc_callout.core.kubernetes.wire import is_name
from nats_k8s_oidc_callout.errors import BadManifest

log = structlog.get_logger("informer")

INTERVAL_SECONDS = 2.0
SUMMARY_SECONDS = 300.0
FILES_MAX = 10_000
ALL_BYTES_MAX = 64 * 1024 * 1024
DEPTH_MAX = 100
DEFAULT_NAMESPACE = "default"
ENDINGS = frozenset({".yaml", ".yml", ".json"})


class Manifest(NamedTuple):
    """A ServiceAccount as a manifest describes it."""

    namespace: str
    name: str
    account: ServiceAccount


class _File(NamedTuple):
    digest: bytes
    """Of the content that was seen last, good or bad; empty when it could not be read."""
    manifests: tuple[Manifest, ...]
    """Of the content that was good last."""
    failing: str
    size: int = 0
    """Of the content in bytes, as far as it was read."""


class _Meta(msgspec.Struct):
    name: str
    namespace: str | None = None
    uid: str | None = None
    annotations: dict[str, str | None] | None = None

    @property
    def written(self) -> dict[str, str] | None:
        """The annotations that have a value. A null is how YAML says that there is none, and no text."""
        if self.annotations is None:
            return None
        return {key: text for key, text in self.annotations.items() if text is not None}


class ManifestFolder:
    """Keeps the index equal to the manifests in a folder, read every 2 s by content.

    Files ending in .yaml, .yml or .json directly in the folder count, hidden ones do not. A file that cannot be read
    or parsed keeps the entries it had; the others go on. One that is gone takes its entries along. When the folder
    itself cannot be listed everything stays. Two files that name the same ServiceAccount: the later by name wins.
    """

    def __init__(
        self,
        folder: Path,
        index: Index,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._index = index
        self._interval_seconds = interval_seconds
        self._monotonic = monotonic
        self._files: dict[str, _File] = {}
        self.failing = ""
        """What is wrong at present, else empty."""
        self.synced = False
        """True once the folder was read, and from then on."""
        self.last_contact: float | None = None
        """Monotonic time at which the folder was last listed."""

    @property
    def unchecked(self) -> int:
        """How many entries have no uid, so that no token's uid is compared with them."""
        return sum(not manifest.account.uid for file in self._files.values() for manifest in file.manifests)

    @property
    def manifests(self) -> list[Manifest]:
        """All there are, one for each ServiceAccount, in the order of the files."""
        return list({manifest[:2]: manifest for manifest in _manifests(self._files)}.values())

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
        try:
            # In a thread: parsing a large folder takes longer than a login may.
            files = await asyncio.to_thread(self._scan, self._files)
        except (OSError, BadManifest) as error:
            self._report(f"the folder cannot be read ({_summary(error)})")
            return
        before, self._files = self._files, files
        self.last_contact = self._monotonic()
        is_first = not self.synced
        if is_first or self._index.wants_list() or _manifests(before) != _manifests(files):
            relist = self._index.begin()
            for manifest in _manifests(files):
                relist.put(*manifest)
            relist.commit()
            self.synced = True
            self._summary()
        if is_first and self.unchecked:
            log.warning("informer found ServiceAccounts without a uid, matched by name alone", number=self.unchecked)
        self._report("; ".join(f"{name}: {file.failing}" for name, file in files.items() if file.failing)[:1000])

    def _scan(self, known: Mapping[str, _File]) -> dict[str, _File]:
        root = self._folder.resolve(strict=True)
        names = sorted(path.name for path in root.iterdir() if path.suffix in ENDINGS and not path.name.startswith("."))
        if len(names) > FILES_MAX:
            raise BadManifest(f"over {FILES_MAX} files")
        files: dict[str, _File] = {}
        size = 0
        for name in names:
            if size > ALL_BYTES_MAX:
                raise BadManifest(f"over {ALL_BYTES_MAX} bytes in all")
            old = known.get(name, _File(b"", (), ""))
            try:
                files[name] = self._look(root, name, old)
                size += files[name].size
            except FileNotFoundError:
                # Gone between the listing and now, or a link to nothing.
                continue
            except (OSError, BadManifest) as error:
                files[name] = _File(b"", old.manifests, _summary(error))
        return files

    def _look(self, root: Path, name: str, old: _File) -> _File:
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

    def _parse(self, content: bytes) -> Iterator[Manifest]:
        for document in load_documents(content):
            for item in _service_accounts(document):
                meta = _read_meta(item)
                account = self._index.entry(meta.uid or "", meta.written)
                yield Manifest(meta.namespace or DEFAULT_NAMESPACE, meta.name, account)

    def _report(self, why: str) -> None:
        if why == self.failing:
            return
        self.failing = why
        if why:
            log.warning("informer manifests cannot be used, keeping the last good ones", why=why)
        else:
            log.info("informer manifests usable again")

    def _summary(self) -> None:
        heard = self.last_contact
        log.info(
            "informer summary",
            synced=self.synced,
            objects=len(self._index),
            files=len(self._files),
            age_seconds=None if heard is None else round(self._monotonic() - heard, 1),
        )


def load_documents(content: bytes) -> list[object]:
    """Return the documents of a YAML file.

    Raises BadManifest for what is no YAML, and for aliases and deep nesting: with merge keys a kilobyte of aliases
    grows to gigabytes, and manifests never need them.
    """
    try:
        depth = 0
        for event in yaml.parse(content, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise BadManifest("aliases are not supported")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEPTH_MAX:
                raise BadManifest("nested too deeply")
        return list(yaml.load_all(content, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        line = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadManifest(f"not YAML{line}") from error
    # ValueError: a date such as 2026-13-45.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadManifest("not YAML") from error


def _service_accounts(document: object) -> Iterator[Mapping[object, object]]:
    if document is None:
        return
    if not isinstance(document, Mapping):
        raise BadManifest("a document is not a mapping")
    kind = document.get("kind")
    if kind == "ServiceAccount":
        yield document
    if kind not in ("List", "ServiceAccountList"):
        return
    items = document.get("items") or []
    if not isinstance(items, list):
        raise BadManifest("the items of a List are not a list")
    for item in items:
        if not isinstance(item, Mapping):
            raise BadManifest("an item of a List is not a mapping")
        # The items of a typed list may leave their kind out, as the API server does.
        if item.get("kind", "ServiceAccount" if kind == "ServiceAccountList" else "") == "ServiceAccount":
            yield item


def _read_meta(item: Mapping[object, object]) -> _Meta:
    try:
        meta = msgspec.convert(item.get("metadata"), _Meta)
    except msgspec.ValidationError as error:
        raise BadManifest("a ServiceAccount's name, namespace, uid and annotations must be text") from error
    if not is_name(meta.name) or not is_name(meta.namespace or DEFAULT_NAMESPACE):
        raise BadManifest("a ServiceAccount has no legal name")
    return meta


def _manifests(files: Mapping[str, _File]) -> list[Manifest]:
    return [manifest for file in files.values() for manifest in file.manifests]


def _summary(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
