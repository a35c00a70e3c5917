"""Everything the story needs, in one temporary folder: server, issuer, manifests, and the real responder."""

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import yaml

from nats_k8s_oidc_callout import settings
from nats_k8s_oidc_callout.adapters import telemetry
from nats_k8s_oidc_callout.adapters.nats.system import System
from nats_k8s_oidc_callout.app import App
from nats_k8s_oidc_callout.app.sessions.by_hand import kick_all, ours
from nats_k8s_oidc_callout.app.sessions.connecting import connect
from nats_k8s_oidc_callout.app.sessions.listing import Found, Question, ask
from nats_k8s_oidc_callout.app.sessions.today import take_census
from nats_k8s_oidc_callout.core.nats import natsjwt, nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.sessions.label import plain
from nats_k8s_oidc_callout.demo.issuer import Issuer

START_SECONDS = 15.0
_STEP_SECONDS = 0.02

_SERVER = """\
server_name: demo
# -1 is a free port; it says which in a file.
listen: 127.0.0.1:-1
http: 127.0.0.1:-1
ports_file_dir: "{folder}"
accounts {{
  AUTH {{
    users: [ {{ nkey: {user},
               permissions: {{ publish: ["nko.connz.*", "nko.kick.*", "nko.control"],
                              subscribe: ["$SYS.REQ.USER.AUTH", "$SYS.ACCOUNT.CLIENT.AUTH.ERR", "nko.ev.>", "nko.control",
                                          "_INBOX_sess.>"],
                              allow_responses: {{ max: 1, expires: "5s" }} }} }} ]
    # To list live sessions, to hear when one begins and ends, and to end one.
    imports: [
      {{ service: {{ account: SYS, subject: "$SYS.REQ.ACCOUNT.*.CONNZ" }}, to: "nko.connz.*" }}
      {{ service: {{ account: SYS, subject: "$SYS.REQ.SERVER.*.KICK" }}, to: "nko.kick.*" }}
      {{ stream: {{ account: SYS, subject: "$SYS.ACCOUNT.*.CONNECT" }}, to: "nko.ev.*.CONNECT" }}
      {{ stream: {{ account: SYS, subject: "$SYS.ACCOUNT.*.DISCONNECT" }}, to: "nko.ev.*.DISCONNECT" }}
    ]
  }}
  APP {{}}
  PARTNERS {{}}
  SYS {{
    exports: [
      {{ service: "$SYS.REQ.ACCOUNT.*.CONNZ", response_type: stream, accounts: [AUTH] }}
      {{ service: "$SYS.REQ.SERVER.*.KICK", accounts: [AUTH] }}
      {{ stream: "$SYS.ACCOUNT.*.CONNECT", accounts: [AUTH] }}
      {{ stream: "$SYS.ACCOUNT.*.DISCONNECT", accounts: [AUTH] }}
    ]
  }}
}}
system_account: SYS
authorization {{
  timeout: 1.5
  auth_callout {{ issuer: {issuer}, account: AUTH, auth_users: [ {user} ] }}
}}
"""

_CREDS = """\
-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


# What the platform decides: who lands where, and how far annotations may go.
_POLICY = """\
version: 1
rules:
  - name: partners
    match: {namespaces: [acme]}
    account: PARTNERS
  - name: teams
    match: {}
    annotations:
      publish: ["audit.{namespace}.>", "billing.invoices"]
      subscribe: ["audit.>", "billing.>"]
"""


class Unavailable(Exception):
    """The demo cannot run here; the message says what is missing."""


def find_server() -> str:
    """Return the nats-server of the extra `demo`, or one on the PATH."""
    packaged = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(packaged) if packaged.exists() else shutil.which("nats-server")
    if found is None:
        raise Unavailable("no nats-server here; it comes with: pip install 'nats-k8s-oidc-callout[demo]'")
    return found


class World:
    """A cluster's worth of parts. Use it as an asynchronous context."""

    def __init__(self, log_level: str = "info") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nats-k8s-oidc-callout-demo-"))
        self.log_file = self.folder / "responder.log"
        self.issuer = Issuer()
        self.url = self.monitoring_url = ""
        """Where the server is, once it runs."""
        self._accounts = self.folder / "serviceaccounts"
        self._accounts.mkdir()
        self._log_level = log_level
        self._server: asyncio.subprocess.Process | None = None
        self._responder: asyncio.Task[None] | None = None
        self.app: App | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start_server(self._write_files())
            await self._start_responder()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    def write_account(self, namespace: str, name: str, uid: str, annotations: dict[str, str] | None = None) -> None:
        """Create or change a ServiceAccount, as `kubectl apply` would."""
        manifest = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"namespace": namespace, "name": name, "uid": uid, "annotations": annotations or {}},
        }
        (self._accounts / f"{namespace}.{name}.yaml").write_text(yaml.safe_dump(manifest))

    def delete_account(self, namespace: str, name: str) -> None:
        """Delete a ServiceAccount, as `kubectl delete` would."""
        (self._accounts / f"{namespace}.{name}.yaml").unlink()

    def write_token(self, namespace: str, name: str, uid: str, seconds: int = 3600) -> Path:
        """Write what the kubelet would mount, good for so long, and return where."""
        path = self.folder / f"{name}.token"
        # As the kubelet does: no line feed, which a client would have to strip.
        path.write_text(self.issuer.token(namespace, name, uid, seconds=seconds))
        path.chmod(0o600)
        return path

    def write_environment(self) -> Path:
        """Write the responder's own variables for a shell to read, so that other commands see what it sees."""
        path = self.folder / "responder.env"
        found = {**self._environment(), "PORT": str(self.app.port if self.app else 0)}
        path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in found.items()))
        return path

    def denials(self) -> dict[str, int]:
        """Return how many clients were turned away so far, by reason, from the responder's metrics as they are now."""
        text = self.app.metrics().decode() if self.app else ""
        prefix = 'nats_auth_denials_total{reason="'
        counted = (line.removeprefix(prefix).split('"} ') for line in text.splitlines() if line.startswith(prefix))
        return {reason: int(float(count)) for reason, count in counted}

    async def identity_of(self, connection: str) -> tuple[str, str]:
        """Return the user, without a label, and the account that the server shows for a connection of this name."""
        text = await self._get(f"{self.monitoring_url}/connz?auth=true&limit=1000")
        for shown in json.loads(text)["connections"]:
            if shown.get("name") == connection:
                # Behind the name stands what a responder must know of a live session.
                return plain(str(shown["authorized_user"])), str(shown["account"])
        return "", ""

    async def sessions_of(self, namespace: str, name: str) -> list[Found]:
        """Return the live sessions of a ServiceAccount, as the command `sessions` tells them."""
        async with connect(self._settings) as servers:
            return await self._found(servers, Question(namespace, name))

    async def kick(self, namespace: str, name: str) -> None:
        """End the live sessions of a ServiceAccount, as the command `sessions kick` does."""

        async def trouble() -> str:
            return "" if self.app and self.app.readiness.all_hold() else "the responder is not ready"

        async with connect(self._settings) as servers:
            targets = ours(await self._found(servers, Question(namespace, name)), any_release=False)
            await kick_all(servers, targets, self._settings.session_kicks_per_second, trouble, lambda *_: None)

    async def _found(self, servers: System, question: Question) -> list[Found]:
        census = await take_census(self._settings)
        return (await ask(servers, self._settings, census, question, time.time())).found

    async def _get(self, url: str) -> str:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.text()

    def _write_files(self) -> SigningKey:
        """Write every file of the deployment, and return the responder's user key."""
        account = SigningKey(Kind.ACCOUNT, os.urandom(32))
        raw = os.urandom(32)
        user = SigningKey(Kind.USER, raw)
        claims = {"iss": account.public, "sub": user.public, "nats": {"type": "user", "version": 2}}
        jwt = natsjwt.sign(json.dumps(claims).encode(), account).decode()
        creds = self.folder / "auth-service.creds"
        creds.write_text(_CREDS.format(jwt=jwt, seed=nkeys.encode_seed(Kind.USER, raw)))
        creds.chmod(0o600)
        (self.folder / "jwks.json").write_bytes(self.issuer.jwks())
        (self.folder / "policy.yaml").write_text(_POLICY)
        return user

    async def _start_server(self, user: SigningKey) -> None:
        conf = self.folder / "nats-server.conf"
        conf.write_text(
            _SERVER.format(
                folder=self.folder,
                user=user.public,
                issuer=user.in_form(Kind.ACCOUNT).public,
            )
        )
        with (self.folder / "nats-server.log").open("wb") as log:
            self._server = await asyncio.create_subprocess_exec(
                find_server(), "-c", str(conf), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        await self._until(self._server_told_its_ports, "nats-server did not start")

    async def _server_told_its_ports(self) -> bool:
        if self._server is not None and self._server.returncode is not None:
            raise Unavailable(f"nats-server ended: {(self.folder / 'nats-server.log').read_text()[-500:]}")
        for file in self.folder.glob("*.ports"):
            # The server writes it in place: half of it is not JSON yet.
            with contextlib.suppress(json.JSONDecodeError):
                told = json.loads(file.read_text())
                self.url, self.monitoring_url = told["nats"][0], told["monitoring"][0]
                return True
        return False

    def _environment(self) -> dict[str, str]:
        return {
            "NATS_URL": self.url,
            "NATS_ACCOUNT": "APP",
            "NATS_AUTH_ACCOUNT": "AUTH",
            "NATS_CREDS_FILE": str(self.folder / "auth-service.creds"),
            "JWKS_FILE": str(self.folder / "jwks.json"),
            "SERVICE_ACCOUNTS_DIR": str(self._accounts),
            "POLICY_FILE": str(self.folder / "policy.yaml"),
            "SESSION_CONTROL": "on",
            "SESSION_RELEASE": "demo",
            "HOST": "127.0.0.1",
            "PORT": "0",
            "LOG_LEVEL": self._log_level,
        }

    async def _start_responder(self) -> None:
        self._settings = settings.load(self._environment())
        self._log = self.log_file.open("wb", buffering=0)
        self._logs = telemetry.configure(self._log_level, "json", self._log)
        self.app = App(self._settings, self._logs)
        self._responder = asyncio.create_task(self.app.run(), name="responder of the demo")
        await self._until(self._responder_ready, "the responder did not become ready")

    async def _responder_ready(self) -> bool:
        if self._responder is not None and self._responder.done():
            self._responder.result()
        return self.app is not None and self.app.readiness.all_hold()

    async def _until(self, reached: Callable[[], Awaitable[bool]], failure: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not await reached():
            if time.monotonic() > deadline:
                raise Unavailable(f"{failure} within {START_SECONDS:.0f} s; see {self.folder}")
            await asyncio.sleep(_STEP_SECONDS)

    async def _end(self) -> None:
        if self.app is not None and self._responder is not None:
            self.app.stop()
            await asyncio.gather(self._responder, return_exceptions=True)
            self._logs.close()
            self._log.close()
        if self._server is not None and self._server.returncode is None:
            self._server.terminate()
            await self._server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
