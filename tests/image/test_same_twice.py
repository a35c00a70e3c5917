"""The same inputs give the same image, wherever and whenever it is built. Slow: it is built twice."""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image import built
from tests.image.built import Image

pytestmark = pytest.mark.slow

# Written by the engine for each container, and no part of a layer.
_OF_THE_CONTAINER = {"/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/run/.containerenv"}


@pytest.fixture(scope="module")
def again(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image built anew from a copy of the checkout with other times, stricter modes and litter in it."""
    checkout = tmp_path_factory.mktemp("elsewhere") / "another-name"
    built.copy_inputs(image.checkout, checkout)
    for path in checkout.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    (checkout / ".env").write_text("SECRET=1")
    stale = checkout / "src" / "nats_k8s_oidc_callout" / "core" / "__pycache__" / "stale.pyc"
    stale.parent.mkdir()
    stale.write_bytes(b"stale")
    folder = tmp_path_factory.mktemp("again")
    yield built.built(folder, checkout, image.what)
    shutil.rmtree(folder)


def test_every_file_is_the_same(image: Image, again: Image) -> None:
    """Two builds agree on every file: content, kind, mode, owner, and the time of what we put there."""
    one, other = described(image), described(again)

    assert {} == {
        name: (one.get(name), other.get(name)) for name in one.keys() | other.keys() if one.get(name) != other.get(name)
    }
    assert len(one) > 5000


def test_layers_are_the_same(image: Image, again: Image) -> None:
    """Two builds agree on the digests of layers and of the image as such, so a registry keeps one."""
    assert (image.layers, image.id) == (again.layers, again.id)


def described(image: Image) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in image.files():
        name, status = image.inside(path), path.lstat()
        if name in _OF_THE_CONTAINER:
            continue
        what: object = None
        if stat.S_ISREG(status.st_mode):
            what = digest(path)
        elif stat.S_ISLNK(status.st_mode):
            what = path.readlink()
        # A folder's time changes with what the engine puts beside ours; the layers' digests have it.
        seconds = int(status.st_mtime) if stat.S_ISREG(status.st_mode) else 0
        found[name] = (what, oct(status.st_mode), status.st_uid, status.st_gid, seconds)
    return found


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
