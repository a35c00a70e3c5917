"""Every world once a run, and at the end which they were."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.plans import SETTINGS
from tests.e2e.worlds import BINARIES, World, world_of
from tests.processes import told

_FEW = ("config-creds", "operator-signing")


def _places() -> Iterator[Any]:
    # The demo's server is as good as the newest, so with that one at hand two worlds are enough to see it work. The
    # oldest one has both modes in `make test`, and all worlds in `make test-all`.
    for binary in BINARIES:
        for setting in SETTINGS:
            if setting in _FEW or binary == "2.15" or (binary == "wheel" and not BINARIES["2.15"]()):
                yield f"{setting}-on-{binary}"
            elif binary == "2.11":
                yield pytest.param(f"{setting}-on-{binary}", marks=pytest.mark.slow)


@pytest.fixture(scope="session", params=list(_places()))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One world after the other; pytest runs all tests of one before it starts the next."""
    setting, _, binary = request.param.rpartition("-on-")
    path = BINARIES[binary]()
    if path is None:
        pytest.skip(f"world {setting}: nats-server {binary} is not built (make tools)")
    with world_of(setting, str(path)) as running:
        running.start_responder()
        told("NATS worlds").append(f"{setting} on nats-server {running.version}")
        yield running


# Both ends say the same but for one cause, which has a test of its own: the older one is for `make test-all`.
@pytest.fixture(scope="module", params=[pytest.param("2.11", marks=pytest.mark.slow), "2.15"])
def binary(request: pytest.FixtureRequest) -> str:
    """A nats-server for tests of doctor."""
    return _built(request.param)


@pytest.fixture(params=["2.11", "2.15"])
def either_end(request: pytest.FixtureRequest) -> str:
    """The oldest nats-server that is supported, then the newest."""
    return _built(request.param)


def _built(name: str) -> str:
    path = BINARIES[name]()
    if path is None:
        pytest.skip(f"nats-server {name} is not built (make tools)")
    return str(path)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the responder of a failed test wrote last."""
    outcome: Any = yield
    report = outcome.get_result()
    world = getattr(item, "funcargs", {}).get("world")
    if report.failed and isinstance(world, World):
        report.sections += [("responder", one.log()[-3000:]) for one in world.responders]
        report.sections += [("nats-server", one.log()[-2000:]) for one in world.servers]
