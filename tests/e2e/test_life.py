"""Beginnings, outages and ends: the same process is there again, or has left in good order."""

import asyncio
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.e2e.clients import REFUSED, ask, connected
from tests.e2e.plans import Plan, write_creds
from tests.e2e.worlds import World, world_of
from tests.fakes.issuer import issuer_key, jwks
from tests.fakes.nats_modes import Pair, operator_mode
from tests.fakes.nats_world import until
from tests.fakes.stalls import awake

pytestmark = pytest.mark.e2e

BACK_SECONDS = 10.0
# `authorization.timeout` of all servers here: how long a client waits that nobody answers.
TIMEOUT_SECONDS = 1.5


def subscribed(world: World) -> bool:
    """Say whether somebody answers the callout, as the server sees it."""
    return any("$SYS.REQ.USER.AUTH" in shown.get("subscriptions_list", ()) for shown in world.server.connz())


async def let_in(world: World) -> bool:
    return (await ask(world, **world.fields(world.token()))).let_in


async def test_sigterm_answers_what_is_in_flight() -> None:
    """
    A login that waits for the issuer's new key when SIGTERM comes is let in; the process is un-ready at once, takes no
    further login, and exits 0.
    """
    with world_of("config-xkey") as world:
        responder = world.start_responder()
        new = issuer_key("RS256", 1)
        world.keys.body, world.keys.delay = jwks(*world.issuer.keys, new), 0.7
        waiting = asyncio.create_task(ask(world, name="waiting", **world.fields(world.token(key=new))))
        await until(lambda: world.keys.asked == 2)

        responder.stop_softly()
        await until(lambda: not responder.ready, 0.5, "un-ready")
        await until(lambda: not subscribed(world), 0.5, "unsubscribed")
        status, body = responder.get("/readyz?verbose")

        assert (503, True) == (status, "[-]running failed: shutting down" in body)
        assert (await waiting).let_in
        assert 0 == responder.wait(5)
    assert [("allowed", "waiting")] == [(line["event"], line["connection"]) for line in responder.decisions()]


async def test_sigterm_answers_a_crowd() -> None:
    """
    Of two replicas one is told to go while logins come in: every client is let in, and that one exits 0.
    """
    with world_of("config-creds") as world:
        leaving, staying = world.start_responder(), world.start_responder()
        token = world.token()

        async def one_after_the_other() -> list[bool]:
            return [(await ask(world, **world.fields(token))).let_in for _ in range(25)]

        crowd = [asyncio.create_task(one_after_the_other()) for _ in range(8)]
        await until(lambda: leaving.metrics()["nats_auth_requests_success"] > 20)
        leaving.stop_softly()
        outcomes = [outcome for some in await asyncio.gather(*crowd) for outcome in some]
        code = leaving.wait(5)

        assert ([True] * 200, 0) == (outcomes, code)
        assert staying.metrics()["nats_auth_requests_success"] + len(leaving.decisions()) == 200


async def test_nats_restarted_with_another_identity() -> None:
    """
    A server that is killed and comes back, with another id and xkey, is answered again by the same process.
    """
    with world_of("config-xkey") as world:
        responder = world.start_responder()
        pid, identity = responder.pid, world.server.monitor("varz")["server_id"]
        world.server.kill()
        await until(lambda: not responder.ready, 5, "un-ready")
        world.server.start()
        began = awake()
        while not await let_in(world):
            assert awake() - began < BACK_SECONDS
        metrics = responder.metrics()

        assert (pid, True) == (responder.pid, responder.running)
        assert identity != world.server.monitor("varz")["server_id"]
        assert 1 == metrics["nats_auth_nats_reconnects_total"]


async def test_started_before_nats_exists() -> None:
    """
    Without a server the process waits, healthy and not ready; once there is one it answers.
    """
    with world_of("config-creds") as world:
        world.server.kill()
        responder = world.start_responder(ready=False)
        await until(lambda: responder.events("nats unreachable"), 10)
        health, readyz, livez = (responder.get(path)[0] for path in ("/health", "/readyz", "/livez"))
        world.server.start()
        await until(lambda: responder.ready, BACK_SECONDS)

        assert (200, 503, 200, True) == (health, readyz, livez, await let_in(world))


async def test_nobody_is_let_into_our_own_account() -> None:
    """
    Where the settings do not say which the callout account is, the server does, before it may ask us anything.
    """
    with world_of("config-creds") as world:
        responder = world.start_responder(ready=False, NATS_ACCOUNT="AUTH", NATS_AUTH_ACCOUNT="")
        event = "nats login lands in the wrong account"
        await until(lambda: responder.events(event), 10)
        told = responder.events(event)
        readyz = responder.get("/readyz?verbose")[1]

        assert [False, False] == [await let_in(world), bool(responder.events("nats connected"))]
        assert told[0]["reason"].startswith("NATS_ACCOUNT=AUTH is the callout account")
        assert "NATS_ACCOUNT=AUTH is the callout account" in readyz


@pytest.mark.slow
async def test_nats_paused() -> None:
    """
    A server that stops without closing a socket is noticed within 15 s; once it goes on, so do we.
    """
    with world_of("config-creds") as world:
        responder = world.start_responder()
        world.server.pause()
        await until(lambda: not responder.ready, 17, "noticed")
        world.server.resume()
        await until(lambda: responder.ready, BACK_SECONDS)

        assert await let_in(world)


async def test_login_refused_for_a_while() -> None:
    """
    A server that refuses our login, and later accepts it, is answered by the same process.
    """
    with world_of("config-creds") as world:
        responder = world.start_responder()
        text = world.server.text
        nkey = next(word for word in text.split() if word.startswith("U"))
        world.server.restart(text.replace(nkey, f"{Pair.new(Kind.USER).public},"))
        await until(lambda: responder.events("nats refused our login"), BACK_SECONDS)
        world.server.restart(text)
        await until(lambda: responder.ready, BACK_SECONDS)

        assert await let_in(world)


async def test_no_subscription_without_keys() -> None:
    """
    While the key endpoint is down from the start we are not ready and not subscribed, so that the server asks somebody
    else, or nobody; once it is up we answer.
    """
    with world_of("operator-signing") as world:
        world.keys.down()
        responder = world.start_responder(ready=False)
        await until(lambda: responder.events("nats connected"), 10)
        status, body = responder.get("/readyz?verbose")
        answered = subscribed(world)
        began = awake()
        knocked = await ask(world, **world.fields(world.token()))
        waited = awake() - began
        world.keys.up()
        await until(lambda: responder.ready, BACK_SECONDS + 2)

        assert (503, True, False) == (status, "[-]keys failed" in body, answered)
        assert (REFUSED, True) == (knocked.said, knocked.seconds > TIMEOUT_SECONDS - 0.1)
        assert waited < TIMEOUT_SECONDS + 1
        assert await let_in(world)


async def test_key_rotation_by_url() -> None:
    """
    A token by a key that the issuer has just begun to use is let in at its first try.
    """
    with world_of("config-xkey") as world:
        world.start_responder()
        new = issuer_key("RS256", 1)
        world.keys.body = jwks(new, *world.issuer.keys)

        first = await ask(world, **world.fields(world.token(key=new)))

        assert (True, 2, True) == (first.let_in, world.keys.asked, await let_in(world))


def quick_start(folder: Path) -> Plan:
    """Operator mode run by one creds file: its seed, in account form, is a signing key of both accounts."""
    user = Pair.new(Kind.USER)
    derived = user.in_form(Kind.ACCOUNT).public
    mode = operator_mode(responder=user, extra_auth_signing=[derived], extra_app_signing=[derived])
    creds = write_creds(folder / "responder.creds", mode.creds)
    return Plan([mode.text], mode.app.public, {}, {"NATS_ACCOUNT": mode.app.public, "NATS_CREDS_FILE": creds})


async def test_one_creds_file_runs_operator_mode() -> None:
    """
    With nothing but the creds file clients land in the target account, and the start recommends keys of their own.
    """
    with world_of(quick_start) as world:
        responder = world.start_responder()
        async with connected(world, name="quick", **world.fields(world.token())):
            account = world.shown("quick")["account"]
        warned = " ".join(line["detail"] for line in responder.events("configuration warning"))

        assert world.plan.target == account
        assert all(name in warned for name in ("NATS_SIGNING_KEY_FILE", "NATS_ACCOUNT_SIGNING_KEY_FILE"))
