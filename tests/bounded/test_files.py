"""How much of a file is read."""

import os
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.bounded import files
from nats_k8s_oidc_callout.bounded.files import BYTES_MAX, read_file


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """A pipe where a file should be is an error at once, and not a start that waits for ever."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "pipe")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """A file over the bound is refused, one at the bound is read."""
    (tmp_path / "large").write_bytes(bytes(BYTES_MAX))
    (tmp_path / "larger").write_bytes(bytes(BYTES_MAX + 1))

    assert BYTES_MAX == len(read_file(tmp_path / "large"))
    with pytest.raises(OSError, match="larger than 1 MiB"):
        read_file(tmp_path / "larger")


def test_a_file_that_is_larger_than_it_says_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read counts, not what the file system says: a file may grow, and those of /proc have no size."""
    monkeypatch.setattr(files, "BYTES_MAX", 100)

    with pytest.raises(OSError, match="larger than 1 MiB"):
        read_file(Path("/proc/self/status"))


def test_a_folder_is_named_as_one(tmp_path: Path) -> None:
    """A folder fails in its own way, which is how one is told from a file."""
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)
