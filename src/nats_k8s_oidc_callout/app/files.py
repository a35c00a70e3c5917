"""Every file that the settings name, read at the start and again as it changes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from nats_k8s_oidc_callout.adapters.files import INTERVAL_SECONDS, Poller, Watched, summary
from nats_k8s_oidc_callout.errors import CalloutError, ConfigurationError

T = TypeVar("T")


class Watch(Protocol):
    """Read a file now and whenever it changes: `take` gets each new value that `parse` makes of it."""

    def __call__(self, label: str, path: Path, parse: Callable[[bytes], T], take: Callable[[T], None]) -> None: ...


class FileWatch:
    """All files that are read again, each under the label of `nats_auth_file_errors`."""

    def __init__(self, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._files: list[tuple[str, Watched[Any]]] = []
        self._interval_seconds = interval_seconds

    def watch(self, label: str, path: Path, parse: Callable[[bytes], T], take: Callable[[T], None]) -> None:
        """Raise ConfigurationError when the first read fails: there is no older value to keep."""
        watched = Watched(path, parse, take, on_error=_told_by_its_log_line)
        try:
            take(watched.load())
        except (OSError, ValueError, CalloutError) as error:
            raise ConfigurationError([f"{path}: {summary(error)}"]) from None
        self._files.append((label, watched))

    def errors(self) -> Mapping[str, float]:
        """Return 1 for each label that has a file which is bad now."""
        return {label: 1.0 for label, file in self._files if file.failing}

    def poll(self) -> None:
        """Look at every file once."""
        for _, file in self._files:
            file.poll()

    async def run(self) -> None:
        """Look at the files for ever."""
        await Poller([file for _, file in self._files], self._interval_seconds).run()


def _told_by_its_log_line(_: str) -> None:
    """The adapter logs each failure, and the gauge asks `failing`: there is nothing left to do."""
