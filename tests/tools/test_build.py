"""Where the test servers come from: $KUBEBUILDER_ASSETS first, else our own cache, one folder for each set of pins."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools import build

PROGRAM = Path(build.__file__)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("NATS_CALLOUT_TOOLS", str(tmp_path / "cache"))
    return tmp_path / "cache"


def place(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("etcd", "v3.7.3"),
        ("kube-apiserver", "v1.37.2"),
        ("kubectl", "v1.37.2"),
        ("nats", "v0.5.0"),
        ("nats-server-2.11", "v2.11.17"),
        ("nats-server-2.15", "v2.15.2"),
        ("helm", "v4.3.1"),
        ("helm-3", "v3.22.0"),
    ],
)
def test_version_is_the_one_that_go_mod_pins(name: str, expected: str) -> None:
    """The supported ends that the documents name are the ones that are built."""
    assert expected == build.TOOLS[name].version


def test_tool_that_is_not_there_has_no_path() -> None:
    """Asking for a path builds nothing."""
    assert build.path("etcd") is None


def test_built_tool_is_found() -> None:
    """A program in the folder of its pins is the tool."""
    there = place(build.TOOLS["etcd"].folder / "etcd")

    assert there == build.path("etcd")
    assert there == build.build("etcd")


def test_assets_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What $KUBEBUILDER_ASSETS holds is taken before what we built; what it lacks comes from our cache."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    given = place(tmp_path / "assets" / "etcd")
    place(build.TOOLS["etcd"].folder / "etcd")
    ours = place(build.TOOLS["kubectl"].folder / "kubectl")

    assert (given, ours) == (build.path("etcd"), build.path("kubectl"))


def test_another_pin_is_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed pin never finds the program of the old one."""
    before = build.TOOLS["etcd"].folder
    for part in ("go.mod", "go.sum"):
        copy = tmp_path / "tools" / "etcd" / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((PROGRAM.parent / "etcd" / part).read_text() + "// changed\n")
    monkeypatch.setattr(build, "_HERE", tmp_path / "tools")

    assert before != build.TOOLS["etcd"].folder


def test_failed_build_says_what_go_said_and_leaves_nothing(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Go fails, its last lines are the error, and no half program stays behind."""
    go = place(tmp_path / "bin" / "go")
    go.write_text("#!/bin/sh\necho no room on the disk\nexit 1\n")
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")

    with pytest.raises(build.BuildFailed, match="no room on the disk"):
        build.build("etcd")

    assert [] == [file for file in empty_cache.rglob("*") if not file.is_dir()]


def test_command_line_without_go_is_one_clear_line(tmp_path: Path, empty_cache: Path) -> None:
    """Without Go the command says which tool needs it, and exits 1."""
    environment = {"PATH": str(tmp_path), "NATS_CALLOUT_TOOLS": str(empty_cache)}

    done = subprocess.run(
        [sys.executable, PROGRAM, "etcd"], check=False, env=environment, capture_output=True, text=True
    )

    assert done.returncode == 1
    assert done.stderr == ("etcd v3.7.3: Go 1.26 or later is needed to build it, and there is no `go` on PATH\n")
