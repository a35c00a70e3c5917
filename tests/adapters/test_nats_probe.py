"""The bare socket of self-test and doctor, before servers that misbehave: it ends in words, in time, and gives nothing away."""

import asyncio
import time

import pytest

from nats_k8s_oidc_callout.adapters.nats import (
    NkeyLogin,
    Refused,
    Untrusted,
    WorkloadLogin,
    log_in_as_client,
    open_probe,
)
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.errors import Unreachable
from tests.fakes.hostile_server import hostile_server
from tests.fakes.nats_desk import at
from tests.fakes.nats_modes import Pair
from tests.fakes.nats_world import NatsServer, free_port
from tests.fakes.stalls import awake, stalled

TOKEN = WorkloadLogin("s3cret-token")
QUICK = 0.5


async def test_connect_says_what_a_pod_says() -> None:
    """The token goes where a pod's goes; a sentinel goes beside it, with a signature only where its key is given."""
    user = Pair.new(Kind.USER)
    async with hostile_server({"nonce": "abc"}) as server:
        for login in (TOKEN, WorkloadLogin("t", "e.y.J"), WorkloadLogin("t", "e.y.J", user.key.sign)):
            async with open_probe(at(server.url), None, QUICK) as probe:
                await probe.log_in(login, "me", QUICK)
        plain, bearer, signed = server.connects

    assert ("s3cret-token", "me", None) == (plain["auth_token"], plain["name"], plain.get("jwt"))
    assert ("e.y.J", None) == (bearer["jwt"], bearer.get("sig"))
    assert signed["sig"]


async def test_nothing_but_nonces_is_signed() -> None:
    """The guard of the link holds here, too: no server gets a signature of what it likes."""
    user = Pair.new(Kind.USER)
    async with hostile_server({"nonce": "a.b"}) as server, open_probe(at(server.url), None, QUICK) as probe:
        with pytest.raises(Unreachable, match="not a nonce"):
            await probe.log_in(NkeyLogin(user.public, user.key.sign), "me", QUICK)
        assert not server.connects


async def test_token_never_leaves_in_clear_when_tls_is_wanted() -> None:
    """A server, or somebody between, that leaves TLS out of its INFO gets no token."""
    async with hostile_server() as server:
        with pytest.raises(Untrusted, match="does not ask for it"):
            await log_in_as_client(at(server.url.replace("nats://", "tls://")), None, TOKEN, "me", "_INBOX.>", QUICK)

    assert b"" == server.received


async def test_refusal_has_the_servers_words() -> None:
    """What the server says to a login is kept, without quotes, and what a terminal would obey is spelled."""
    async with hostile_server(answer=b"-ERR 'No\x1b[31m way'\r\n", drop=True) as server:
        with pytest.raises(Refused) as caught:
            await log_in_as_client(at(server.url), None, TOKEN, "me", "_INBOX.>", QUICK)

    assert r"No\u001b[31m way" == caught.value.words


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="silence"),
        pytest.param(b"MSG\r\n", id="half-a-message"),
        pytest.param(b"MSG a 1 99999999999\r\n", id="message-without-end"),
        pytest.param(b"HMSG a 1 x 5\r\n", id="no-number"),
        pytest.param(b"INFO {\r\n", id="half-an-info"),
        pytest.param(b'INFO {"version":"\xff"}\r\n', id="an-info-that-is-no-text"),
        pytest.param(b"x" * (2 << 20), id="line-without-end"),
        pytest.param(b"PING\r\n" * 50, id="pings-alone"),
    ],
)
async def test_rubbish_ends_in_time(answer: bytes) -> None:
    """Whatever a server says instead of an answer, the login is over within its time, with a failure."""
    began = awake()
    async with hostile_server(answer=answer) as server:
        with pytest.raises(Unreachable):
            await log_in_as_client(at(server.url), None, TOKEN, "me", "_INBOX.>", QUICK)

    assert awake() - began < 4 * QUICK


async def test_what_is_no_nats_server() -> None:
    """Nobody there, somebody else there, and somebody who says nothing: each is told apart."""

    async def banner(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 smtp ready\r\n")
        await writer.drain()
        writer.close()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    said = []
    for serve in (banner, mute):
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(Unreachable) as caught:
                async with open_probe(at(f"nats://127.0.0.1:{port}"), None, QUICK):
                    pass
            said.append(str(caught.value))
    with pytest.raises(Unreachable, match="no connection to nats://127"):
        async with open_probe(at(f"nats://127.0.0.1:{free_port()}"), None, QUICK):
            pass

    assert [
        "connected, but what answers is no NATS server",
        "connected, but no greeting of a NATS server in time",
    ] == said


async def test_silence_measures_the_servers_patience() -> None:
    """A server ends the silence of somebody who does not log in after `authorization.timeout`."""
    awake()
    with NatsServer("authorization { timeout: 0.7, token: x }") as server:
        began = time.time()
        async with open_probe(at(server.url), None, QUICK) as probe:
            took = await probe.silence(10.0)
            words = probe.words

    assert took is not None
    assert took > 0.65
    assert took - stalled(began, time.time()) < 1.2
    assert ["Authentication Timeout"] == words


async def test_no_secret_in_a_repr() -> None:
    """Neither token nor sentinel shows when a login is printed."""
    assert "s3cret" not in repr(WorkloadLogin("s3cret", "s3cret"))
