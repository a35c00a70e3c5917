"""The Python connection against the responder: sessions that expire, or are kicked, and what is not permitted."""

import logging
from collections.abc import Iterator

import pytest

from nats_k8s_oidc_callout.client import connect
from tests.clients.connections import Box, TokenFile
from tests.clients.workloads import NAMESPACE
from tests.clients.world import kick, plan, stranger
from tests.e2e.worlds import World, world_of
from tests.fakes.nats_world import until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_task_is_left")]

SESSION_SECONDS = 2


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with world_of(plan) as running:
        running.accounts.write(NAMESPACE, "web", uid="web-uid")
        running.start_responder(SESSION_MAX_SECONDS=str(SESSION_SECONDS))
        yield running


async def test_expiry_and_kick_are_survived(world: World, tokens: TokenFile, caplog: pytest.LogCaptureFixture) -> None:
    """
    After the end of a session, by its time or by a kick, the same subscription goes on in the next one.
    """
    caplog.set_level(logging.INFO)
    box = Box()
    tokens.write(world.token(NAMESPACE, "web", uid="web-uid"))
    system = await stranger(world, "system")
    nc = connect(world.client_url, namespace=NAMESPACE, service_account="web", token_file=tokens.path)
    async with nc:
        await nc.subscribe("shop.a", cb=box.put)
        first = (await nc.client()).client_id
        assert first is not None
        await kick(system, str(world.server.monitor("varz")["server_id"]), first)
        await until(lambda: "unexpected EOF" in caplog.text)
        await nc.publish("shop.a", b"after the kick")
        await box.holds("after the kick")
        await until(lambda: "user authentication expired" in caplog.text, SESSION_SECONDS + 20)
        await nc.publish("shop.a", b"after the expiry")
        await box.holds("after the expiry")
    await system.close()


async def test_what_does_not_end_a_session_is_told(world: World, tokens: TokenFile) -> None:
    """
    A permissions violation comes to `error_cb`, and the session goes on.
    """
    said: list[str] = []

    async def hear(error: Exception) -> None:
        said.append(str(error))

    tokens.write(world.token(NAMESPACE, "web", uid="web-uid"))
    async with connect(
        world.client_url, namespace=NAMESPACE, service_account="web", token_file=tokens.path, error_cb=hear
    ) as nc:
        client = await nc.client()
        await nc.publish("elsewhere.a", b"")
        await until(lambda: said)

        assert client is await nc.client()
    assert ['nats: permissions violation for publish to "elsewhere.a"'] == said
