"""What the link to NATS gives away: no signature but of nonces, no login in clear, no secret in a log."""

import subprocess
import sys
from pathlib import Path

import pytest
import structlog.testing

from nats_k8s_oidc_callout.adapters.nats import (
    CredsLogin,
    Login,
    NkeyLogin,
    PasswordLogin,
    TokenLogin,
)
from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.fakes.hostile_server import hostile_server
from tests.fakes.nats_desk import linked, nkey
from tests.fakes.nats_modes import Pair, config_mode
from tests.fakes.nats_tls import mint_tls
from tests.fakes.nats_world import NatsServer, free_port, until


async def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    """The link speaks TLS with a certificate of its own, by `tls://` and by a server that demands it of `nats://`."""
    files = mint_tls(tmp_path)
    with NatsServer(files.server_text(), scheme="tls") as server:
        for url in (server.url, server.url.replace("tls://", "nats://")):
            async with linked(url, tls=files.context) as desk:
                await until(lambda: desk.link.subscribed)


@pytest.mark.parametrize("context", ["no certificate", "unknown authority"])
async def test_tls_that_does_not_fit_is_refused(tmp_path: Path, context: str) -> None:
    """
    Without the certificate that the server wants, or before a server that we do not trust, there is no connection.
    """
    files = mint_tls(tmp_path)
    with NatsServer(files.server_text(), scheme="tls") as server:
        tls = (lambda: files.context(with_certificate=False)) if context == "no certificate" else (lambda: None)
        async with linked(server.url, tls=tls) as desk:
            await until(lambda: desk.link.last_error)
            assert not desk.link.connected


async def test_login_never_leaves_in_clear_when_tls_is_wanted() -> None:
    """A server (or somebody between) that leaves TLS out of its INFO gets no login from a `tls://` link."""
    async with hostile_server() as server:
        url = server.url.replace("nats://", "tls://")
        async with linked(url, login=PasswordLogin("u", "p")) as desk:
            await until(lambda: server.connections >= 2)
            assert "TLS" in desk.link.last_error

    assert b"" == server.received


JWT_TO_BE = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJpc3MiOiJBQiIsInN1YiI6IlVCIn0"


@pytest.mark.parametrize(
    "nonce",
    [JWT_TO_BE, "", "a" * 65, "a.b", "abc\n", "äöü", "a b", 7, None, ["abc"], {"a": 1}],
    ids=["jwt", "empty", "65", "dot", "newline", "non-ascii", "space", "number", "null", "list", "object"],
)
@pytest.mark.parametrize("way", ["creds", "nkey"])
async def test_we_sign_nothing_but_nonces(way: str, nonce: object) -> None:
    """A server that asks us to sign anything but a nonce gets no signature: the connection is closed."""
    user = Pair.new(Kind.USER)
    signed: list[bytes] = []

    def sign(message: bytes) -> bytes:
        signed.append(message)
        return user.key.sign(message)

    login = CredsLogin("e.y.J", sign) if way == "creds" else NkeyLogin(user.public, sign)
    async with hostile_server({"nonce": nonce}) as server, linked(server.url, login=login) as desk:
        await until(lambda: server.closed >= 1)
        assert "not a nonce" in desk.link.last_error

    assert [] == signed
    assert 0 == server.signatures
    assert b"CONNECT" not in server.received


@pytest.mark.parametrize("way", ["creds", "nkey"])
async def test_a_nonce_is_signed(way: str) -> None:
    """
    A nonce as nats-server sends it is signed, and the CONNECT has what the server wants, by way of nats-py's seam.
    """
    user = Pair.new(Kind.USER)
    login = CredsLogin("e.y.J", user.key.sign) if way == "creds" else nkey(user)
    async with hostile_server({"nonce": "Zm9vYmFyYmF6-_9"}) as server, linked(server.url, login=login):
        await until(lambda: server.connects)

    (connect,) = server.connects
    assert {"creds": "e.y.J", "nkey": user.public}[way] == connect[{"creds": "jwt", "nkey": "nkey"}[way]]
    assert base64url.encode(user.key.sign(b"Zm9vYmFyYmF6-_9")).decode() == connect["sig"]
    assert not {"pass", "user", "auth_token"} & set(connect)


async def test_secrets_stay_out_of_logs() -> None:
    """No password, token or user info of a URL is in a log line, a repr or `last_error`."""
    dead = f"nats://some-user:s3cret@127.0.0.1:{free_port()}"
    mode = config_mode()
    with NatsServer(mode.text) as server, structlog.testing.capture_logs() as logs:
        other = server.url.replace("nats://", "nats://s3cret@")
        async with linked(dead, other, login=PasswordLogin("responder", "s3cret")) as desk:
            await until(lambda: len({line["event"] for line in logs}) >= 2)
            told = desk.link.last_error

    assert told
    assert "s3cret" not in told + repr(logs) + repr([PasswordLogin("u", "s3cret"), TokenLogin("s3cret")])
    assert "some-user" not in repr(logs)


async def test_unknown_failure_tells_its_type_only() -> None:
    """Of an exception that we do not know, only the type is told: a parser's message may quote the file."""

    def login() -> Login:
        raise ValueError("s3cret")

    with structlog.testing.capture_logs() as logs:
        async with linked(f"nats://127.0.0.1:{free_port()}", login=login) as desk:
            await until(lambda: desk.link.last_error)
            assert "ValueError" == desk.link.last_error

    assert "s3cret" not in repr(logs)


def test_needs_no_nkeys_package() -> None:
    """The link loads without the `nkeys` package, which nats-py asks for in its own nkey login."""
    code = "import sys; sys.modules['nkeys'] = None; import nats_k8s_oidc_callout.adapters.nats"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=False)

    assert 0 == done.returncode
