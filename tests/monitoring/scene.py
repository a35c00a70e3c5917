"""A cluster, a NATS server with TLS, replicas of the real responder, clients good and bad, and Prometheus watching."""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.e2e.clients import connected
from tests.e2e.cluster import Cluster
from tests.e2e.responder import ResponderProcess
from tests.e2e.session_plans import one_node_over_tls
from tests.e2e.worlds import BINARIES, PUBLISH, World, world_of
from tests.fakes.issuer import Issuer, issuer_key
from tests.leaks import SECRETS
from tests.monitoring.prometheus import Prometheus

TEAMS = [("shop", "web"), ("shop", "orders"), ("billing", "invoices"), ("search", "indexer")]
# Replicas know clients by their address; a flood comes from an address of its own.
GOOD, BAD = "127.0.0.1", "127.0.0.2"


POLICY = """
version: 1
rules:
  - {name: shop, match: {namespaces: [shop]}, annotations: any}
  - {name: others, match: {namespaces: [billing, search]}, annotations: any}
"""


@dataclass
class Scene:
    """Everything that /metrics can tell about. Use it as a context manager; replicas are started by `deploy`."""

    folder: Path
    seconds: int = 1
    policy: str = POLICY
    variables: Mapping[str, str] = field(default_factory=dict)
    """What each replica gets besides."""
    replicas: dict[str, ResponderProcess] = field(default_factory=dict)
    """The running ones, by the name of the pod."""

    def __post_init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            (self.folder / "cluster").mkdir()
            self.cluster = stack.enter_context(Cluster(self.folder / "cluster"))
            self.world: World = stack.enter_context(world_of(one_node_over_tls, str(BINARIES["2.15"]() or "")))
            self.prometheus = stack.enter_context(Prometheus(self.seconds))
            self.cluster.apply_rbac()
            for namespace, name in TEAMS:
                # The second entry reaches further than a tenant may.
                self.cluster.create_service_account(namespace, name, {PUBLISH: f"{name}.events.>, >"})
            # The keys come by way of an endpoint that can be taken away without taking the API server.
            self.world.keys.body = json.dumps(self.cluster.request("GET", "/openid/v1/jwks")[1]).encode()
            self.world.keys.up()
            (self.folder / "policy.yaml").write_text(self.policy)
            self.strangers = Issuer(self.cluster.issuer, [issuer_key()])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def deploy(self, *pods: str, token: str = "") -> None:
        """Run exactly these replicas: start the new ones, wait for them, end the old ones, and scrape what is there.

        `token` is what the new ones test themselves with, else their own.
        """
        for pod in pods:
            if pod not in self.replicas:
                replica = self._stack.enter_context(ResponderProcess(self._environment(pod, token), name=pod))
                self.replicas[pod] = replica.wait_ready()
        self._scrape()
        for pod in set(self.replicas) - set(pods):
            self.replicas.pop(pod).stop()
        self._scrape()

    def _scrape(self) -> None:
        self.prometheus.scrape({pod: replica.port for pod, replica in self.replicas.items()})

    def _environment(self, pod: str, token: str) -> dict[str, str]:
        cluster = self.cluster
        mounted = cluster.credentials_dir(cluster.namespace, cluster.service_account)
        SECRETS.register("token", (mounted / "token").read_text())
        own = self.folder / f"{pod}.token"
        own.write_text(token or self.own_token(cluster.namespace, cluster.service_account))
        return {
            **cluster.environment,
            **self.world.plan.variables,
            "NATS_URL": f"nats://127.0.0.1:{self.world.server.port}",
            "K8S_CREDENTIALS_DIR": str(mounted),
            "JWKS_URL": self.world.keys.url,
            "JWT_ISSUER": cluster.issuer,
            "SELF_TEST_TOKEN_FILE": str(own),
            "POLICY_FILE": str(self.folder / "policy.yaml"),
            "SESSION_CONTROL": "on",
            # So few that a scrape sees who waits.
            "SESSION_KICKS_PER_SECOND": "5",
            **self.variables,
        }

    # Tokens

    def own_token(self, namespace: str, name: str) -> str:
        return SECRETS.register("token", self.cluster.token(namespace, name))

    def good(self, number: int = 0) -> str:
        """Return the token of one of the TEAMS."""
        return self.own_token(*TEAMS[number % len(TEAMS)])

    def expired(self) -> str:
        now = int(time.time())
        claims = self.cluster.claims("shop", "web", exp=now - 60, iat=now - 3660, nbf=now - 3660)
        return SECRETS.register("token", self.cluster.sign_token(claims))

    def other_audience(self) -> str:
        return SECRETS.register("token", self.cluster.sign_token(self.cluster.claims("shop", "web", aud=["vault"])))

    def forged(self) -> str:
        """Return a token that names a key which nobody has."""
        now = time.time()
        return SECRETS.register("token", self.strangers.token(namespace="shop", name="web", uid="u", now=now))

    # Clients

    async def log_in(self, token: str, host: str = GOOD) -> bool:
        """Say whether a client from `host` is let in, and leave."""
        try:
            async with asyncio.timeout(5):
                return await self._log_in(token, host)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    async def _log_in(self, token: str, host: str) -> bool:
        port = self.world.server.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0), limit=1 << 16)
        try:
            await reader.readline()
            await writer.start_tls(self._tls, server_hostname="127.0.0.1")
            options = {"verbose": False, "pedantic": False, "protocol": 1, "lang": "scene", "version": "0"}
            writer.write(b"CONNECT " + json.dumps({**options, "auth_token": token}).encode() + b"\r\nPING\r\n")
            while (said := await reader.readline()).startswith((b"INFO", b"PING")):
                pass
            return said == b"PONG\r\n"
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def delete_one_with_sessions(self, count: int = 30) -> None:
        """Delete a ServiceAccount, and return when all of its sessions have ended."""
        self.cluster.create_service_account("search", "leaver")
        async with contextlib.AsyncExitStack() as stack:
            token = self.own_token("search", "leaver")
            sessions = [await stack.enter_async_context(connected(self.world, auth_token=token)) for _ in range(count)]
            assert all(one.let_in for one in sessions)
            self.cluster.delete_service_account("search", "leaver")
            assert not any(await asyncio.gather(*(one.line(seconds=20) for one in sessions)))

    @property
    def _tls(self) -> ssl.SSLContext:
        assert self.world.tls is not None
        return self.world.tls
