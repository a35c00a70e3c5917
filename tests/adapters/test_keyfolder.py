"""A folder of key files that changes under a running process."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from nats_k8s_oidc_callout.adapters import keyfolder
from nats_k8s_oidc_callout.adapters.keyfolder import FILE_BYTES_MAX, KeyFolder
from nats_k8s_oidc_callout.errors import BadKey
from tests.fakes.waiting import until


def parse(name: str, content: bytes) -> str:
    """Give name and text; `secret…` fails as a foreign parser would, `bad…` as ours."""
    text = content.decode()
    if text.startswith("secret"):
        raise KeyError(text)
    if text.startswith("bad"):
        raise BadKey("is no seed")
    return f"{name}={text}"


class Mount:
    """A folder as the kubelet mounts a Secret: links into a version that is swapped whole."""

    def __init__(self, root: Path) -> None:
        self.path = root / "accounts"
        self.path.mkdir()
        self.version = 0
        self.taken: list[Mapping[str, str]] = []
        self.folder = KeyFolder(self.path, parse, self.taken.append)

    def swap(self, **files: str) -> None:
        """Do as atomic_writer.go does: a new version, the link, then the names."""
        self.version += 1
        version = self.path / f"..v{self.version}"
        version.mkdir()
        for name, text in files.items():
            (version / name).write_text(text)
        (self.path / "..new").symlink_to(version.name)
        (self.path / "..new").rename(self.path / "..data")
        for path in self.path.iterdir():
            if not path.name.startswith("..") and path.name not in files:
                path.unlink()
        for name in files:
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(f"..data/{name}")

    async def look(self, **files: str) -> Mapping[str, str]:
        self.swap(**files)
        await self.folder.poll()
        return self.folder.good


async def test_what_a_secret_holds_now_counts(tmp_path: Path) -> None:
    """Files that come, change and go are followed, and told once a change; hidden names are none."""
    mount = Mount(tmp_path)
    mount.swap(SHOP="one")
    mount.folder.read()

    assert {"SHOP": "SHOP=one"} == mount.folder.good
    assert {"EDGE": "EDGE=e", "SHOP": "SHOP=two"} == await mount.look(SHOP="two", EDGE="e")
    assert {"EDGE": "EDGE=e"} == await mount.look(EDGE="e")
    assert {"EDGE": "EDGE=e"} == await mount.look(EDGE="e")
    assert {} == await mount.look()
    assert [1, 2, 1, 0] == [len(files) for files in mount.taken]
    assert {} == mount.folder.failing


def unreadable(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(lambda path: path.write_text("bad"), "is no seed", id="bad"),
        pytest.param(lambda path: path.write_text("secret"), "KeyError", id="a foreign parser's error"),
        pytest.param(lambda path: path.write_bytes(b"\xff"), "UnicodeDecodeError", id="no text"),
        pytest.param(
            lambda path: path.write_text("x" * (FILE_BYTES_MAX + 1)), "it is larger than 2048 bytes", id="large"
        ),
        pytest.param(unreadable, "it is not a regular file", id="pipe"),
    ],
)
async def test_a_bad_file_loses_its_own_account(tmp_path: Path, spoil: Callable[[Path], object], why: str) -> None:
    """Unlike a single key file a bad one keeps no older value; the others go on, and each change is logged once."""
    mount = Mount(tmp_path)
    for name in ("EDGE", "SHOP"):
        (mount.path / name).write_text("one")
    mount.folder.read()
    spoil(mount.path / "SHOP")
    with capture_logs() as logs:
        await mount.folder.poll()
        await mount.folder.poll()
        bad = mount.folder.good, mount.folder.failing
        (mount.path / "SHOP").unlink()
        (mount.path / "SHOP").write_text("two")
        await mount.folder.poll()

    assert ({"EDGE": "EDGE=one"}, {"SHOP": why}) == bad
    assert ({"EDGE": "EDGE=one", "SHOP": "SHOP=two"}, {}) == (mount.folder.good, mount.folder.failing)
    assert ["account keys loaded", "account key files cannot be used, nobody gets in there"] == [
        line["event"] for line in logs[:2]
    ]
    assert (4, f"'SHOP': {why}") == (len(logs), logs[1]["why"])


async def test_without_the_folder_there_is_no_account(tmp_path: Path) -> None:
    """A folder that is gone is one without files, and says so."""
    mount = Mount(tmp_path)
    await mount.look(SHOP="one")
    mount.path.rename(tmp_path / "elsewhere")
    await mount.folder.poll()

    assert ({}, {".": "No such file or directory"}) == (mount.folder.good, mount.folder.failing)


async def test_a_link_to_nothing_is_no_file(tmp_path: Path) -> None:
    """In the middle of a swap a name may lead nowhere: there is no such account, and nothing to repair."""
    mount = Mount(tmp_path)
    (mount.path / "SHOP").symlink_to("..data/SHOP")
    await mount.folder.poll()

    assert ({}, {}) == (mount.folder.good, mount.folder.failing)


async def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones by name count, those behind do not."""
    monkeypatch.setattr(keyfolder, "FILES_MAX", 2)
    mount = Mount(tmp_path)

    assert {"A": "A=a", "B": "B=b"} == await mount.look(C="c", B="b", A="a")
    assert {".": "it holds over 2 files, and those behind are not read"} == mount.folder.failing


async def test_a_running_folder_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` looks again and again."""
    monkeypatch.setattr(keyfolder, "INTERVAL_SECONDS", 0.01)
    mount = Mount(tmp_path)
    task = asyncio.create_task(mount.folder.run())
    mount.swap(SHOP="one")
    await until(lambda: bool(mount.folder.good))
    task.cancel()

    assert {"SHOP": "SHOP=one"} == mount.folder.good
