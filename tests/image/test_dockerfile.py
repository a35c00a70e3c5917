"""What can be said about the image without building it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools import image
from tools.image import PYTHON_IMAGE, READ, ROOT, engine, inputs

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def default(argument: str) -> list[str]:
    return re.findall(rf"^ARG {argument}=(.*)$", DOCKERFILE, re.MULTILINE)


def test_plain_build_is_labelled_right() -> None:
    """Without any build argument the label is the package's version, the base the one that everybody names."""
    assert [PROJECT["version"]] == default("VERSION")
    assert [PYTHON_IMAGE] == default("PYTHON_IMAGE")


def test_nothing_else_gets_into_the_build() -> None:
    """The context is a list of what may come in; all of it is what an image is said to be made of."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!").partition("/")[0] for line in lines if line.startswith("!")}

    assert "*" == next(line for line in lines if not line.startswith("#"))
    assert allowed == set(READ) - {"Dockerfile", ".dockerignore"}


def test_no_architecture_is_named() -> None:
    """Nothing in it holds for one architecture only."""
    text = "".join((ROOT / path).read_text(encoding="utf-8") for path in ("Dockerfile", "image/layers.py"))

    assert [] == re.findall(r"x86|amd64|aarch64|lib64|linux-gnu", text)


@pytest.mark.slow
def test_every_wheel_for_arm64_is_pinned(tmp_path: Path) -> None:
    """Pip finds a wheel for aarch64 under a pinned hash for each requirement; it asks the index, so this is slow."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--target", str(tmp_path), "--python-version", "3.13"]
    for glibc in ("manylinux_2_17", "manylinux2014", "manylinux_2_28"):
        command += ["--platform", f"{glibc}_aarch64"]
    done = subprocess.run(
        [*command, "-r", str(ROOT / "requirements" / "runtime.txt")],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=200,
    )

    assert 0 == done.returncode, done.stderr[-2000:]


def test_building_it_installs_nothing(tmp_path: Path) -> None:
    """`make image` wants a Python and an engine, and no environment for developing."""
    venv = tmp_path / "venv"
    command = ["make", "--no-print-directory", "image", f"PYTHON={sys.executable}", f"VENV={venv}", "ARGS=--help"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)

    assert (0, True) == (done.returncode, done.stdout.startswith("usage: image.py")), done.stderr
    assert not venv.exists()


@pytest.mark.parametrize(
    ("working", "expected"),
    [(("docker", "podman", "buildah"), "docker"), (("podman", "buildah"), "podman"), (("buildah",), "buildah")],
)
def test_first_engine_that_works(
    working: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A docker without its daemon is passed over, as any engine that is there and fails."""
    for name in image.ENGINES:
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {0 if name in working else 1}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert expected == engine()


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any it says which would do."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(image.CannotBuild, match="None of docker, podman, buildah"):
        engine()


def git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *author, *arguments], check=True, capture_output=True)


def test_revision_tells_of_changes(tmp_path: Path) -> None:
    """A commit names the image; with changes to what the image is made of it is called dirty, without git unknown."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "9.8.7"\n')
    unknown = inputs(tmp_path).revision
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "x")
    clean = inputs(tmp_path)
    (tmp_path / "notes.txt").write_text("not part of it")
    beside = inputs(tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    dirty = inputs(tmp_path)

    assert "unknown" == unknown
    assert re.fullmatch(r"[0-9a-f]{40}", clean.revision)
    assert ("9.8.7", clean) == (clean.version, beside)
    assert f"{clean.revision}-dirty" == dirty.revision
