"""Two scoped releases in one callout account: each answers for its own namespaces and keeps silent about the rest."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.e2e.clients import REFUSED, ask
from tests.e2e.responder import ResponderProcess
from tests.e2e.worlds import World, world_of

pytestmark = pytest.mark.e2e

# Nobody answers: the server gives up after `authorization.timeout`, 1.5 s here.
SILENCE_SECONDS = 1.4


@pytest.fixture(scope="module", params=["config-creds", "operator-signing"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A release for team-a, and one for team-b and team-c."""
    with world_of(request.param) as running:
        running.accounts.write("team-d", "web")
        running.start_responder(K8S_NAMESPACES="team-a")
        running.start_responder(K8S_NAMESPACES="team-c,team-b")
        yield running


def counts(responder: ResponderProcess) -> tuple[float, float, float]:
    """Return how many it let in, turned away, and kept silent about."""
    metrics = responder.metrics()
    silent = metrics['nats_auth_dropped_total{reason="out_of_scope"}']
    return metrics["nats_auth_requests_success"], metrics["nats_auth_requests_denied"], silent


async def changes(world: World, *tokens: str) -> tuple[str, list[tuple[float, ...]], float]:
    """Try to log in with each; return what was said to all, what each release counted, and how long the quickest took."""
    before = [counts(responder) for responder in world.responders]
    knocked = await asyncio.gather(*(ask(world, **world.fields(token)) for token in tokens))
    after = [counts(responder) for responder in world.responders]
    counted = [tuple(b - a for a, b in zip(*pair, strict=True)) for pair in zip(before, after, strict=True)]
    (said,) = {one.said for one in knocked}
    return said, counted, min(one.seconds for one in knocked)


@pytest.mark.parametrize(
    ("namespace", "name", "counted"),
    [
        pytest.param("team-a", "orders", [(1, 0, 0), (0, 0, 1)], id="first"),
        pytest.param("team-b", "web", [(0, 0, 1), (1, 0, 0)], id="second"),
    ],
)
async def test_each_lets_in_its_own(world: World, namespace: str, name: str, counted: list[tuple[float, ...]]) -> None:
    """
    A workload is let in by the release of its namespace, and the other one says nothing.
    """
    said, seen, _ = await changes(world, world.token(namespace, name))

    assert ("PONG", counted) == (said, seen)


async def test_each_turns_away_its_own(world: World) -> None:
    """
    A verified token of a namespace is refused at once by the release of that namespace.
    """
    said, seen, seconds = await changes(world, world.token("team-b", "web", claims={"exp": 1}))

    assert (REFUSED, [(0, 0, 1), (0, 1, 0)], True) == (said, seen, seconds < SILENCE_SECONDS)


async def test_both_keep_silent(world: World) -> None:
    """
    About a workload of nobody's namespace, or one that proves nothing, no release says a word: the server times out.
    """
    said, seen, seconds = await changes(world, world.token("team-d", "web"), "", world.token()[:-4] + "AAAA")

    assert (REFUSED, [(0, 0, 3), (0, 0, 3)], True) == (said, seen, seconds > SILENCE_SECONDS)
