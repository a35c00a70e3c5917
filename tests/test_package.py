"""The wheel as strangers get it: its page, its types, and what a workload must install."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILD = "import sys; from flit_core.buildapi import build_wheel; print(build_wheel(sys.argv[1]))"


def run(command: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    out = tmp_path_factory.mktemp("wheel")
    built = run([sys.executable, "-c", BUILD, out], ROOT)
    assert 0 == built.returncode, built.stderr
    return zipfile.Path(out / built.stdout.split()[-1])


@pytest.fixture(scope="module")
def workload(wheel: zipfile.Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a workload that installed the bare package: ours and nats-py."""
    home = tmp_path_factory.mktemp("workload")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], home).stdout.strip())
    wheel.root.extractall(site)
    (site / "nats").symlink_to(Path(sysconfig.get_path("purelib")) / "nats")
    return python


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.Path) -> Message:
    (info,) = [path for path in wheel.iterdir() if path.name.endswith(".dist-info")]
    return Parser().parsestr((info / "METADATA").read_text())


def test_its_page_is_whole(metadata: Message) -> None:
    """The page on an index has a text without links that only a checkout could follow, links, and Python versions."""
    page = metadata.get_payload()

    assert "text/markdown" == metadata["Description-Content-Type"].partition(";")[0]
    assert "# nats-k8s-oidc-callout" in str(page)
    assert [] == [part for part in str(page).split("](")[1:] if not part.startswith("https://")]
    assert {"Homepage", "Issues"} <= {url.partition(",")[0] for url in metadata.get_all("Project-URL", [])}
    assert {"3.11", "3.12", "3.13"} <= {entry.rpartition(" ")[2] for entry in metadata.get_all("Classifier", [])}


def test_a_workload_installs_nats_py_alone(metadata: Message, workload: Path, tmp_path: Path) -> None:
    """The bare package needs nats-py and no more; the command says which extra is missing."""
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    imported = run([workload, "-c", "from nats_k8s_oidc_callout.client import connect; print(connect)"], tmp_path)
    started = run([workload, "-m", "nats_k8s_oidc_callout", "serve"], tmp_path)

    assert ["nats-py"] == [line.partition(">")[0].strip() for line in needed]
    assert 0 == imported.returncode, imported.stderr
    assert (2, "click is not installed: pip install 'nats-k8s-oidc-callout[responder]'\n") == (
        started.returncode,
        started.stderr,
    )


def test_the_image_needs_no_rich(tmp_path: Path) -> None:
    """Without the extra `demo` every command is there, and `demo` names what is missing."""
    without = "import sys; sys.modules['rich'] = None; from nats_k8s_oidc_callout.cli import main; main(sys.argv[1:])"
    listed = run([sys.executable, "-c", without, "--help"], tmp_path)
    shown = run([sys.executable, "-c", without, "demo"], tmp_path)

    assert (0, True) == (listed.returncode, "doctor" in listed.stdout), listed.stderr
    assert (2, "rich is not installed: pip install 'nats-k8s-oidc-callout[demo]'\n") == (shown.returncode, shown.stderr)


def test_serving_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    """What is imported stays in memory: nothing for people, for other commands, for other ways to run, or for tests."""
    loading = "import sys; sys.modules['rich'] = None; import nats_k8s_oidc_callout.cli.serve; print(*sys.modules)"
    loaded = run([sys.executable, "-c", loading], tmp_path).stdout.split()

    assert "nats_k8s_oidc_callout.app" in loaded
    others = {"pygments", "yaml", "kubernetes", "pydantic", "requests", "multiprocessing", "unittest", "sqlite3", "xml"}
    ours = ("demo", "doctor", "app.sessions", "settings.policy", "adapters.nats.system", "client")
    assert set() == {name.partition(".")[0] for name in loaded} & others
    assert [] == [name for name in loaded if name.startswith(tuple(f"nats_k8s_oidc_callout.{part}" for part in ours))]


@pytest.mark.slow
def test_a_strict_type_checker_accepts_the_client(workload: Path, tmp_path: Path) -> None:
    """Mypy --strict of a workload sees the types of `connect`."""
    (tmp_path / "app.py").write_text("from nats_k8s_oidc_callout.client import connect\n\nreveal_type(connect)\n")
    command: list[str | Path] = [
        "--strict",
        "--python-executable",
        workload,
        "--cache-dir",
        tmp_path / "cache",
        "app.py",
    ]
    checked = run([sys.executable, "-m", "mypy", *command], tmp_path)

    assert 0 == checked.returncode, checked.stdout
    assert "nats_k8s_oidc_callout.client.Connection" in checked.stdout
