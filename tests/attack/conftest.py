"""What is attacked: one running world with a callout, and two halls where anybody may ask the responder; once a run."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.attack.hall import Hall
from tests.e2e.plans import config_jetstream
from tests.e2e.worlds import World, world_of
from tests.fakes.nats_world import until

# One log line a login at info: what a platform runs with, and fewer lines to read again and again.
_LEVEL = "info"


@pytest.fixture(scope="session")
def attacked() -> Iterator[World]:
    """A NATS server with the callout and JetStream, an issuer by URL, ServiceAccounts and the real responder."""
    with world_of(config_jetstream) as world:
        responder = world.start_responder(LOG_LEVEL=_LEVEL)
        # Lines are written in turns, so that of being ready a moment after it.
        asyncio.run(until(lambda: responder.events("ready")))
        yield world


@pytest.fixture(scope="session")
def sealed_world() -> Iterator[World]:
    """The same with an xkey on both sides, and keys by URL."""
    with world_of("config-xkey") as world:
        world.start_responder(LOG_LEVEL=_LEVEL)
        yield world


@pytest.fixture(scope="session")
def hall() -> Iterator[Hall]:
    """A NATS server without callout, so that a stranger may ask what only a server with one may."""
    with Hall() as running:
        yield running


@pytest.fixture(scope="session")
def sealed_hall() -> Iterator[Hall]:
    """The same with a responder that wants every question sealed."""
    with Hall(sealed=True) as running:
        yield running


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the responder of a failed test wrote last."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's result
    for name in ("attacked", "sealed_world", "hall", "sealed_hall"):
        place = getattr(item, "funcargs", {}).get(name)
        if report.failed and place is not None:
            report.sections.append((f"responder of {name}", place.responder.log()[-3000:]))
