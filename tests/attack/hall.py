"""A NATS server where everybody may publish what only servers should: the callout account after a mistake.

A server with the callout denies its own users `$SYS.REQ.USER.AUTH` (test_steering proves it); a leaf node of old, an
import, or a hostile server in the cluster may still reach it. So the questions here come from Mallory.
"""

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from tests.e2e.plans import write_seeds
from tests.e2e.responder import ResponderProcess
from tests.e2e.worlds import Accounts, issuer
from tests.fakes import nats_modes
from tests.fakes.forgery import uid_of
from tests.fakes.nats_modes import MAY_ANSWER, Pair
from tests.fakes.nats_world import NatsServer
from tests.fakes.server import Answer, Server
from tests.leaks import SECRETS

SUBJECT = "$SYS.REQ.USER.AUTH"
_numbers = itertools.count()
WAIT_SECONDS = 20.0


class Hall:
    """The server, a responder, and everything that a question needs. Use it as a context manager."""

    def __init__(self, *, sealed: bool = False, extra: str = "") -> None:
        """`extra` is more of the server's configuration."""
        self._stack = ExitStack()
        self._extra = extra
        self.issuer = issuer()
        self.signer = Pair.new(Kind.ACCOUNT)
        self.xkey = Pair.new(Kind.CURVE) if sealed else None
        self.asker = Server(SigningKey(Kind.SERVER, bytes([7] * 32)), sub=self.signer.public)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hall-")))
            users = ", ".join(
                f'{{ user: {name}, password: "{nats_modes.PASSWORD}"{rights} }}'
                for name, rights in (("responder", f", permissions: {MAY_ANSWER}"), ("mallory", ""))
            )
            self.server = stack.enter_context(NatsServer(f"authorization {{ users: [ {users} ] }}\n{self._extra}"))
            self.accounts = Accounts(folder / "accounts")
            self.accounts.folder.mkdir()
            self.accounts.write_usual()
            (folder / "jwks.json").write_bytes(self.issuer.jwks())
            env = {
                "NATS_URL": f"nats://responder:{nats_modes.PASSWORD}@127.0.0.1:{self.server.port}",
                "NATS_ACCOUNT": "APP",
                "NATS_AUTH_ACCOUNT": "AUTH",
                "NATS_SIGNING_KEY_FILE": write_seeds(folder / "signing.seed", self.signer),
                "JWT_ISSUER": self.issuer.url,
                "JWKS_FILE": str(folder / "jwks.json"),
                "SERVICE_ACCOUNTS_DIR": str(self.accounts.folder),
                "LOG_LEVEL": "info",
            }
            if self.xkey is not None:
                env["NATS_XKEY_FILE"] = write_seeds(folder / "xkey.seed", self.xkey)
            self.responder = stack.enter_context(ResponderProcess(env, name="hall")).wait_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def token(self, name: str = "orders", **changes: Any) -> str:
        valid = {"namespace": "team-a", "name": name, "uid": uid_of("team-a", name), "now": time.time()}
        return SECRETS.register("token", self.issuer.token(**{**valid, **changes}))

    def claims(self, token: str | None = None) -> dict[str, Any]:
        """Return the claims of a good question, asked now."""
        now = int(time.time())
        claims = self.asker.claims(self.token() if token is None else token, sealed=self.xkey is not None)
        return claims | {"iat": now, "exp": now + 2}

    def seal(self, message: bytes) -> bytes:
        assert self.xkey is not None
        return self.asker.curve.seal(self.xkey.public, bytes(24), message)

    def question(self, token: str | None = None) -> tuple[bytes, bytes]:
        """Return a good question and its header."""
        message = self.asker.sign(self.claims(token))
        return (self.seal(message), xkey_header(self.asker.curve.public)) if self.xkey else (message, b"")

    def read(self, answer: bytes) -> Answer:
        return self.asker.read(answer, self.xkey.curve if self.xkey else None)

    def dropped(self) -> Mapping[str, float]:
        """Return how many messages were dropped so far, by reason."""
        metrics = self.responder.metrics()
        name = "nats_auth_dropped_total"
        return {key[len(name) + 9 : -2]: value for key, value in metrics.items() if key.startswith(name)}

    @asynccontextmanager
    async def mallory(self, port: int | None = None) -> AsyncIterator["Mallory"]:
        """Be logged in as Mallory until the block ends, here or at another server's port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.server.port, limit=4 << 20)
        try:
            mallory = Mallory(reader, writer)
            await mallory.log_in()
            yield mallory
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)

    async def still_answers(self) -> None:
        """Fail unless a good question is let in now."""
        async with self.mallory() as asker:
            data, head = self.question()
            good_bye = reply()
            await asker.publish(SUBJECT, good_bye, data, head)
            answer = self.read(await asker.hear(good_bye))
            assert answer.user is not None


def reply() -> str:
    """Return a reply subject that was never used: a server lets each be answered once."""
    return f"evil.{next(_numbers)}"


def xkey_header(*keys: str, name: str = "Nats-Server-Xkey") -> bytes:
    """Return message headers with these keys, each in a line of its own."""
    return b"NATS/1.0\r\n" + b"".join(f"{name}: {key}\r\n".encode() for key in keys) + b"\r\n"


class Mallory:
    """A client without a library, so that nothing stops it from sending what it likes. It hears everything.

    A character of a subject is one byte.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.heard: list[tuple[str, bytes]] = []

    async def log_in(self) -> None:
        await self._reader.readline()
        login = {"user": "mallory", "pass": nats_modes.PASSWORD, "headers": True, "no_responders": False}
        options = {"verbose": False, "pedantic": False, "protocol": 1, "lang": "fake", "version": "0", **login}
        self._writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nSUB > 1\r\n")
        await self.settle()

    async def publish(self, subject: str, reply: str, payload: bytes, head: bytes = b"") -> None:
        to = f"{subject} {reply}" if reply else subject
        sizes = f"{len(head)} {len(head) + len(payload)}" if head else len(payload)
        line = f"{'HPUB' if head else 'PUB'} {to} {sizes}\r\n"
        self._writer.write(line.encode("latin-1") + head + payload + b"\r\n")
        await self._writer.drain()

    async def hear(self, subject: str) -> bytes:
        """Return the next message on a subject; what comes on others stays in `heard`."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                found = await self._next()
                if found is not None and found[0] == subject:
                    return found[1]

    async def settle(self) -> None:
        """Return once the server has dealt with all that was sent; what it delivered before that has been heard."""
        self._writer.write(b"PING\r\n")
        async with asyncio.timeout(WAIT_SECONDS):
            while await self._next() is not None:
                pass

    async def _next(self) -> tuple[str, bytes] | None:
        """Return the next message, or None for a PONG."""
        while True:
            line = (await self._reader.readline()).decode("latin-1").removesuffix("\r\n")
            assert line, "the server hung up"
            assert not line.startswith("-ERR"), line
            if line == "PONG":
                return None
            if line == "PING":
                self._writer.write(b"PONG\r\n")
            elif line.startswith(("MSG ", "HMSG ")):
                verb, subject, *_, size = line.split(" ")
                body = (await self._reader.readexactly(int(size) + 2))[:-2]
                if verb == "HMSG":
                    body = body[int(line.split(" ")[-2]) :]
                self.heard.append((subject, body))
                return subject, body
