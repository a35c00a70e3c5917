"""What a user of the callout account can make of our answers, and of questions that it has heard."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.grants.annotations import compile_grant
from nats_k8s_oidc_callout.core.model import Allow, Workload
from nats_k8s_oidc_callout.core.nats import callout, signers
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.user import encode
from nats_k8s_oidc_callout.settings import keyfiles
from tests.attack.hall import SUBJECT, Hall, reply
from tests.e2e.clients import connected
from tests.e2e.worlds import World, world_of
from tests.fakes import nats_modes
from tests.fakes.nats_modes import Pair
from tests.fakes.nats_world import NatsServer, until
from tests.fakes.rules import PREFIX, TERMS
from tests.fakes.server import Server, claims_of

pytestmark = pytest.mark.e2e


def _total(hall: Hall) -> float:
    return hall.responder.metrics()["nats_auth_requests_total"]


async def test_an_answer_goes_where_the_question_says_and_says_nothing_else(hall: Hall) -> None:
    """
    Whoever asks chooses the subject of our answer, with `allow_responses` any subject of the callout account; what
    stands there is a JWT of ours about the asker's own question, and nothing that the asker wrote.
    """
    async with hall.mallory() as mallory:
        await mallory.publish(SUBJECT, "other.service.command", *hall.question("not-a-token $(rm) \n"))
        answer = await mallory.hear("other.service.command")

    claims = claims_of(answer)
    assert "not authorized" == claims["nats"]["error"]
    assert b"rm" not in base64url.decode(answer.split(b".")[1])
    await hall.still_answers()


async def test_an_answer_steered_to_ourselves_makes_no_loop(hall: Hall) -> None:
    """
    An answer that is steered to the subject of the questions comes back once, without a reply subject, and is dropped.
    """
    before = _total(hall)
    async with hall.mallory() as mallory:
        await mallory.publish(SUBJECT, SUBJECT, *hall.question())
        await until(lambda: _total(hall) >= before + 2)
        await mallory.settle()
    await hall.still_answers()

    assert before + 3 == _total(hall)


@pytest.mark.parametrize("to", ["a.*", "a.>", ">", "$SYS.ACCOUNT.X", "x" * 3000])
async def test_odd_reply_subjects_do_no_harm(hall: Hall, to: str) -> None:
    """
    Whatever the reply subject is, the connection and the responder go on.
    """
    connects = hall.responder.metrics()["nats_auth_nats_reconnects_total"]
    async with hall.mallory() as mallory:
        await mallory.publish(SUBJECT, to, *hall.question())
        await mallory.settle()
    await hall.still_answers()

    assert connects == hall.responder.metrics()["nats_auth_nats_reconnects_total"]


@pytest.mark.parametrize("to", ["\xff" * 3000, "a\x0bb", "a\x0c7", "\x01\x1c\x85"], ids=lambda to: ascii(to[:8]))
@pytest.mark.parametrize("head", [b"", b"NATS/1.0\r\n\r\n"], ids=["bare", "with-headers"])
async def test_a_reply_subject_of_any_bytes_comes_back_as_it_is(hall: Hall, to: str, head: bytes) -> None:
    """
    An answer goes to the very bytes of the reply subject. Read as UTF-8, some would leave three times as long, past the
    server's limit for a line; to nats-py others are white space. With both, whoever may ask could end our connection.
    """
    connects = hall.responder.metrics()["nats_auth_nats_reconnects_total"]
    async with hall.mallory() as mallory:
        await mallory.publish(SUBJECT, to, hall.question()[0], head)
        answer = hall.read(await mallory.hear(to))
    await hall.still_answers()

    assert answer.user is not None
    assert connects == hall.responder.metrics()["nats_auth_nats_reconnects_total"]


async def test_a_question_said_again_gives_the_same_person_the_same(hall: Hall) -> None:
    """
    A replayed question is answered again, for the same user key only, which nobody but its server holds.
    """
    data, head = hall.question()
    async with hall.mallory() as mallory:
        answers = []
        for to in (reply(), reply()):
            await mallory.publish(SUBJECT, to, data, head)
            answers.append(hall.read(await mallory.hear(to)))

    one, two = (answer.user for answer in answers)
    assert one is not None
    assert two is not None
    assert [one["sub"], one["name"], one["nats"]] == [two["sub"], two["name"], two["nats"]]
    assert abs(one["exp"] - two["exp"]) <= 1


async def test_a_question_said_again_after_its_time_is_late(hall: Hall) -> None:
    """
    A question that was kept and is said again after `exp` and the skew is dropped without work.
    """
    claims = hall.claims() | {"exp": int(time.time()) - 31}
    before = hall.dropped()["late"]
    async with hall.mallory() as mallory:
        await mallory.publish(SUBJECT, reply(), hall.asker.sign(claims))
        await until(lambda: hall.dropped()["late"] == before + 1)


async def test_a_sealed_question_said_again_is_answered_under_the_seal(sealed_hall: Hall) -> None:
    """
    Who replays a sealed question hears an answer that only the server of the question can open.
    """
    data, head = sealed_hall.question()
    async with sealed_hall.mallory() as mallory:
        for to in (reply(), reply()):
            await mallory.publish(SUBJECT, to, data, head)
            answer = await mallory.hear(to)

            assert answer.startswith(b"xkv1")
            assert sealed_hall.read(answer).user is not None


async def test_a_false_complaint_raises_our_alert(hall: Hall) -> None:
    """
    Not stopped: whoever may publish in the callout account can say in a server's name that it refuses our answers. It
    is counted and logged as if it were true, at most a hundred lines a second, and changes nothing else.
    """
    before = hall.responder.metrics()["nats_auth_answers_rejected_total"]
    lines = len(hall.responder.events("nats rejected an answer"))
    async with hall.mallory() as mallory:
        for _ in range(2000):
            await mallory.publish("$SYS.ACCOUNT.CLIENT.AUTH.ERR", "", b'{"reason":"I do not\\nlike you"}')
        await mallory.settle()
        await until(lambda: hall.responder.metrics()["nats_auth_answers_rejected_total"] == before + 2000)
    await hall.still_answers()

    assert len(hall.responder.events("nats rejected an answer")) - lines <= 1000


AUTH_USERS = f'{{ user: mallory, password: "{nats_modes.PASSWORD}" }}'


def _with_mallory(text: str) -> str:
    """Let Mallory into the callout account, past the callout."""
    changed = text.replace("  AUTH { users: [ ", f"  AUTH {{ users: [ {AUTH_USERS}, ", 1)
    changed = changed.replace("auth_users: [", "auth_users: [ mallory,", 1)
    assert changed.count("mallory") == 2
    return changed


async def test_the_server_lets_no_user_of_the_callout_account_ask() -> None:
    """
    A server with the callout denies its own users the subject of the questions, whatever else they may publish.
    """
    mode = nats_modes.config_mode()
    with NatsServer(_with_mallory(mode.text)) as server:
        async with connected(_Place(server.url), user="mallory", **{"pass": nats_modes.PASSWORD}) as mallory:  # type: ignore[arg-type]  # as much of a World as it takes
            assert mallory.let_in
            mallory.writer.write(f"PUB {SUBJECT} evil 2\r\nhi\r\nPING\r\n".encode())
            said = await mallory.line()

    assert said.startswith('-ERR \'Permissions Violation for Publish to "$SYS.REQ.USER.AUTH"')


async def test_a_user_of_the_callout_account_reads_every_token_that_is_not_sealed() -> None:
    """
    Not stopped without an xkey: whoever is in the callout account hears the questions, tokens included.
    """
    heard = await _overhear("config-creds")

    assert b"eyJ" == heard[:3]
    assert "auth_token" in json.dumps(claims_of(heard))


async def test_a_user_of_the_callout_account_reads_nothing_that_is_sealed() -> None:
    """
    With an xkey who is in the callout account hears boxes only.
    """
    assert b"xkv1" == (await _overhear("config-xkey"))[:4]


async def _overhear(setting: str) -> bytes:
    """Return the question that another user of the callout account hears when somebody logs in."""
    with world_of(setting) as world:
        world.servers[0].restart(_with_mallory(world.servers[0].text))
        async with connected(world, user="mallory", **{"pass": nats_modes.PASSWORD}) as mallory:
            mallory.writer.write(f"SUB {SUBJECT} 1\r\nPING\r\n".encode())
            assert "PONG" == await mallory.line()
            async with connected(world, **world.fields(world.token())):
                pass
            line = await mallory.line()
            while not line.startswith(("MSG", "HMSG")):
                line = await mallory.line()
            sizes = line.split()
            body = await mallory.reader.readexactly(int(sizes[-1]))
            return body[int(sizes[-2]) :] if line.startswith("HMSG") else body


class _Place:
    """As much of a World as a bare client needs."""

    tls = None

    def __init__(self, url: str) -> None:
        self.client_url = url


async def test_an_answer_is_a_login_of_its_own_in_operator_mode() -> None:
    """
    Not stopped: in operator mode, whoever may ask with a user key of their own, and holds a good token, gets a user JWT
    that logs in past the callout for as long as a session may be.
    """
    with world_of("operator-identity") as world:
        target, auth = (_key_in(world, name) for name in ("NATS_ACCOUNT_SIGNING_KEY_FILE", "NATS_SIGNING_KEY_FILE"))
        placed = signers.operator_mode(target.public, target, auth.public, auth)
        mine = Pair.new(Kind.USER)
        # As a hostile server of the cluster would: it asks about a client whose key it has made itself.
        asked = Server(sub=auth.public).claims()
        asked["nats"]["user_nkey"] = mine.public
        request, _ = callout.open_request(Server().sign(asked), "", placed.answers, (), clear_allowed=True)
        now = int(time.time())
        grant = encode(compile_grant("team-a", "orders", None, TERMS, PREFIX).permissions)
        allowed = Allow(Workload("team-a", "orders", "uid"), target.public, grant, now + 60)
        jwt = claims_of(callout.encode(request, allowed, placed, None, now, os.urandom))["nats"]["jwt"]

        assert "PONG" == await _log_in_with(world, jwt, mine)


def _key_in(world: World, variable: str) -> SigningKey:
    return keyfiles.read_signing_keys(Path(world.plan.variables[variable]).read_bytes())[0]


async def _log_in_with(world: World, jwt: str, key: Pair) -> str:
    """Log in by a user JWT and its key, as a client does that knows nothing of a callout; return what is said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port, limit=1 << 20)
    nonce = json.loads((await reader.readline()).partition(b" ")[2])["nonce"]
    signature = base64url.encode(key.key.sign(nonce.encode())).decode()
    options = {"verbose": False, "pedantic": False, "protocol": 1, "lang": "fake", "version": "0"}
    writer.write(b"CONNECT " + json.dumps(options | {"jwt": jwt, "sig": signature}).encode() + b"\r\nPING\r\n")
    said = (await reader.readline()).decode().strip()
    writer.transport.abort()
    await asyncio.sleep(0)
    return said
