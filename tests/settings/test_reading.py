"""How the files that settings name are read at the start."""

import os
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.settings.findings import FILE_BYTES_MAX, read_file


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """
    A pipe where a file should be is an error at once, and not a start that waits for ever.
    """
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "pipe")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """
    A file over the bound is refused, one at the bound is read.
    """
    (tmp_path / "large").write_bytes(bytes(FILE_BYTES_MAX))
    (tmp_path / "larger").write_bytes(bytes(FILE_BYTES_MAX + 1))

    assert FILE_BYTES_MAX == len(read_file(tmp_path / "large"))
    with pytest.raises(OSError, match="larger than 1 MiB"):
        read_file(tmp_path / "larger")


def test_a_folder_is_named_as_one(tmp_path: Path) -> None:
    """
    A folder fails in its own way, which is how one is told from a file.
    """
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)
