"""How the link to NATS logs in and subscribes, against a real nats-server."""

import time

import pytest
import structlog.testing

from nats_k8s_oidc_callout.adapters.nats import (
    CredsLogin,
    Login,
    NoLogin,
    PasswordLogin,
    TokenLogin,
)
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.fakes import nats_modes
from tests.fakes.nats_desk import PLAIN, REQUESTS, creds, linked, nkey, yes
from tests.fakes.nats_modes import Pair, config_mode, operator_mode
from tests.fakes.nats_world import NatsServer, knock, until
from tests.fakes.server import claims_of


@pytest.mark.parametrize("way", ["nkey", "password"])
async def test_answers_in_config_mode(way: str) -> None:
    """Logged in by nkey or password, the link gets a client's request, its answer lets the client in, and it knows its account."""
    mode = config_mode()
    login = nkey(mode.responder) if way == "nkey" else PasswordLogin("responder", nats_modes.PASSWORD)
    with NatsServer(mode.text) as server:
        async with linked(server.url, login=login, answer=yes(mode.issuer)) as desk:
            await until(lambda: desk.link.subscribed)
            knocked = await knock(server.url, auth_token="t")
            account = desk.link.account

    assert ("PONG", "AUTH") == (knocked.said, account)
    assert "t" == claims_of(desk.requests[0][0])["nats"]["connect_opts"]["auth_token"]


async def test_logs_in_by_creds_in_operator_mode() -> None:
    """A creds login is accepted in operator mode and gets the requests of clients that have nothing but a token."""
    mode = operator_mode()
    with NatsServer(mode.text) as server:
        async with linked(server.url, login=creds(mode.creds), answer=lambda _: b"") as desk:
            await until(lambda: desk.link.subscribed)
            knocked = await knock(server.url, auth_token="t")

    assert "-ERR 'Authorization Violation'" == knocked.said
    assert mode.auth.public == claims_of(desk.requests[0][0])["sub"]
    assert knocked.seconds < 1.0, "refused by our answer, not by the server's time-out"


async def test_server_xkey_is_handed_on() -> None:
    """The header with the server's curve key comes with a sealed request; a clear one has ""."""
    mode = config_mode(xkey=Pair.new(Kind.CURVE))
    with NatsServer(mode.text) as server:
        async with linked(server.url, login=nkey(mode.responder), answer=lambda _: b"") as desk:
            await until(lambda: desk.link.subscribed)
            await knock(server.url, auth_token="t")

    data, _, xkey = desk.requests[0]
    assert b"xkv1" == data[:4]
    assert ("X", 56) == (xkey[0], len(xkey))


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ('authorization { token: "s3cret" }', TokenLogin("s3cret")),
        (PLAIN, NoLogin()),
    ],
    ids=["token", "no login"],
)
async def test_logs_in(text: str, login: Login) -> None:
    """A server's one token is a login, and none is needed where the server asks for none."""
    with NatsServer(text) as server:
        async with linked(server.url, login=login) as desk:
            await until(lambda: desk.link.subscribed)
            assert "" == desk.link.last_error


async def test_refused_login_is_tried_until_it_is_accepted() -> None:
    """A link whose key the server does not know yet answers soon after the server has learned it."""
    responder, issuer = Pair.new(Kind.USER), Pair.new(Kind.ACCOUNT)
    with NatsServer(config_mode(issuer=issuer, timeout=0.3).text) as server, structlog.testing.capture_logs() as logs:
        async with linked(server.url, login=nkey(responder), answer=yes(issuer)) as desk:
            await until(lambda: server.log().count("authentication error") >= 3)
            assert not desk.link.connected
            assert "Authorization Violation" == desk.link.last_error
            server.restart(config_mode(issuer=issuer, responder=responder).text)
            await until(lambda: desk.link.subscribed)
            assert (await knock(server.url, auth_token="t")).let_in

    refused = [line for line in logs if line["event"] == "nats refused our login" and line["log_level"] == "warning"]
    assert 1 == len(refused), "told once, not at each attempt"
    assert "Authorization Violation" == refused[0]["reason"]


async def test_login_is_read_again_for_each_connect() -> None:
    """A rotated file counts at the next connect, and one that cannot be read is waited for."""
    mode = config_mode()
    logins: list[Login | None] = [None, PasswordLogin("responder", "old"), nkey(mode.responder)]

    def login() -> Login:
        found = logins.pop(0) if len(logins) > 1 else logins[0]
        if found is None:
            raise FileNotFoundError("creds")
        return found

    with NatsServer(mode.text) as server:
        async with linked(server.url, login=login) as desk:
            await until(lambda: desk.link.subscribed)


async def test_expired_login_is_replaced() -> None:
    """When the responder's own user JWT expires (nats-py closes for good), the next one is used."""
    short = operator_mode(creds_expire_at=int(time.time()) + 2)
    fresh = nats_modes.mint(
        short.auth, short.responder.public, "again", {"type": "user", "subs": -1, "data": -1, "payload": -1}
    )
    logins = [creds(short.creds), CredsLogin(fresh, short.responder.key.sign)]
    with NatsServer(short.text) as server:
        async with linked(server.url, login=lambda: logins.pop(0) if len(logins) > 1 else logins[0]) as desk:
            await until(lambda: desk.link.subscribed)
            await until(lambda: not desk.link.connected)
            await until(lambda: desk.link.subscribed)


async def test_refused_subscription_is_not_subscribed() -> None:
    """
    Without the right to subscribe the link is connected but not subscribed, says why, and recovers with the right.
    """
    mode = config_mode(permissions=nats_modes.AS_IN_THE_GUIDE)
    right = config_mode(issuer=mode.issuer, responder=mode.responder)
    with NatsServer(mode.text) as server, structlog.testing.capture_logs() as logs:
        async with linked(server.url, login=nkey(mode.responder), answer=yes(mode.issuer)) as desk:
            await until(lambda: server.log().count("Subscription Violation") >= 3)
            assert desk.link.connected
            assert not desk.link.subscribed
            assert f'permissions violation for subscription to "{REQUESTS.lower()}"' in desk.link.last_error
            server.restart(right.text)
            await until(lambda: desk.link.subscribed)
            assert "" == desk.link.last_error

    assert 1 == len(
        [line for line in logs if "refused our subscription" in line["event"] and line["log_level"] == "warning"]
    )
