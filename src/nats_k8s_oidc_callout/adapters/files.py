"""Files that change under a running process, polled by content: Kubernetes swaps symlinks, which defeats watchers."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import structlog

from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.errors import CalloutError, ConfigurationError

log = structlog.get_logger("files")

INTERVAL_SECONDS = 10.0

T = TypeVar("T")


class Watched(Generic[T]):
    """One file and what it means. A content that cannot be read or parsed keeps the old meaning.

    `take(value)` comes once for each new content. Each new failure is logged once, by a summary that holds the class of
    the error and, for our own errors and the system's, its text: a foreign parser's may quote the file, or a seed.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], T],
        take: Callable[[T], None],
        *,
        adopted: bytes = b"",
        settle: Callable[[], object] | None = None,
    ) -> None:
        """`adopted` is the SHA-256 of a content whose value somebody has already.

        `settle` waits for whoever may be writing: a new content that is another one afterwards is left for the next look,
        since half a file may parse as well.
        """
        self.path = path
        self.failing = ""
        """The summary of the present failure, else empty."""
        self._parse = parse
        self._take = take
        self._settle = settle
        self._adopted = adopted
        self._refused = b""

    def load(self) -> T:
        """Return the first value, which `take` does not get. Raises OSError, ValueError or what `parse` raises."""
        content = read_file(self.path)
        value = self._parse(content)
        self._adopted = _digest(content)
        return value

    def poll(self) -> None:
        """Look once, and hand on what is new. Raises nothing."""
        self.adopt(self.look())

    def look(self) -> "Seen[T]":
        """Return what is there, for `adopt`; in a thread, where parsing takes longer than a login may. Raises nothing."""
        digest = b""
        try:
            content = read_file(self.path)
            digest = _digest(content)
            if digest in (self._adopted, self._refused) or not self._is_settled(content):
                return Seen(digest, ())
            return Seen(digest, (self._parse(content),))
        except Exception as error:  # noqa: BLE001 - supervision boundary: one bad file must not stop the others
            # Its traceback would keep the content until garbage is collected.
            return Seen(digest, (), error.with_traceback(None))

    def adopt(self, seen: "Seen[T]") -> None:
        """Hand on what was seen, if it is new. Raises nothing."""
        error = seen.error
        try:
            for value in seen.value:
                self._take(value)
        except Exception as untaken:  # noqa: BLE001 - as above
            error = untaken
        if error is not None:
            self._refused = seen.digest
            self._bad(_summary(error))
        elif seen.value:
            self._adopted = seen.digest
            log.info("file reloaded", path=str(self.path))
            self._good()
        elif seen.digest == self._adopted:
            self._good()

    def _is_settled(self, content: bytes) -> bool:
        if self._settle is None:
            return True
        self._settle()
        try:
            return read_file(self.path) == content
        except OSError:
            # Being replaced: that says nothing against this content, which may be there again at the next look.
            return False

    def _bad(self, why: str) -> None:
        if why != self.failing:
            self.failing = why
            log.warning("file cannot be used, keeping the last good content", path=str(self.path), why=why)

    def _good(self) -> None:
        self._refused = b""
        if self.failing:
            self.failing = ""
            log.info("file usable again", path=str(self.path))


class Seen(NamedTuple, Generic[T]):
    """What a look at a file found."""

    digest: bytes
    """Empty when it could not be read, and for what may be good the next time."""
    value: tuple[T, ...]
    """One, when the content is new and good."""
    error: Exception | None = None


class Watch(Protocol):
    """Read a file now and whenever it changes: `take` gets each new value that `parse` makes of it."""

    def __call__(self, label: str, path: Path, parse: Callable[[bytes], T], take: Callable[[T], None]) -> None: ...


class FileWatch:
    """Every file that the settings name, each under the label of `nats_auth_file_errors`; one task for all."""

    def __init__(self) -> None:
        self._files: list[tuple[str, Watched[Any]]] = []

    def watch(self, label: str, path: Path, parse: Callable[[bytes], T], take: Callable[[T], None]) -> None:
        """Raise ConfigurationError when the first read fails: there is no older value to keep."""
        watched = Watched(path, parse, take)
        try:
            take(watched.load())
        except (OSError, ValueError, CalloutError) as error:
            raise ConfigurationError([f"{path}: {_summary(error)}"]) from None
        self._files.append((label, watched))

    def errors(self) -> Mapping[str, float]:
        """Return 1 for each label that has a file which is bad now."""
        return {label: 1.0 for label, file in self._files if file.failing}

    def poll(self) -> None:
        """Look at every file once."""
        for _, file in self._files:
            file.poll()

    async def run(self) -> None:
        """Poll until cancelled. The first look comes after one interval: `watch` was the one before."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            self.poll()


def _summary(error: Exception) -> str:
    """Return what may be said about an error without quoting what was read."""
    name = type(error).__name__
    what = error.strerror if isinstance(error, OSError) else error if isinstance(error, CalloutError) else None
    return f"{name}: {what}" if what else name


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
