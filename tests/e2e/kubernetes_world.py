"""A NATS server and a responder in a real cluster, with the ServiceAccount, the token and the rights of the chart."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nats

from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.e2e.cluster import Cluster
from tests.e2e.responder import ResponderProcess
from tests.fakes import nats_modes
from tests.fakes.nats_world import NatsServer
from tests.fakes.stalls import awake
from tests.leaks import SECRETS

# Each wait ends as soon as it may; a shared machine needs room.
CATCH_UP_SECONDS = 10.0


class World:
    """A cluster, a NATS server and a responder in it."""

    def __init__(self, cluster: Cluster, server: NatsServer, env: dict[str, str]) -> None:
        self.cluster = cluster
        self.server = server
        self.env = env
        self.responder = ResponderProcess(env, name="kubernetes")

    def token(self, namespace: str, name: str, **options: object) -> str:
        return SECRETS.register("token", self.cluster.token(namespace, name, **options))  # type: ignore[arg-type]  # as token()

    def signed(self, namespace: str, name: str, **claims: object) -> str:
        """Return a token over changed claims, signed by the cluster's own key."""
        return SECRETS.register("token", self.cluster.sign_token(self.cluster.claims(namespace, name, **claims)))

    async def let_in(self, token: str) -> bool:
        """Say whether a client with this token is let in; a bare socket, since nats-py leaks its own when refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=1 << 16)
        await reader.readline()
        options = {"verbose": False, "pedantic": False, "protocol": 1, "lang": "test", "version": "0"}
        writer.write(b"CONNECT " + json.dumps({**options, "auth_token": token}).encode() + b"\r\nPING\r\n")
        said = await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert said in (b"PONG\r\n", b"-ERR 'Authorization Violation'\r\n"), said
        return said == b"PONG\r\n"

    async def refused(self, token: str) -> tuple[str, float]:
        """Return the reason that the responder counted for this token, and how long the client waited."""
        before = self.responder.metrics()
        began = time.monotonic()
        assert not await self.let_in(token)
        took = time.monotonic() - began
        after = self.responder.metrics()
        denials = {name: value - before[name] for name, value in after.items() if name.startswith("nats_auth_denials")}
        reasons = [re.sub(r'.*reason="(\w+)".*', r"\1", name) for name, more in denials.items() if more]
        return " ".join(reasons), took

    async def may_publish(self, token: str, subject: str) -> bool:
        """Say whether a client with this token may publish there, by the server's word."""
        problems: list[str] = []

        async def complain(error: Exception) -> None:
            problems.append(str(error).lower())

        client = await nats.connect(
            self.server.url, token=token, allow_reconnect=False, connect_timeout=3, error_cb=complain
        )
        await client.publish(subject, b"")
        # nats-py's PING overtakes what still waits to be written, so only the second one comes after it.
        await client.flush()
        await client.flush()
        await asyncio.sleep(0.05)
        await client.close()
        return not any("permissions violation" in problem for problem in problems)


def prepare(cluster: Cluster, folder: Path) -> tuple[str, dict[str, str]]:
    """Return a server's configuration and a responder's variables, but for NATS_URL: one seed runs everything."""
    cluster.apply_rbac()
    responder = nats_modes.Pair.new(Kind.USER)
    mode = nats_modes.config_mode(responder=responder, issuer=responder.in_form(Kind.ACCOUNT), max_control_line=65536)
    seed = folder / "seed"
    seed.write_text(SECRETS.register("seed", responder.seed))
    mounted = cluster.credentials_dir(cluster.namespace, cluster.service_account)
    SECRETS.register("token", (mounted / "token").read_text())
    return mode.text, {
        **cluster.environment,
        "K8S_CREDENTIALS_DIR": str(mounted),
        # The chart leaves this at its default, a name that only a cluster's DNS knows.
        "JWKS_URL": f"{cluster.url}/openid/v1/jwks",
        "NATS_ACCOUNT": "APP",
        "NATS_AUTH_ACCOUNT": "AUTH",
        "NATS_CREDS_FILE": str(seed),
    }


@contextmanager
def world_in(cluster: Cluster, folder: Path, **variables: str) -> Iterator[World]:
    """Run a server and a ready responder; `variables` go over the usual ones."""
    text, env = prepare(cluster, folder)
    with NatsServer(text) as server:
        whole = World(cluster, server, {**env, "NATS_URL": server.url, **variables})
        with whole.responder as running:
            running.wait_ready()
            yield whole


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = CATCH_UP_SECONDS) -> None:
    """Fail unless it holds within the time, in which this machine did not stand still."""
    deadline = awake() + seconds
    while not await holds():
        assert awake() < deadline, "it never came true"
        await asyncio.sleep(0.1)
