"""What the reply permission gives away: who may answer may be made to answer, by themselves, on any subject at all."""

import asyncio

import pytest
from nats.aio.msg import Msg

from tests.e2e.clients import logged_in
from tests.e2e.worlds import World, world_of

pytestmark = pytest.mark.e2e


async def _by_reply(world: World, token: str, subject: str) -> str:
    """Publish on a subject that is not granted: ask oneself with it as the reply subject, and answer."""
    async with logged_in(world, token) as client:
        assert "permissions violation" in (await client.publish(subject, b"forged")).lower()
        got: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

        async def hear(message: Msg) -> None:
            got.set_result(message)

        await client.client.subscribe("team-a.mirror", cb=hear)
        await client.client.publish("team-a.mirror", b"", reply=subject)
        await client.settle()
        async with asyncio.timeout(5):
            await got
        return await client.publish(subject, b"forged")


@pytest.mark.parametrize("subject", ["team-b.orders", "$JS.API.STREAM.CREATE.EVIL", "_INBOX.somebody.1"])
async def test_a_workload_may_publish_anywhere_in_its_account_by_answering_itself(
    attacked: World, subject: str
) -> None:
    """
    Not stopped by default: with the reply permission (ALLOW_RESPONSES_MAX) whoever sends themselves a message with any
    reply subject may then publish there once, past every permission.
    """
    async with logged_in(attacked, attacked.token("team-b", "web")) as victim:
        heard = await victim.listen("team-b.orders")

        assert "" == await _by_reply(attacked, attacked.token(), subject)
        if subject == "team-b.orders":
            assert b"forged" == (await heard.next_msg(timeout=2)).data


async def test_without_the_reply_permission_nobody_may() -> None:
    """
    With ALLOW_RESPONSES_MAX=0 an answer needs the right to publish, like every other message.
    """
    with world_of("config-creds") as world:
        world.start_responder(ALLOW_RESPONSES_MAX="0", LOG_LEVEL="info")

        for subject in ("team-b.orders", "$JS.API.STREAM.CREATE.EVIL"):
            assert "permissions violation" in (await _by_reply(world, world.token(), subject)).lower()
