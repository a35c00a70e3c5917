"""The servers of the session tests let a responder do exactly what it needs, in both modes and by both ways."""

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.nats import nkeys
from tests.e2e.clients import connected
from tests.e2e.session_plans import MODES, PREFIX, WAYS, session_plan
from tests.e2e.worlds import BINARIES, World, world_of
from tests.fakes.nats_modes import PASSWORD
from tests.fakes.nats_world import settled, until

pytestmark = pytest.mark.e2e

SUBJECTS = {
    "imports": (f"{PREFIX}.connz", f"{PREFIX}.kick", f"{PREFIX}.ev.{{}}.CONNECT"),
    "login": ("$SYS.REQ.ACCOUNT.{}.CONNZ", "$SYS.REQ.SERVER.{}.KICK", "$SYS.ACCOUNT.{}.CONNECT"),
}


def creds_options(file: Path) -> dict[str, Any]:
    """Return what nats-py needs of a creds file, without the package that it reads one with."""
    lines = file.read_text().splitlines()
    key = nkeys.parse_signing_key(next(line for line in lines if line.startswith("SU")), nkeys.Kind.USER)
    return {
        "user_jwt_cb": lines[1].encode,
        "signature_cb": lambda nonce: base64url.encode(key.sign(nonce.encode())),
    }


def home_of(world: World) -> str:
    """Return the account of the plan's other user, who asks no callout."""
    jwt = str(world.plan.other.get("jwt", ""))
    return str(json.loads(base64url.decode(jwt.split(".")[1].encode()))["iss"]) if jwt else world.plan.target


@asynccontextmanager
async def system_side(world: World, mode: str, way: str, problems: list[str]) -> AsyncIterator[Client]:
    """Be the login that a responder would use for its sessions."""
    login: dict[str, Any] = {"user": "sessions" if way == "login" else "responder", "password": PASSWORD}
    if mode == "operator":
        file = world.plan.variables["NATS_SYSTEM_CREDS_FILE" if way == "login" else "NATS_CREDS_FILE"]
        login = creds_options(Path(file))

    async def complain(error: Exception) -> None:
        problems.append(str(error))

    client = await nats.connect(
        world.servers[0].url, inbox_prefix="_INBOX_sess.one", error_cb=complain, allow_reconnect=False, **login
    )
    try:
        yield client
    finally:
        await client.close()


async def answers(client: Client, subject: str, count: int) -> list[dict[str, Any]]:
    """Return that many answers to one question, or fail."""
    inbox, found = client.new_inbox(), []
    subscription = await client.subscribe(inbox)
    body = json.dumps({"auth": True, "limit": 1_000_000}).encode()
    await client.publish(subject, body, reply=inbox, headers={"Accept-Encoding": "gzip"})
    for _ in range(count):
        data = (await subscription.next_msg(timeout=5)).data
        found.append(json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data))
    await subscription.unsubscribe()
    return found


@pytest.mark.parametrize("version", ["2.11", "2.15"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", MODES)
async def test_a_login_may_list_hear_and_kick(mode: str, way: str, version: str) -> None:
    """
    All three nodes list the account, a connection to another node is heard of and kicked, and other subjects are refused.
    """
    problems: list[str] = []
    connz, kick, event = SUBJECTS[way]
    binary = BINARIES[version]()
    assert binary, f"nats-server {version} is not built (make tools)"
    with world_of(session_plan(mode, way), str(binary)) as world:
        account = home_of(world)
        listing, asked = (f"{one}.{{}}" if way == "imports" else one for one in (connz, kick))
        async with system_side(world, mode, way, problems) as client:
            heard = await client.subscribe(event.format(account))
            await settled(client)
            nodes = {one["server"]["id"] for one in await answers(client, listing.format(account), 3)}
            nobody = json.loads((await client.request(asked.format(min(nodes)), b'{"cid":0}', timeout=2)).data)
            with pytest.raises(NoRespondersError):
                await client.request(asked.format("NOBODY"), b'{"cid":0}', timeout=2)
            await client.subscribe("$SYS.>")
            await until(lambda: problems)
            async with connected(world, **world.plan.other) as other:
                shown = json.loads((await heard.next_msg(timeout=5)).data)
                kicked = {"cid": shown["client"]["id"]}
                await client.request(asked.format(shown["server"]["id"]), json.dumps(kicked).encode(), timeout=2)
                gone = not await other.line()

    assert 3 == len(nodes)
    assert 500 == nobody["error"]["code"]
    assert ("PONG", True) == (other.said, gone)
    assert "permissions violation for subscription to" in problems[0].lower()
