"""The versions that the page for application teams names are those that are pinned, and run, here."""

import importlib.metadata
import json
import re
from collections.abc import Callable

import pytest

from tests.clients.builds import EXAMPLES, ROOT
from tools import build

_ROW = re.compile(r"^\| [\w ]+ \| \[[\w ]+\]\(#[\w-]+\) \| (\S+) (\S+) \|$", re.MULTILINE)
NAMED = dict(_ROW.findall((ROOT / "docs" / "CLIENT_USAGE.md").read_text(encoding="utf-8")))


def pinned(path: str, pattern: str) -> str:
    found = re.search(pattern, (EXAMPLES / path).read_text(encoding="utf-8"))
    assert found
    return found[1]


PINS: dict[str, Callable[[], str]] = {
    "nats-py": lambda: pinned("python/requirements.txt", r"nats-py==(\S+)"),
    "nats.go": lambda: pinned("go/go.mod", r"github\.com/nats-io/nats\.go v(\S+)"),
    "@nats-io/transport-node": lambda: str(
        json.loads((EXAMPLES / "node" / "package.json").read_text())["dependencies"]["@nats-io/transport-node"]
    ),
    "jnats": lambda: pinned("java/pom.xml", r"<artifactId>jnats</artifactId>\s*<version>([^<]+)<"),
    "async-nats": lambda: pinned("rust/Cargo.toml", r'async-nats = \{ version = "=([^"]+)"'),
    "nats": lambda: build.TOOLS["nats"].version.removeprefix("v"),
}


@pytest.mark.parametrize("library", list(PINS))
def test_named_version_is_the_pinned_one(library: str) -> None:
    """
    What the page names is what a reader gets, one exact version each.
    """
    assert NAMED[library] == PINS[library]()


def test_every_row_is_a_pin() -> None:
    """
    The page names no library that is not run here.
    """
    assert set(PINS) == set(NAMED)


def test_python_runs_with_the_version_that_is_named() -> None:
    """
    Our own environment has the nats-py that the example pins.
    """
    assert NAMED["nats-py"] == importlib.metadata.version("nats-py")
