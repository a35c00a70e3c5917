"""The login that proves that it works: seen to succeed everywhere, to fail, and to come back."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog.testing

from nats_k8s_oidc_callout import settings
from nats_k8s_oidc_callout.app import selftest
from nats_k8s_oidc_callout.app.selftest import SelfTest
from tests.e2e.clients import ask, logged_in
from tests.e2e.self_tests import REJECTED, SUCCESS, WITHIN_SECONDS, line_of, measured, variables
from tests.e2e.worlds import World, world_of
from tests.fakes.nats_desk import linked, nkey
from tests.fakes.nats_modes import config_mode, mint
from tests.fakes.nats_world import NatsServer, free_port, until
from tests.fakes.server import claims_of

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("setting", ["config-creds", "config-xkey", "operator-identity", "operator-signing", "tls"])
def test_success_is_seen(setting: str, either_end: str) -> None:
    """
    Where everything is right, the metric is 1 right after the start, one line names the account, and /readyz is as ever.
    """
    with world_of(setting, either_end) as world:
        responder = world.start_responder(**variables(world))
        measured(responder, SUCCESS, lambda value: value == 1)
        line = line_of(responder, "self-test login succeeded")

        assert world.plan.target == line["account"]
        assert [] == responder.events("self-test login failed")
        assert "self" not in responder.get("/readyz?verbose")[1]
        assert 0 == responder.metrics()[REJECTED]


@pytest.fixture(scope="module")
def good() -> Iterator[World]:
    """A world where nothing is wrong, with a responder that has no token for a self-test of its own."""
    with world_of("config-creds") as world:
        world.start_responder()
        yield world


def test_there_is_no_metric_without_a_token(good: World) -> None:
    """
    Where no self-test is configured there is no series of it, so that no alert can mistake that for a failure.
    """
    assert SUCCESS not in good.responder.metrics()


def test_another_release_is_seen(either_end: str) -> None:
    """
    A second unscoped release answers for the same servers and places clients elsewhere: the landing account gives it away.
    """
    with world_of("config-creds", either_end) as world:
        world.start_responder(NATS_ACCOUNT="OTHER")
        ours = world.start_responder()
        with a_self_test(world, {**ours.env, **variables(world)}) as test:
            failed = asyncio.run(_failed(test))

        assert "wrong_account" == failed.reason
        assert "landed in OTHER" in failed.detail


async def _failed(test: SelfTest) -> selftest.Failed:
    """Return the failure of one of the next rounds."""
    for _ in range(20):
        if failed := await test.round():
            return failed
    raise AssertionError("no round failed")


@contextlib.contextmanager
def a_self_test(world: World, env: dict[str, str], interval: float = 0.2) -> Iterator[SelfTest]:
    """Give a self-test with a short breath, of a process of its own."""
    names = {name: value for name, value in env.items() if name not in ("PATH", "PYTHONPATH")}
    found = settings.load(names)
    yield SelfTest(found, lambda: world.tls, lambda: True, lambda _, __: found.nats_account, interval_seconds=interval)


@contextlib.asynccontextmanager
async def running(test: SelfTest) -> AsyncIterator[None]:
    task = asyncio.create_task(test.run(), name="under test")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_it_is(test: SelfTest, success: float) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while test.success != success:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_change_is_told_once() -> None:
    """
    Success, then nobody there to answer, then success: three lines, however many rounds there were.
    """
    with world_of("config-creds") as world:
        responder = world.start_responder()
        with (
            a_self_test(world, {**responder.env, **variables(world)}) as test,
            structlog.testing.capture_logs() as logs,
        ):
            async with running(test):
                await until_it_is(test, 1.0)
                responder.kill()
                await until_it_is(test, 0.0)
                await asyncio.sleep(2.0)
                responder.start()
                await until_it_is(test, 1.0)
        told = [(line["event"], line.get("reason", "")) for line in logs]

    assert [
        ("self-test login succeeded", ""),
        ("self-test login failed", "refused"),
        ("self-test login succeeded", ""),
    ] == told


def test_token_is_read_each_time(good: World) -> None:
    """
    The kubelet replaces the file: a token that has run out fails, and the next one counts at the next round.
    """
    token = variables(good)
    file = Path(token["SELF_TEST_TOKEN_FILE"])
    rounds = []
    with a_self_test(good, {**good.responder.env, **token}) as test:
        for content in (good.token(now=time.time() - 7200), good.token(), None):
            file.unlink() if content is None else file.write_text(content)
            failed = asyncio.run(test.round())
            rounds.append(failed and failed.reason)

    assert ["refused", None, "token_unreadable"] == rounds


async def test_one_server_that_is_down_is_no_failure(good: World) -> None:
    """
    Of several servers those that are there count; with none there, the reason says so.
    """
    env = {**good.responder.env, **variables(good)}
    dead = f"nats://127.0.0.1:{free_port()}"
    rounds = []
    for urls in (f"{dead},{env['NATS_URL']}", dead):
        with a_self_test(good, {**env, "NATS_URL": urls}) as test:
            failed = await test.round()
            rounds.append(failed and failed.reason)

    assert [None, "nats_unreachable"] == rounds


async def test_a_self_test_may_do_nothing_else(either_end: str) -> None:
    """
    A session that calls itself a self-test may ask who it is, and neither publish nor read what its workload may.
    """
    with world_of("config-creds", either_end) as world:
        world.start_responder()
        async with logged_in(world, world.token(), name="nats-k8s-oidc-callout self-test 1") as login:
            said = [
                await login.publish("team-a.hello"),
                await login.subscribe("team-a.>"),
                await login.subscribe("_INBOX.x"),
                await login.publish("$SYS.REQ.USER.INFO"),
            ]

    assert [True, True, True, False] == ["permissions violation" in words.lower() for words in said]


def test_a_fault_shows_within_75_seconds() -> None:
    """
    The longest round and the pause before it together stay within the time in which an alert is promised.
    """
    assert selftest.INTERVAL_SECONDS + selftest.ROUND_SECONDS <= 75


def test_a_strangers_wrong_password_is_no_rejected_answer(either_end: str) -> None:
    """
    Somebody who tries our own user with a wrong password is in the server's complaints too, and is not about us.
    """
    with world_of("config-creds", either_end) as world:
        responder = world.start_responder()
        refused = asyncio.run(ask(world, user="responder", **{"pass": "wrong"}))
        assert not refused.let_in
        time.sleep(0.3)

        assert 0 == responder.metrics()[REJECTED]


async def test_another_kind_of_responder_is_seen(either_end: str) -> None:
    """
    Other software that answers does not let us ask who we are: 2.12 and later tell the account by themselves, before
    that it is told apart.
    """
    mode = config_mode()

    def answer(data: bytes) -> bytes:
        asked = claims_of(data)["nats"]
        rights = {"pub": {"allow": ["x"]}, "sub": {"allow": ["_INBOX.>", "_INBOX_team-a_orders.>"]}}
        user = {**rights, "subs": -1, "data": -1, "payload": -1, "type": "user"}
        jwt = mint(mode.issuer, asked["user_nkey"], "somebody", user, aud="OTHER")
        response = {"type": "authorization_response", "jwt": jwt}
        return mint(mode.issuer, asked["user_nkey"], "", response, aud=asked["server_id"]["id"]).encode()

    with world_of("config-creds") as world, NatsServer(mode.text, binary=either_end) as server:
        async with linked(server.url, login=nkey(mode.responder), answer=answer) as desk:
            await until(lambda: desk.link.subscribed)
            env = {**world.environment(), **variables(world), "NATS_URL": server.url}
            with a_self_test(world, env) as test:
                failed = await test.round()
        told = server.monitor("varz")["version"]

    assert failed
    assert ("foreign_answer" if told.startswith("2.11.") else "wrong_account") == failed.reason
