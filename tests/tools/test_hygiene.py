"""What may not get into the repository is found, and what only looks like it is not."""

from pathlib import Path

import pytest

from tools import hygiene


def found_in(folder: Path, text: str, name: str = "file.txt") -> list[tuple[int, str]]:
    file = folder / name
    file.write_text(text)
    return list(hygiene.finds(file))


# Spelt in halves: this file is looked through, too.
@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param("cd /wo" + "rk/main", "a path of one machine: /wo" + "rk/", id="work-tree"),
        pytest.param("/ho" + "me/ann/x", "a path of one machine: /ho" + "me/ann/", id="home"),
        pytest.param("file:///ro" + "ot/x", "a path of one machine: /ro" + "ot/", id="root"),
        pytest.param("pypi" + ".org", "a package registry's host: pypi" + ".org", id="python"),
        pytest.param("u=https://proxy" + ".golang.org/x", "a package registry's host: proxy" + ".golang.org", id="go"),
        pytest.param("--index" + "-url https://x", "an index option: --index" + "-url", id="index"),
        pytest.param("<" * 7 + " HEAD", "a merge left open: " + "<" * 7, id="merge"),
    ],
)
def test_what_must_go_is_found(tmp_path: Path, text: str, what: str) -> None:
    """A machine's path, a registry's host, an index option or an open merge is named with its line."""
    assert [(2, what)] == found_in(tmp_path, f"first\n{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("the pod reads /var/run/secrets/kubernetes.io/serviceaccount/token", id="in-a-pod"),
        pytest.param("KUBECONFIG=/home/me/.kube/config", id="nobodys-home"),
        pytest.param("see docs/work/plan.md and ~/root/x", id="relative"),
        pytest.param("require golang.org/x/crypto v0.58.0", id="module-path"),
        pytest.param("==========", id="rule"),
    ],
)
def test_what_is_fine_stays(tmp_path: Path, text: str) -> None:
    """Paths in a container, relative paths and module paths are no finds."""
    assert [] == found_in(tmp_path, text)


def test_lock_of_uv_is_refused(tmp_path: Path) -> None:
    """A lock file that names its registry is refused for its name alone."""
    assert [(0, "a lock or set-up file that names hosts")] == found_in(tmp_path, "", "uv.lock")


def test_large_file_is_refused(tmp_path: Path) -> None:
    """A file over 1 MiB is refused."""
    assert [(0, "more than 1 MiB")] == found_in(tmp_path, "x" * (1 << 20) + "x")
