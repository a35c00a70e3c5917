"""A folder with a key file for each account: read again by content, and what is bad or gone counts no more."""

import asyncio
import hashlib
import heapq
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import structlog

from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.errors import CalloutError

log = structlog.get_logger("files")

# A change counts within 10 s: half of that, since looking takes a while, too.
INTERVAL_SECONDS = 5.0
# Some 6,000 accounts fit into one Secret. What is read in a look is at most the product, 20 MB, and none of it is kept.
FILES_MAX = 10_000
FILE_BYTES_MAX = 2048
FOLDER = "."
"""The name under which trouble with the folder itself stands; no file that counts begins with a dot."""

T = TypeVar("T")


class _File(NamedTuple, Generic[T]):
    digest: bytes
    value: T | None
    why: str = ""


class KeyFolder(Generic[T]):
    """The files of a folder by name, each as what `parse` makes of name and content.

    Hidden names are left out: a mounted Secret keeps its versions there. Unlike a single key file, one that is bad keeps
    no older value: an account that nobody vouches for any more must not be signed for. `take` gets the good ones whole
    whenever they change.
    """

    def __init__(self, path: Path, parse: Callable[[str, bytes], T], take: Callable[[Mapping[str, T]], None]) -> None:
        self._path, self._parse, self._take = path, parse, take
        self._files: dict[str, _File[T]] = {}
        self.good: Mapping[str, T] = {}
        self.failing: Mapping[str, str] = {}
        """Why a file is not used, by its name."""

    def read(self) -> None:
        """Look once, before there is a loop. Raises nothing."""
        self._adopt(self._scan(self._files))

    async def poll(self) -> None:
        """Look once, in a thread: thousands of files take longer than a login may."""
        self._adopt(await asyncio.to_thread(self._scan, self._files))

    async def run(self) -> None:
        """Poll until cancelled; `read` was the first look."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.poll()

    def _adopt(self, files: dict[str, _File[T]]) -> None:
        before, self._files = self._files, files
        failing = {name: file.why for name, file in files.items() if file.why}
        if _digests(before) != _digests(files):
            self.good = {name: file.value for name, file in files.items() if file.value is not None}
            self._take(self.good)
            log.info("account keys loaded", path=str(self._path), accounts=len(self.good))
        if failing != self.failing:
            self.failing = failing
            if failing:
                # The names are the platform's, but may be any bytes.
                why = "; ".join(f"{name!a}: {why}" for name, why in failing.items())[:1000]
                log.warning("account key files cannot be used, nobody gets in there", path=str(self._path), why=why)
            else:
                log.info("account key files usable again", path=str(self._path))

    def _scan(self, known: Mapping[str, _File[T]]) -> dict[str, _File[T]]:
        try:
            with os.scandir(self._path) as entries:
                visible = (entry.name for entry in entries if not entry.name.startswith("."))
                names = heapq.nsmallest(FILES_MAX + 1, visible)
        except OSError as error:
            return {FOLDER: _File(b"", None, _summary(error))}
        files: dict[str, _File[T]] = {}
        for name in names[:FILES_MAX]:
            try:
                files[name] = self._look(name, known.get(name))
            except FileNotFoundError:
                # Gone between the listing and now, or a link to nothing.
                continue
            except Exception as error:  # noqa: BLE001 - supervision boundary: one bad file must not stop the others
                files[name] = _File(b"", None, _summary(error))
        if len(names) > FILES_MAX:
            files[FOLDER] = _File(b"", None, f"it holds over {FILES_MAX} files, and those behind are not read")
        return files

    def _look(self, name: str, old: _File[T] | None) -> _File[T]:
        content = read_file(self._path / name, FILE_BYTES_MAX)
        digest = hashlib.sha256(content).digest()
        if old is not None and digest == old.digest:
            return old
        try:
            return _File(digest, self._parse(name, content))
        except CalloutError as error:
            return _File(digest, None, str(error))


def _digests(files: Mapping[str, _File[T]]) -> dict[str, bytes]:
    return {name: file.digest for name, file in files.items() if file.value is not None}


def _summary(error: Exception) -> str:
    """Return what may be said about an error without quoting what was read."""
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
