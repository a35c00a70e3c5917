"""A client that is told to stop while it has no session stops, too."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.clients import builds
from tests.clients.workloads import NAMESPACE, TokenFolder, Workload
from tests.clients.world import plan
from tests.e2e.worlds import World, world_of

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

EACH = pytest.mark.parametrize("language", list(builds.LANGUAGES))
PATIENCE_SECONDS = 30.0
GRACE_SECONDS = 8.0

_missing: dict[str, str] = {}


@contextlib.contextmanager
def everybody(world: World) -> Iterator[Mapping[str, Workload]]:
    """Run all clients that can be built here."""
    with contextlib.ExitStack() as stack:
        workloads = {}
        for language in builds.LANGUAGES:
            try:
                command = builds.command(language)
            except builds.NoToolchain as lacking:
                _missing[language] = str(lacking)
                continue
            tokens = TokenFolder(world.folder / "tokens" / language)
            world.accounts.write(NAMESPACE, language, uid="uid")
            tokens.write(world.token(NAMESPACE, language, uid="uid"))
            workloads[language] = stack.enter_context(Workload(language, command, world.client_url, tokens))
        yield workloads


def wait(workloads: Mapping[str, Workload], true: Callable[[Workload], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not all(true(workload) for workload in workloads.values()):
        assert time.monotonic() < deadline, "\n".join(one.log() for one in workloads.values())
        time.sleep(0.05)


@pytest.fixture(scope="module")
def never_let_in() -> Iterator[Mapping[str, float]]:
    """How long each takes to leave that was only ever refused, since there is no responder."""
    with world_of(plan) as world, everybody(world) as workloads:

        def refused(workload: Workload) -> bool:
            closed = world.server.monitor("connz?state=closed&limit=1024")["connections"]
            return any(one.get("name") == f"{NAMESPACE}/{workload.name}" for one in closed)

        wait(workloads, refused)
        yield {name: workload.stop()[1] for name, workload in workloads.items()}


@pytest.fixture(scope="module")
def without_its_server() -> Iterator[Mapping[str, float]]:
    """How long each takes to leave while its server is away."""
    with world_of(plan) as world:
        world.start_responder()
        with everybody(world) as workloads:
            wait(workloads, lambda workload: workload.echoes)
            world.server.stop()
            wait(workloads, lambda workload: re.search("disconnect|session ended", workload.log()))
            yield {name: workload.stop()[1] for name, workload in workloads.items()}


@EACH
@pytest.mark.parametrize("situation", ["never_let_in", "without_its_server"])
def test_client_without_a_session_leaves_when_told(
    situation: str, language: str, request: pytest.FixtureRequest
) -> None:
    """
    SIGTERM ends a client well within the grace period that a pod has, session or not.
    """
    seconds = request.getfixturevalue(situation)
    if language in _missing:
        pytest.skip(_missing[language])

    assert seconds[language] < GRACE_SECONDS
