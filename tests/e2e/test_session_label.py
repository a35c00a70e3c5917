"""What nats-server shows of a session whose responder controls sessions, and what that name is worth."""

from collections.abc import Iterator

import pytest

from nats_k8s_oidc_callout.core.sessions.label import parse
from tests.e2e.clients import connected, logged_in
from tests.e2e.worlds import World, world_of

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["config-creds", "operator-signing"])
def labelled(request: pytest.FixtureRequest, either_end: str) -> Iterator[World]:
    with world_of(request.param, either_end) as world:
        world.start_responder(SESSION_CONTROL="revoke", SESSION_RELEASE="prod-1")
        yield world


async def test_connz_shows_the_label(labelled: World) -> None:
    """
    The server keeps every field of it, a second login of the workload has its own, and our log has the plain name.

    The name that a client sends is not looked at, be it a label.
    """
    async with logged_in(labelled, labelled.token(name="orders.v2"), name="first"):
        first = labelled.shown("first")
        fields = {
            **labelled.fields(labelled.token(name="orders.v2")),
            "user": first["authorized_user"].replace("v2", "v3"),
        }
        async with connected(labelled, name="second", **fields) as session:
            assert session.let_in
            names = [first["authorized_user"], labelled.shown("second")["authorized_user"]]

    labels = [parse(name) for name in names]
    told = {(label.namespace, label.name, label.release) for label in labels if label is not None}
    assert ({("team-a", "orders.v2", "prod-1")}, 2) == (told, len(set(names)))
    grants = {(label.uid, label.grant, label.kid, label.policy) for label in labels if label is not None}
    assert (1, labelled.plan.target) == (len(grants), first["account"])
    labelled.responder.stop()
    assert 2 == len(labelled.responder.decisions(event="allowed", namespace="team-a", serviceaccount="orders.v2"))
    assert ";e=" not in labelled.responder.log()
