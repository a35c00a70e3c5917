"""SHADOW: beside a responder that answers, another one decides the same, and says nothing to anybody."""

from collections.abc import Iterator

import pytest

from tests.e2e.clients import REFUSED, ask
from tests.e2e.responder import ResponderProcess
from tests.e2e.worlds import World, world_of
from tests.fakes.nats_world import until

pytestmark = pytest.mark.e2e

SILENCE_SECONDS = 1.4


@pytest.fixture(scope="module", params=["config-xkey", "operator-signing"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A responder, and a shadow without a signing key, which would let only Pods in."""
    with world_of(request.param) as running:
        running.start_responder()
        running.start_responder(
            SHADOW="true", REQUIRE_POD_BOUND="true", NATS_SIGNING_KEY_FILE="", NATS_ACCOUNT_SIGNING_KEY_FILE=""
        )
        yield running


def of_client(responder: ResponderProcess, jti: str) -> list[tuple[str, str, bool]]:
    return [(line["event"], line.get("reason", ""), line.get("shadow", False)) for line in responder.decisions(jti=jti)]


@pytest.mark.parametrize(
    ("pod", "shadows"),
    [
        pytest.param("orders-0", ("allowed", "", True), id="the-same"),
        pytest.param("", ("denied", "not_pod_bound", True), id="would-refuse"),
    ],
)
async def test_a_shadow_decides_and_answers_nobody(world: World, pod: str, shadows: tuple[str, str, bool]) -> None:
    """
    The client gets the answer of the one that answers; the shadow logs and counts what it would have said.
    """
    real, shadow = world.responders
    claims = {"jti": f"shadow-{pod or 'none'}"}
    before = shadow.metrics()["nats_auth_requests_total"]
    knocked = await ask(world, **world.fields(world.token(pod=pod, claims=claims)))

    assert knocked.let_in
    await until(lambda: all(of_client(one, claims["jti"]) for one in world.responders))
    assert [("allowed", "", False)] == of_client(real, claims["jti"])
    assert [shadows] == of_client(shadow, claims["jti"])
    assert before + 1 == shadow.metrics()["nats_auth_requests_total"]


async def test_a_shadow_alone_lets_nobody_in(world: World) -> None:
    """
    Without the one that answers the server waits in vain; the shadow is ready all the while, without a signer.
    """
    real, shadow = world.responders
    real.stop()
    knocked = await ask(world, **world.fields(world.token(pod="orders-0")))

    assert (REFUSED, True) == (knocked.said, knocked.seconds > SILENCE_SECONDS)
    assert shadow.ready
