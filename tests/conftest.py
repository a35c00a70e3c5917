"""What every test lives under: no socket in tests/core, Hypothesis' profiles, one real API server for all that ask,
and a look for secrets in all that responders wrote.
"""

import gc
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
import structlog
from hypothesis import settings

from tests.processes import (
    COLLECTED,
    begin_with_the_longest,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
    pytest_xdist_make_scheduler,
    told,
)

if TYPE_CHECKING:
    # Only here: tests/core runs where neither the servers nor what starts them is installed.
    from tests.e2e.cluster import Cluster

# Hooks of pytest.
__all__ = [
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
    "pytest_xdist_make_scheduler",
]

_CORE = Path(__file__).parent / "core"

# No deadline: the machine is shared, and a slow example is not a wrong one. CI draws the same examples each time, so
# that what somebody else wrote never fails a change by luck; `thorough` is for a developer with time.
settings.register_profile("dev", deadline=None, max_examples=25)
settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True, print_blob=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


# What only programs that Go builds can prove: whole folders, and what asks for one of these servers.
_GO_FOLDERS = ("chart", "guides", "monitoring", "node")
_GO_FIXTURES = {"cluster", "binary", "either_end"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses the real API server, and what needs any program that Go builds: `make test` runs without."""
    config.stash[COLLECTED] = {item.nodeid for item in items}
    for item in items:
        wanted = set(getattr(item, "fixturenames", ()))
        if "cluster" in wanted:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.e2e)
        folder = item.nodeid.split("/")[1]
        built = any("on-2." in mark or mark.startswith("2.1") for mark in _parameters(item))
        if folder in _GO_FOLDERS or wanted & _GO_FIXTURES or item.get_closest_marker("cluster") or built:
            item.add_marker(pytest.mark.go)
    begin_with_the_longest(items)
    # They stay: no collection of garbage need look through twelve thousand of them again.
    gc.freeze()


def _parameters(item: pytest.Item) -> list[str]:
    """Return the text parameters of a test, such as the version of a server."""
    callspec = getattr(item, "callspec", None)
    return [] if callspec is None else [value for value in callspec.params.values() if isinstance(value, str)]


def _refuse(*_arguments: object, **_named: object) -> NoReturn:
    raise AssertionError("a test of the core asked for a socket")


@pytest.fixture(autouse=True)
def _no_sockets_in_core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.path.is_relative_to(_CORE):
        return
    for name in ("socket", "socketpair", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, _refuse)


@pytest.fixture(autouse=True)
def _logs_as_new() -> Iterator[None]:
    """Leave no level behind: a later test that captures logs would not see what the last one filtered."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _no_secret_in_any_log() -> Iterator[None]:
    """Look through all logs at the end of this process, which may be one of several (`make test`)."""
    yield
    responder = sys.modules.get("tests.e2e.responder")
    if responder is not None:
        from tests.e2e.leak_scan import leaks

        assert {} == leaks(responder.LOG_FILES)


@pytest.fixture(scope="session")
def measured() -> list[str]:
    """Lines that the end of the run prints."""
    return told("measured")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Cluster"]:
    """A running kube-apiserver, shared: a test makes namespaces of its own, and undoes what it does to the server."""
    from tests.e2e.cluster import Cluster

    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running
