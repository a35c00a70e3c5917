"""Files that change under a running process."""

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from nats_k8s_oidc_callout.adapters.files import Poller, Watched
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
    """A watched file, and everything it told."""

    def __init__(self, folder: Path, content: str = "one", bytes_max: int = 100) -> None:
        self.path = folder / "file"
        self.path.write_text(content)
        self.values: list[str] = []
        self.errors: list[str] = []
        self.good = 0
        self.file = Watched(
            self.path, parse, self.values.append, self.errors.append, on_good=self._count, bytes_max=bytes_max
        )

    def _count(self) -> None:
        self.good += 1


def test_the_first_read_gives_the_value_without_a_callback(tmp_path: Path) -> None:
    """
    `load` returns the first value; polling an unchanged file tells nothing.
    """
    heard = Heard(tmp_path)

    assert "one" == heard.file.load()
    heard.file.poll()
    assert ([], []) == (heard.values, heard.errors)


@pytest.mark.parametrize(
    ("content", "error"),
    [("bad", BadKey), ("secret", KeyError), ("x" * 101, ValueError)],
    ids=["bad", "foreign", "large"],
)
def test_the_first_read_raises(tmp_path: Path, content: str, error: type[Exception]) -> None:
    """
    At the start the caller gets the error itself.
    """
    with pytest.raises(error):
        Heard(tmp_path, content).file.load()


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """
    A named pipe would block the loop for ever: it is no file to watch.
    """
    heard = Heard(tmp_path)
    heard.path.unlink()
    os.mkfifo(heard.path)

    with pytest.raises(ValueError, match="not a regular file"):
        heard.file.load()


def test_a_new_content_is_told_once(tmp_path: Path) -> None:
    """
    A changed file gives its new value once.
    """
    heard = Heard(tmp_path)
    heard.file.load()
    heard.path.write_text("two")
    heard.file.poll()
    heard.file.poll()

    assert ["two"] == heard.values


def test_a_swapped_symlink_is_a_change(tmp_path: Path) -> None:
    """
    Kubernetes swaps a link to a folder: the content behind it counts.
    """
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
        ("x" * 101, "ValueError"),
        (None, "FileNotFoundError"),
    ],
    ids=["ours", "foreign", "large", "gone"],
)
def test_a_bad_content_keeps_the_old_value_and_quotes_nothing(
    tmp_path: Path, content: str | None, summary: str
) -> None:
    """
    A failure is told once, by its class and our own words only; the value stays.
    """
    heard = Heard(tmp_path)
    heard.file.load()
    heard.path.unlink()
    if content is not None:
        heard.path.write_text(content)
    with capture_logs() as logs:
        heard.file.poll()
        heard.file.poll()

    assert ([], [summary]) == (heard.values, heard.errors)
    assert summary == heard.file.failing
    assert "secret" not in str(logs)


def test_a_bad_content_is_parsed_once(tmp_path: Path) -> None:
    """
    A content that was refused is not tried again until it changes.
    """
    path = tmp_path / "file"
    path.write_text("one")
    seen: list[bytes] = []

    def count(content: bytes) -> str:
        seen.append(content)
        return parse(content)

    file = Watched(path, count, print, print)
    file.load()
    path.write_text("bad")
    file.poll()
    file.poll()

    assert [b"one", b"bad"] == seen


def test_going_back_to_the_old_content_ends_the_failure(tmp_path: Path) -> None:
    """
    The failure is over with the old content too: there is no new value, but the gauge falls.
    """
    heard = Heard(tmp_path)
    heard.file.load()
    heard.path.write_text("bad")
    heard.file.poll()
    heard.path.write_text("one")
    heard.file.poll()

    assert ([], 1, "") == (heard.values, heard.good, heard.file.failing)


def test_a_failure_after_a_recovery_is_told_again(tmp_path: Path) -> None:
    """
    The same bad content after a good one is a new failure.
    """
    heard = Heard(tmp_path)
    heard.file.load()
    for content in ("bad", "two", "bad"):
        heard.path.write_text(content)
        heard.file.poll()

    assert (["two"], ["BadKey: not a seed"] * 2) == (heard.values, heard.errors)


def test_a_value_that_cannot_be_taken_over_is_a_failure(tmp_path: Path) -> None:
    """
    When the receiver refuses a value the file counts as bad, and is not taken for adopted.
    """
    path = tmp_path / "file"
    path.write_text("one")
    errors: list[str] = []

    def refuse(value: str) -> None:
        raise BadKey("not this one")

    file = Watched(path, parse, refuse, errors.append)
    file.load()
    path.write_text("two")
    file.poll()

    assert ["BadKey: not this one"] == errors


async def test_one_task_polls_all_files(tmp_path: Path) -> None:
    """
    The poller looks at every file, again and again; one bad file does not stop the others.
    """
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    bad, good = Heard(tmp_path / "a"), Heard(tmp_path / "b")
    bad.file.load()
    good.file.load()
    bad.path.write_text("secret")
    good.path.write_text("two")
    task = asyncio.create_task(Poller([bad.file, good.file], interval_seconds=0.01).run(), name="poller")
    await until(lambda: good.values == ["two"])
    good.path.write_text("three")
    await until(lambda: good.values == ["two", "three"])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert ["KeyError"] == bad.errors
