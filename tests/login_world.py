"""One responder on one connection, whole but for the socket and the clocks: what a login costs is then the same each time.

The bytes come in as a server writes them, and go out as they would into the socket: nats-py, the link, the responder, the
core, metrics and log lines are the real ones.
"""

import asyncio
import itertools
import json
import re
import selectors
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from nats_k8s_oidc_callout.adapters.nats import Link, NoLogin, Timing, answer_requests
from nats_k8s_oidc_callout.adapters.telemetry import Count, Logs, Telemetry
from nats_k8s_oidc_callout.adapters.telemetry.logs import INFO
from nats_k8s_oidc_callout.adapters.telemetry.output import Output
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.app.outcomes import Outcomes
from nats_k8s_oidc_callout.core.decide import Answer, Facts
from nats_k8s_oidc_callout.core.identity.keyset import KeySet, parse_jwks
from nats_k8s_oidc_callout.core.model import Need
from nats_k8s_oidc_callout.core.nats.address import Address
from nats_k8s_oidc_callout.core.nats.names import REQUESTS
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.signers import Origin, config_mode
from nats_k8s_oidc_callout.responder import Keys, Observers, Ports, Responder, Voice, World
from tests.fakes.issuer import UID, Issuer
from tests.fakes.rules import CLAIMS, fresh_grants
from tests.fakes.server import ISSUER, NOW, Server
from tests.fakes.serviceaccounts import item, listed

KUBERNETES = Issuer()
_INFO = {
    "server_id": "N",
    "server_name": "S1",
    "version": "2.15.1",
    "proto": 1,
    "headers": True,
    "max_payload": 1 << 20,
}


class _Nothing(selectors.DefaultSelector):
    """Whatever waits for a socket or a clock here would wait for ever."""

    turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        if timeout is None or timeout > 0:
            raise AssertionError("the login is not answered, and nothing is left to do")
        return []


class StillLoop(asyncio.SelectorEventLoop):
    """An event loop in which no time passes: no timer comes in between."""

    def __init__(self) -> None:
        self.sockets = _Nothing()
        super().__init__(self.sockets)

    def time(self) -> float:
        return 0.0


class _Wire:
    """The server's end of the connection, as the writer that nats-py has of it."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.sid = b""
        self.sent: asyncio.Future[bytes] | None = None
        self.transport = SimpleNamespace(abort=lambda: None)
        self.reader.feed_data(b"INFO " + json.dumps(_INFO).encode() + b"\r\n")

    def write(self, data: bytes) -> None:
        if data.startswith(b"PUB ") and self.sent is not None:
            self.sent.set_result(data)
            return
        found = re.search(rb"SUB %b \S+ (\d+)" % re.escape(REQUESTS.encode()), data)
        self.sid = found[1] if found else self.sid
        for _ in range(data.count(b"PING\r\n")):
            self.reader.feed_data(b"PONG\r\n")

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    async def drain(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self.reader.feed_eof()

    async def wait_closed(self) -> None:
        pass


class _Device:
    """Where the log goes."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> int:
        self.written += data
        return len(data)

    def fileno(self) -> int:
        raise OSError("it is none of the system's")


class LoginWorld:
    """Logs in, one client after another. `labelled`: session names say what was granted."""

    def __init__(self, wire: _Wire, device: _Device, logs: Logs, *, labelled: bool) -> None:
        self._wire, self._device, self._logs = wire, device, logs
        self._server, self._numbers = Server(), itertools.count(1)
        # In C, as time.time and time.monotonic are.
        clock, monotonic = itertools.repeat(float(NOW)).__next__, itertools.repeat(100.0).__next__
        telemetry = Telemetry(CollectorRegistry(), logs, "0", clock=clock, monotonic=monotonic)
        keyring = cast("Keyring", SimpleNamespace(origins={ISSUER.public: Origin.SEPARATE}))
        keyset = KeySet()
        keyset.replace(parse_jwks(KUBERNETES.jwks()).keys, 0.0)
        grants = replace(fresh_grants(), policy_mark="a1b2c3" if labelled else "")
        facts = Facts(
            CLAIMS, (), keyset, listed(item("team-a", "orders", UID)), grants, release="nats-auth-a24a7f" * labelled
        )
        keys = Keys(config_mode("APP", [ISSUER]))
        ports = Ports(
            Voice(lambda answers: cast("None", self.link.send(answers)), lambda: self.link.max_payload),
            _nothing_to_fetch,
            lambda _: False,
            Observers(
                Outcomes(telemetry, keyring, shadow=False).observers,
                telemetry.cache_hit,
                lambda: telemetry.metrics.add(Count.SLOWED),
            ),
            World(clock, monotonic, bytes),
        )
        responder = Responder(facts, lambda: keys, ports, timeout_seconds=1.5)
        self.link = Link(
            [Address("127.0.0.1")],
            login=NoLogin,
            tls=lambda: None,
            duty=answer_requests("callout", responder.receive, lambda _: None),
            timing=Timing(heartbeat=1e9),
        )
        self.work = {"responder": responder.run, "link": self.link.run}

    def token(self, number: int = 0) -> str:
        """Return a token that ends so soon that no two sessions end at different times."""
        return KUBERNETES.token(lifetime=20, claims={"jti": f"5b8f4c1a-2f7e-4b43-9a52-{number:012}"})

    def message(self, token: str) -> bytes:
        """Return a server's message about a client that has just connected with this token."""
        number = next(self._numbers)
        claims = self._server.claims(token)
        claims["nats"]["user_nkey"] = SigningKey(Kind.USER, number.to_bytes(32, "big")).public
        payload = self._server.sign(claims)
        head = b"MSG %b %b _R_.%06d %d\r\n" % (REQUESTS.encode(), self._wire.sid, number, len(payload))
        return head + payload + b"\r\n"

    @property
    def turns(self) -> int:
        """How many turns the event loop has made."""
        return cast("StillLoop", asyncio.get_running_loop()).sockets.turns

    async def log_in(self, message: bytes) -> bytes:
        """Take one login from the bytes of its question to those of its answer."""
        self._wire.sent = asyncio.get_running_loop().create_future()
        self._wire.reader.feed_data(message)
        return await self._wire.sent

    def line(self) -> bytes:
        """Return what was logged since the last time."""
        self._logs.output.flush()
        written, self._device.written = self._device.written, b""
        return written


@asynccontextmanager
async def login_world(monkeypatch: pytest.MonkeyPatch, *, labelled: bool) -> AsyncIterator[LoginWorld]:
    """Yield a world that is connected and subscribed; to be used in a StillLoop."""
    wire, device = _Wire(), _Device()

    async def open_connection(**_: object) -> tuple[asyncio.StreamReader, _Wire]:
        return wire.reader, wire

    monkeypatch.setattr(asyncio, "open_connection", open_connection)
    world = LoginWorld(wire, device, Logs(INFO, "json", Output(device), coloured=False), labelled=labelled)
    tasks = [asyncio.create_task(work(), name=name) for name, work in world.work.items()]
    world.link.set_serving(True)
    for _ in range(1000):
        await asyncio.sleep(0)
        if world.link.subscribed:
            break
    assert world.link.subscribed, world.link.last_error
    yield world
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _nothing_to_fetch(_need: Need, _budget: float) -> Answer:
    raise AssertionError("a warm login asked for something")
