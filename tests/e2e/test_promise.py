"""What a policy promises, judged by real servers: each workload may send and receive what its texts say, and no more."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.grants.annotations import compile_grant
from nats_k8s_oidc_callout.core.grants.terms import Terms
from nats_k8s_oidc_callout.core.model import Allow, Permissions, Workload
from nats_k8s_oidc_callout.core.nats import callout, signers, user
from nats_k8s_oidc_callout.core.nats.signers import Signers
from nats_k8s_oidc_callout.core.nats.subjects import subscribed
from tests.fakes import nats_modes
from tests.fakes.drawn_policies import UNIVERSE, Promise, draw
from tests.fakes.nats_modes import PASSWORD
from tests.fakes.nats_world import NatsServer
from tests.fakes.rules import PREFIX

GRANTS = 500
_AT_ONCE = 100
_SUBJECTS = [subject for subject in UNIVERSE.subjects if subject.count(".") < 3]
_PATTERNS = [
    ".".join(pattern)
    for size in (1, 2, 3)
    for pattern in product(["a", "b", "a-b", "*", ">"], repeat=size)
    if ">" not in pattern[:-1]
]
_REFUSED = re.compile(rb"Permissions Violation for Publish to \"([^\"]+)\"")
_RECEIVED = re.compile(rb"^MSG (\S+) ", re.MULTILINE)


class Case(NamedTuple):
    """A grant as the responder writes it, and the subjects that it is to come to on each side."""

    about: object
    encoded: bytes
    patterns: Sequence[str]
    """More subscriptions to try: those of the grant itself, and what the server makes of them."""
    publish: set[str]
    receive: tuple[set[str], set[str]]
    """At least these, and at most those."""


@cache
def cases() -> list[Case]:
    chance = random.Random(37)
    found: list[Case] = []
    short = UNIVERSE.union(_SUBJECTS)
    while len(found) < GRANTS:
        drawn = draw(chance)
        if not isinstance(drawn.promised, Promise):
            continue
        terms = drawn.policy.terms_of(drawn.namespace, drawn.name, drawn.labels)
        assert isinstance(terms, Terms)
        allowed = compile_grant(drawn.namespace, drawn.name, drawn.annotations, terms, PREFIX).permissions
        patterns = sorted({*allowed.subscribe, *map(subscribed, allowed.subscribe)})
        publish, *receive = (
            UNIVERSE.named(one & short)
            for one in (drawn.promised.publish, drawn.promised.received, drawn.promised.subscribe)
        )
        found.append(Case(drawn, user.encode(allowed), patterns, publish, (receive[0], receive[1])))
    return found


class Place(NamedTuple):
    """A server, who signs for it, the account that clients land in, and the login of whoever answers."""

    server: NatsServer
    keys: Signers
    account: str
    login: Mapping[str, Any]


def config(binary: str) -> Place:
    mode = nats_modes.config_mode(timeout=20)
    login = {"user": "responder", "password": PASSWORD}
    keys = signers.config_mode("APP", [mode.issuer.key])
    return Place(NatsServer(mode.text, binary=binary), keys, "APP", login)


def operator(binary: str) -> Place:
    mode = nats_modes.operator_mode(timeout=20)
    login = {
        "user_jwt_cb": mode.creds.splitlines()[1].encode,
        "signature_cb": lambda nonce: base64url.encode(mode.responder.key.sign(nonce.encode())),
    }
    keys = signers.operator_mode(mode.app.public, mode.app_signing.key, mode.auth.public, mode.auth_signing.key)
    return Place(NatsServer(mode.text, binary=binary), keys, mode.app.public, login)


@asynccontextmanager
async def answering(place: Place, grants: Sequence[bytes]) -> AsyncIterator[None]:
    """Answer the server's questions: whose token is a number gets the grant of this number."""
    client, keys = Client(), place.keys

    async def answer(message: Msg) -> None:
        request, _ = callout.open_request(message.data, "", keys.answers, (), clear_allowed=True)
        assert request.token is not None
        grant = grants[int(request.token.reveal())]
        now = int(time.time())
        allow = Allow(Workload("team", "one", "uid"), place.account, grant, now + 300)
        await message.respond(callout.encode(request, allow, keys, None, now, lambda size: b"\0" * size))

    await client.connect(servers=[place.server.url], allow_reconnect=False, **place.login)
    await client.subscribe("$SYS.REQ.USER.AUTH", cb=answer)
    # The first PING of nats-py overtakes the subscription.
    await client.flush()
    await client.flush()
    try:
        yield
    finally:
        await client.close()


class Bare:
    """A client that is nothing but its socket, and hears what the server says to each line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def login(cls, server: NatsServer, token: int) -> "Bare":
        client = cls(*await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 26))
        options = {"verbose": False, "pedantic": False, "lang": "bare", "auth_token": str(token)}
        said = await client.say([f"CONNECT {json.dumps(options)}"])
        assert b"-ERR" not in said, said
        return client

    async def say(self, lines: Iterable[str]) -> bytes:
        """Return all that the server has to say until it has dealt with these lines."""
        self._writer.write("".join(f"{line}\r\n" for line in (*lines, "PING")).encode())
        return await self._reader.readuntil(b"PONG\r\n")

    def close(self) -> None:
        self._writer.close()


@pytest.mark.e2e
@pytest.mark.parametrize("mode", [config, operator])
async def test_just_what_is_promised_is_allowed(mode: Callable[[str], Place], either_end: str) -> None:
    """
    Whoever subscribes every pattern of up to three tokens receives what the policy promises, and may publish just that.
    """
    judged = cases()
    everything = user.encode(Permissions((">",), (">",), 0, 0.0))
    place = mode(either_end)
    with place.server as server:
        async with answering(place, [everything, *(case.encoded for case in judged)]):
            platform = await Bare.login(server, 0)
            for start in range(0, GRANTS, _AT_ONCE):
                some = judged[start : start + _AT_ONCE]
                clients = await asyncio.gather(*(Bare.login(server, 1 + start + i) for i in range(len(some))))
                try:
                    await try_all(platform, list(zip(some, clients, strict=True)))
                finally:
                    for client in clients:
                        client.close()
            platform.close()


async def try_all(platform: Bare, clients: Sequence[tuple[Case, Bare]]) -> None:
    """Check what these clients may publish, and then what reaches them of all that the platform publishes."""
    everything = [f"PUB {subject} 0\r\n" for subject in _SUBJECTS]
    for case, client in clients:
        refused = {subject.decode() for subject in _REFUSED.findall(await client.say(everything))}
        assert case.publish == set(_SUBJECTS) - refused, case.about
    for case, client in clients:
        await client.say(f"SUB {pattern} {sid}" for sid, pattern in enumerate((*_PATTERNS, *case.patterns), 1))
    await platform.say(everything)
    for case, client in clients:
        received = {subject.decode() for subject in _RECEIVED.findall(await client.say([]))}
        least, most = case.receive
        assert least <= received <= most, case.about
