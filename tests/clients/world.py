"""One nats-server and one responder for all clients, and three strangers: who kicks, who asks, and who keeps count.

Sessions last 5 s here. The count is kept by a stream, in which every number that reached the server stands with its
time: unlike a subscriber it has no gap of its own when the server restarts.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType, StreamConfig

from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.clients.workloads import NAMESPACE
from tests.e2e.plans import Plan, seed_as_creds, write_creds
from tests.e2e.worlds import World
from tests.fakes.nats_modes import PASSWORD, Pair, config_mode

SESSION_SECONDS = 5
STREAM = "NUMBERS"


def plan(folder: Path) -> Plan:
    """Config mode with JetStream, a user `observer` in the clients' account, and one in the system account."""
    user = Pair.new(Kind.USER)
    mode = config_mode(responder=user, issuer=user.in_form(Kind.ACCOUNT), jetstream=True)
    login = f'{{ user: observer, password: "{PASSWORD}" }}'
    text = mode.text.replace("  APP { jetstream: enabled }", f"  APP {{ jetstream: enabled, users: [ {login} ] }}")
    text = text.replace("auth_users: [", "auth_users: [ observer, system,")
    system = f'{{ user: system, password: "{PASSWORD}" }}'
    text = text.replace("  SYS { users: [", f"  SYS {{ users: [ {system},")
    assert (text.count("observer"), text.count("user: system")) == (2, 1)
    variables = {
        "NATS_ACCOUNT": "APP",
        "NATS_AUTH_ACCOUNT": "AUTH",
        "NATS_CREDS_FILE": write_creds(folder / "responder.creds", seed_as_creds(user)),
        "INBOX_MODE": "private",
        "SESSION_MAX_SECONDS": str(SESSION_SECONDS),
    }
    return Plan([text], "APP", {}, variables)


@dataclass(frozen=True)
class Number:
    """A number that reached the server, and when, in seconds since the epoch."""

    value: int
    at: float


async def stranger(world: World, user: str) -> Client:
    """Return a connection of `observer` or `system`, which comes back by itself."""

    async def quiet(_: Exception) -> None:
        return None

    return await nats.connect(
        world.client_url,
        user=user,
        password=PASSWORD,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,
        error_cb=quiet,
    )


async def keep_count(observer: Client) -> None:
    """Begin to write down every number."""
    config = StreamConfig(name=STREAM, subjects=[f"{NAMESPACE}.numbers.*"], storage=StorageType.FILE)
    await observer.jetstream().add_stream(config)


async def numbers(observer: Client) -> dict[str, list[Number]]:
    """Return every number so far, by who published it."""
    stream = observer.jetstream()
    count = (await stream.stream_info(STREAM)).state.messages
    reader = await stream.pull_subscribe(
        f"{NAMESPACE}.numbers.*",
        stream=STREAM,
        config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE),
    )
    found: dict[str, list[Number]] = {}
    while count > 0:
        for message in await reader.fetch(min(count, 500), timeout=5):
            name = message.subject.rpartition(".")[2]
            found.setdefault(name, []).append(Number(int(message.data), message.metadata.timestamp.timestamp()))
            count -= 1
    await reader.unsubscribe()
    return found


async def kick(system: Client, server: str, cid: int) -> None:
    """End a connection as `nats server request kick` does."""
    answer = await system.request(f"$SYS.REQ.SERVER.{server}.KICK", json.dumps({"cid": cid}).encode(), timeout=5)
    assert "error" not in json.loads(answer.data), answer.data
