"""Files that change under a running process."""

import asyncio
import hashlib
import os
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from nats_k8s_oidc_callout.adapters import files
from nats_k8s_oidc_callout.adapters.files import FileWatch, Watched
from nats_k8s_oidc_callout.bounded.files import BYTES_MAX
from nats_k8s_oidc_callout.errors import BadKey
from tests.fakes.waiting import until


def parse(content: bytes) -> str:
    """Give the text; `secret…` fails as a foreign parser would, `bad…` as ours."""
    text = content.decode()
    if text.startswith("secret"):
        raise KeyError(text)
    if text.startswith("bad"):
        raise BadKey("not a seed")
    return text


class Heard:
    """A watched file, and every value that it gave."""

    def __init__(self, folder: Path, content: str = "one") -> None:
        self.path = folder / "file"
        self.path.write_text(content)
        self.values: list[str] = []
        self.file = Watched(self.path, parse, self.values.append)


def told(logs: Iterable[MutableMapping[str, Any]]) -> list[str]:
    """Return why files were bad, and each time one was good again."""
    return [line.get("why", "good") for line in logs if line["event"] != "file reloaded"]


def test_the_first_read_returns_the_value(tmp_path: Path) -> None:
    """`load` returns the first value; polling an unchanged file gives nothing."""
    heard = Heard(tmp_path)

    assert "one" == heard.file.load()
    heard.file.poll()
    assert ([], "") == (heard.values, heard.file.failing)


@pytest.mark.parametrize(
    ("content", "error"),
    [("bad", BadKey), ("secret", KeyError), ("x" * (BYTES_MAX + 1), OSError)],
    ids=["bad", "foreign", "large"],
)
def test_the_first_read_raises(tmp_path: Path, content: str, error: type[Exception]) -> None:
    """At the start the caller gets the error itself."""
    with pytest.raises(error):
        Heard(tmp_path, content).file.load()


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """A named pipe would block the loop for ever: it is no file to watch."""
    heard = Heard(tmp_path)
    heard.path.unlink()
    os.mkfifo(heard.path)

    with pytest.raises(OSError, match="not a regular file"):
        heard.file.load()


def test_a_new_content_is_told_once(tmp_path: Path) -> None:
    """A changed file gives its new value once."""
    heard = Heard(tmp_path)
    heard.file.load()
    heard.path.write_text("two")
    heard.file.poll()
    heard.file.poll()

    assert ["two"] == heard.values


def test_a_swapped_symlink_is_a_change(tmp_path: Path) -> None:
    """Kubernetes swaps a link to a folder: the content behind it counts."""
    heard = Heard(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    heard.path.unlink()
    (tmp_path / "..data").symlink_to("one")
    heard.path.symlink_to("..data/file")
    heard.file.load()
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    heard.file.poll()

    assert ["two"] == heard.values


@pytest.mark.parametrize(
    ("content", "summary"),
    [
        ("bad seed", "BadKey: not a seed"),
        ("secret seed", "KeyError"),
        ("x" * (BYTES_MAX + 1), "OSError: it is larger than 1 MiB"),
        (None, "FileNotFoundError: No such file or directory"),
    ],
    ids=["ours", "foreign", "large", "gone"],
)
def test_a_bad_content_keeps_the_old_value_and_quotes_nothing(
    tmp_path: Path, content: str | None, summary: str
) -> None:
    """A failure is told once, by its class and our own words only; the value stays."""
    heard = Heard(tmp_path)
    heard.file.load()
    heard.path.unlink()
    if content is not None:
        heard.path.write_text(content)
    with capture_logs() as logs:
        heard.file.poll()
        heard.file.poll()

    assert ([], [summary]) == (heard.values, told(logs))
    assert summary == heard.file.failing
    assert "secret" not in str(logs)


def test_a_bad_content_is_parsed_once(tmp_path: Path) -> None:
    """A content that was refused is not tried again until it changes."""
    path = tmp_path / "file"
    path.write_text("one")
    seen: list[bytes] = []

    def count(content: bytes) -> str:
        seen.append(content)
        return parse(content)

    file = Watched(path, count, print)
    file.load()
    path.write_text("bad")
    file.poll()
    file.poll()

    assert [b"one", b"bad"] == seen


def test_going_back_to_the_old_content_ends_the_failure(tmp_path: Path) -> None:
    """The failure is over with the old content too: there is no new value, but the gauge falls."""
    heard = Heard(tmp_path)
    heard.file.load()
    heard.path.write_text("bad")
    with capture_logs() as logs:
        heard.file.poll()
        heard.path.write_text("one")
        heard.file.poll()

    assert ([], ["BadKey: not a seed", "good"], "") == (heard.values, told(logs), heard.file.failing)


def test_a_failure_after_a_recovery_is_told_again(tmp_path: Path) -> None:
    """The same bad content after a good one is a new failure."""
    heard = Heard(tmp_path)
    heard.file.load()
    with capture_logs() as logs:
        for content in ("bad", "two", "bad"):
            heard.path.write_text(content)
            heard.file.poll()

    assert (["two"], ["BadKey: not a seed", "good", "BadKey: not a seed"]) == (heard.values, told(logs))


def test_a_value_that_cannot_be_taken_over_is_a_failure(tmp_path: Path) -> None:
    """When the receiver refuses a value the file counts as bad, and is not taken for adopted."""
    path = tmp_path / "file"
    path.write_text("one")

    def refuse(value: str) -> None:
        raise BadKey("not this one")

    file = Watched(path, parse, refuse)
    file.load()
    path.write_text("two")
    file.poll()

    assert "BadKey: not this one" == file.failing


async def test_one_task_polls_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is looked at again and again; one bad file does not stop the others, and its label tells of it."""
    monkeypatch.setattr(files, "INTERVAL_SECONDS", 0.01)
    bad, good = tmp_path / "bad", tmp_path / "good"
    watch, values = FileWatch(), list[str]()
    for path in (bad, good):
        path.write_text("one")
        watch.watch(path.name, path, parse, values.append)
    bad.write_text("secret")
    good.write_text("two")
    task = asyncio.create_task(watch.run(), name="files")
    await until(lambda: values == ["one", "one", "two"])
    good.write_text("three")
    await until(lambda: values == ["one", "one", "two", "three"])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert {"bad": 1.0} == watch.errors()


def test_a_content_somebody_has_already_is_not_new(tmp_path: Path) -> None:
    """With the digest of what is in the file nothing is handed on, until the file changes."""
    heard = Heard(tmp_path)
    heard.file = Watched(heard.path, parse, heard.values.append, adopted=hashlib.sha256(b"one").digest())
    heard.file.poll()
    heard.path.write_text("two")
    heard.file.poll()

    assert ["two"] == heard.values


def test_a_content_that_is_still_being_written_waits(tmp_path: Path) -> None:
    """Half a file is not taken although it parses: what is new must be the same a moment later."""
    heard = Heard(tmp_path)
    writes = iter(["two, whole"])
    heard.file = Watched(
        heard.path, parse, heard.values.append, settle=lambda: [heard.path.write_text(text) for text in writes]
    )
    heard.file.load()
    heard.path.write_text("two")
    heard.file.poll()
    half = list(heard.values)
    heard.file.poll()

    assert ([], ["two, whole"], "") == (half, heard.values, heard.file.failing)


def test_a_content_that_goes_while_it_settles_counts_when_it_is_back(tmp_path: Path) -> None:
    """A file that is removed and written again may be away for a moment: its content is not refused for that."""
    heard = Heard(tmp_path)
    moves = iter([heard.path])
    settle = lambda: [path.rename(tmp_path / "away") for path in moves]  # noqa: E731
    heard.file = Watched(heard.path, parse, heard.values.append, settle=settle)
    heard.file.load()
    heard.path.write_text("two")
    heard.file.poll()
    heard.path.write_text("two")
    heard.file.poll()

    assert (["two"], "") == (heard.values, heard.file.failing)
