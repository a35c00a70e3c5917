"""A release writes the version and the owner everywhere they stand."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tools import release
from tools.release import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of every file that git has."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "bench/")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def naming(folder: Path, word: str) -> list[str]:
    """Return the files that hold a word."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "release.py")
    return sorted(str(path.relative_to(folder)) for path in files if word.encode() in path.read_bytes())


def test_all_places_have_one_version() -> None:
    """The version is the same everywhere."""
    assert 1 == len({version for _, version in release.versions()})


def test_release_sets_the_version_everywhere(checkout: Path) -> None:
    """After a release every place has the new version, and CHANGELOG a section with its day."""
    before = release.problems("9.8.7", checkout)
    release.set_version("9.8.7", "2026-11-26", checkout)

    assert len(before) > len(list(release.versions()))
    assert [] == release.problems("9.8.7", checkout)
    assert "### Added" in release.notes("9.8.7", checkout)


def test_owner_is_written_everywhere(checkout: Path) -> None:
    """Who publishes it is named by no file that a change of owner leaves out."""
    assert naming(checkout, release.owner())
    release.set_owner("acme", checkout)

    assert "acme" == release.owner(checkout)
    assert [] == naming(checkout, release.owner(ROOT))


@pytest.mark.go
def test_what_is_published_is_built(tmp_path: Path) -> None:
    """Wheel, source archive, chart and notes are built."""
    release.dist("0.0.0", tmp_path)
    version = next(version for _, version in release.versions())

    name = f"nats_k8s_oidc_callout-{version}"
    assert {f"{name}-py3-none-any.whl", f"{name}.tar.gz", f"nats-k8s-oidc-callout-{version}.tgz", "NOTES.md"} == {
        path.name for path in tmp_path.iterdir()
    }
