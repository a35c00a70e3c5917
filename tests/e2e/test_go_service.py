"""Who comes from the Go service changes the image, says how services answer, and keeps environment, annotations, probes and alerts."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from tests.e2e.clients import ask, logged_in
from tests.e2e.plans import Plan, seed_as_creds, write_creds, write_seeds
from tests.e2e.worlds import PUBLISH, World, world_of
from tests.fakes.nats_modes import config_mode
from tests.fakes.nats_world import free_port

pytestmark = pytest.mark.e2e

# The guide's five, in the order of its list.
METRICS = (
    "nats_auth_requests_total",
    "nats_auth_requests_success",
    "nats_auth_requests_denied",
    "nats_auth_cache_hits",
    "nats_auth_cache_misses",
)


def go_service(folder: Path) -> Plan:
    """Config mode as the Go service wants it: creds to log in, a signing key beside them."""
    mode = config_mode()
    variables = {
        "NATS_USER_CREDS_FILE": write_creds(folder / "user.creds", seed_as_creds(mode.responder)),
        "NATS_SIGNING_KEY_FILE": write_seeds(folder / "signing.nk", mode.issuer),
        "NATS_ACCOUNT": "APP",
    }
    return Plan([mode.text], "APP", {}, variables)


@pytest.fixture(scope="module")
def switched() -> Iterator[World]:
    """A responder with the Go service's variables and REPLY_MODE, but for where the ServiceAccounts are."""
    with world_of(go_service) as world:
        world.accounts.write("team-a", "orders", {PUBLISH: "audit.>"})
        usual = world.environment()
        variables = {
            "PORT": str(free_port()),
            "LOG_LEVEL": "debug",
            "NATS_URL": usual["NATS_URL"],
            "JWKS_PATH": usual["JWKS_FILE"],
            "JWT_ISSUER": usual["JWT_ISSUER"],
            "JWT_AUDIENCE": "nats",
            "SA_ANNOTATION_PREFIX": "nats.io/",
            "CACHE_CLEANUP_INTERVAL": "15m",
            "K8S_IN_CLUSTER": "false",
            "K8S_NAMESPACE": "team-a",
            "REPLY_MODE": "responses",
            "SERVICE_ACCOUNTS_DIR": usual["SERVICE_ACCOUNTS_DIR"],
        }
        world.start_responder(exactly=variables | dict(world.plan.variables))
        yield world


async def test_client_gets_in_with_its_annotation(switched: World) -> None:
    """
    A client of theirs connects with its token, and publishes what its annotation allows.
    """
    async with logged_in(switched, switched.token(), name="switched") as client:
        assert ("", "APP") == (await client.publish("audit.x"), switched.shown("switched")["account"])


async def test_private_inbox_is_answered_as_before(switched: World) -> None:
    """
    A client that keeps the private inbox of the Go service gets its answers with REPLY_MODE=responses.
    """

    async def answer(message: Msg) -> None:
        await message.respond(b"answer")

    async with (
        logged_in(switched, switched.token(name="worker")) as worker,
        logged_in(switched, switched.token(), inbox="_INBOX_team-a_orders") as orders,
    ):
        await worker.client.subscribe("team-a.echo", cb=answer)
        await worker.settle()

        assert b"answer" == (await orders.client.request("team-a.echo", timeout=5)).data


def test_health_is_always_200(switched: World) -> None:
    """
    /health on PORT answers 200 and says in JSON that all is well.
    """
    status, body = switched.responder.get("/health")

    assert (200, {"status": "ok"}, switched.responder.env["PORT"]) == (
        status,
        json.loads(body),
        str(switched.responder.port),
    )


async def test_five_metrics_have_exactly_these_names(switched: World) -> None:
    """
    The five metrics of the guide are there without labels or suffix, and count.
    """
    before = switched.responder.metrics()
    await ask(switched, **switched.fields(switched.token()))
    await ask(switched, **switched.fields("not a token"))
    after = switched.responder.metrics()

    assert [2, 1, 1, 1, 0] == [after[name] - before[name] for name in METRICS]


def test_variables_without_effect_are_told(switched: World) -> None:
    """
    K8S_NAMESPACE and CACHE_CLEANUP_INTERVAL had no effect in the Go service; each has a warning at the start.
    """
    warned = [line["detail"].partition(":")[0] for line in switched.responder.events("configuration warning")]

    assert {"K8S_NAMESPACE", "CACHE_CLEANUP_INTERVAL"} <= set(warned)
