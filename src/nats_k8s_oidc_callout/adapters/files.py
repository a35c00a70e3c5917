"""Files that change under a running process, polled by content: Kubernetes swaps symlinks, which defeats watchers."""

import asyncio
import hashlib
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import structlog

from nats_k8s_oidc_callout.errors import CalloutError

log = structlog.get_logger("files")

INTERVAL_SECONDS = 10.0
BYTES_MAX = 1024 * 1024

T = TypeVar("T")


def _nothing() -> None:
    return


class Watched(Generic[T]):
    """One file and what it means. A content that cannot be read or parsed keeps the old meaning.

    `on_change(value)` comes once for each new content, `on_error(summary)` once for each new failure, and `on_good()`
    when a failure is over, with or without a change. A summary holds the class of the error and, for our own errors,
    its text: a foreign parser's text may quote the file, which may be a seed.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], T],
        on_change: Callable[[T], None],
        on_error: Callable[[str], None],
        *,
        on_good: Callable[[], None] = _nothing,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        self.path = path
        self.failing = ""
        """The summary of the present failure, else empty."""
        self._parse = parse
        self._on_change = on_change
        self._on_error = on_error
        self._on_good = on_good
        self._bytes_max = bytes_max
        self._adopted = b""
        self._refused = b""

    def load(self) -> T:
        """Return the first value, without a callback. Raises OSError, ValueError or what `parse` raises."""
        content = self._read()
        value = self._parse(content)
        self._adopted = _digest(content)
        return value

    def poll(self) -> None:
        """Look once, and tell by callback what is new. Raises nothing."""
        digest = b""
        try:
            content = self._read()
            digest = _digest(content)
            if digest == self._adopted:
                self._good()
                return
            if digest == self._refused:
                return
            self._on_change(self._parse(content))
        except Exception as error:  # noqa: BLE001 - supervision boundary: one bad file must not stop the others
            self._refused = digest
            self._bad(summary(error))
            return
        self._adopted = digest
        log.info("file reloaded", path=str(self.path))
        self._good()

    def _read(self) -> bytes:
        # A pipe would block the loop, and could be read only once anyway.
        if not stat.S_ISREG(self.path.stat().st_mode):
            raise ValueError("not a regular file")
        with self.path.open("rb") as file:
            content = file.read(self._bytes_max + 1)
        if len(content) > self._bytes_max:
            raise ValueError(f"over {self._bytes_max} bytes")
        return content

    def _bad(self, why: str) -> None:
        if why != self.failing:
            self.failing = why
            log.warning("file cannot be used, keeping the last good content", path=str(self.path), why=why)
            self._on_error(why)

    def _good(self) -> None:
        self._refused = b""
        if self.failing:
            self.failing = ""
            log.info("file is good again", path=str(self.path))
            self._on_good()


class Pollable(Protocol):
    """What a Poller asks of a file."""

    def poll(self) -> None: ...


class Poller:
    """One task for all files."""

    def __init__(self, files: Sequence[Pollable], interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._files = files
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Poll until cancelled. The first look comes after one interval: `Watched.load` was the one before."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            for file in self._files:
                file.poll()


def summary(error: Exception) -> str:
    """Return what may be said about an error without quoting what was read."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, CalloutError) else name


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
