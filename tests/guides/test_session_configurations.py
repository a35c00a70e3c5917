"""What OPERATOR_SETUP.md and `keys` print for sessions is all that a responder needs, and lets it do no more."""

import asyncio
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e.clients import connected
from tests.e2e.worlds import BINARIES, World
from tests.fakes.nats_world import free_port, until
from tests.guides import nats_chart, nats_nodes
from tests.guides.conftest import Reader
from tools import build

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

CONNZ, KICK, EVENTS = 0, 1, 2
BY_IMPORTS = ("nko.connz.{}", "nko.kick.{}", "nko.ev.{}.CONNECT nko.ev.{}.DISCONNECT")
BY_LOGIN = (
    "$SYS.REQ.ACCOUNT.{}.CONNZ",
    "$SYS.REQ.SERVER.{}.KICK",
    "$SYS.ACCOUNT.{}.CONNECT $SYS.ACCOUNT.{}.DISCONNECT",
)


def config(name: str) -> str:
    return nats_chart.server_configuration(yaml.safe_load(name))


def operator(folder: Path) -> str:
    """The file that nsc writes, with the sentinel of the values."""
    sentinel = yaml.safe_load((folder / "nats-values.yaml").read_text())["config"]["merge"]["default_sentinel"]
    resolver = (folder / "sessions-resolver.conf").read_text()
    more = f"default_sentinel: {sentinel}\nauthorization {{ timeout: 1.5 }}\nport: 4222\nhttp_port: 8222\n"
    return resolver + more + nats_nodes.JETSTREAM_CLUSTER


WAYS = {
    "config, imports, chart": (BY_IMPORTS, "config", "auth-service.seed", "sessions-values.yaml"),
    "config, imports, server": (BY_IMPORTS, "config", "auth-service.seed", "sessions.conf"),
    "config, login, chart": (BY_LOGIN, "config", "sessions.seed", "login-values.yaml"),
    "operator, imports": (BY_IMPORTS, "operator", "auth-service.creds", ""),
    "operator, login": (BY_LOGIN, "operator", "sessions.creds", ""),
}

ON_THE_OLDEST = ("config, imports, chart", "operator, imports")
TRIED = [("2.15", name) for name in WAYS] + [("2.11", name) for name in ON_THE_OLDEST]


def text(folder: Path, name: str) -> str:
    if not name:
        return operator(folder)
    said = (folder / name).read_text()
    return config(said) if name.endswith(".yaml") else said + nats_nodes.JETSTREAM_CLUSTER


@dataclass(frozen=True, slots=True)
class Login:
    """The nats CLI with one of the responder's logins."""

    url: str
    file: Path

    def _command(self, *arguments: str) -> list[str]:
        how = "--nkey" if self.file.suffix == ".seed" else "--creds"
        more = ("--timeout=1s", "--inbox-prefix=_INBOX_sess.one")
        return [str(build.path("nats")), f"--server={self.url}", f"{how}={self.file}", *more, *arguments]

    def ask(self, subject: str, body: object, answers: int = 1) -> list[dict[str, object]]:
        """Return what comes back; empty if nobody answers, or the server does not permit it."""
        done = subprocess.run(
            self._command("request", "--raw", f"--replies={answers}", subject, json.dumps(body)),
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    async def hear(self, subjects: str, count: int) -> "asyncio.Task[list[dict[str, object]]]":
        """Return what comes on subjects, once it listens."""
        process = await asyncio.create_subprocess_exec(
            *self._command("sub", *subjects.split(), "--raw", f"--count={count}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await asyncio.sleep(0.7)

        async def lines() -> list[dict[str, object]]:
            try:
                said, _ = await asyncio.wait_for(process.communicate(), 15)
            finally:
                if process.returncode is None:
                    process.kill()
            return [json.loads(line) for line in said.splitlines() if line.startswith(b"{")]

        return asyncio.create_task(lines())


def ids(answers: Sequence[dict[str, object]]) -> set[str]:
    return {str(one["server"]["id"]) for one in answers}  # type: ignore[index]


@pytest.mark.parametrize(("binary", "name"), TRIED)
async def test_what_is_printed_lets_the_responder_list_hear_and_kick(
    name: str, binary: str, reader: Reader, tmp_path: Path
) -> None:
    """
    Three nodes tell of a session in AUTH_ACCOUNT, one ends it, and all hear of both; nothing else of SYS is to be had.

    A responder with session control finds that nothing is missing.
    """
    subjects, mode, login, file = WAYS[name]
    path = BINARIES[binary]()
    assert path is not None, f"nats-server {binary} is not built (make tools)"
    target = "AUTH_ACCOUNT" if mode == "config" else reader.target
    servers = nats_nodes.texts(text(reader.folder, file), included=reader.folder)
    control = {"SESSION_CONTROL": "on", "SESSION_RELEASE": "ours", "PORT": str(free_port())}
    if subjects is BY_LOGIN:
        control["NATS_SYSTEM_CREDS_FILE"] = str(reader.folder / login)
    plan = nats_nodes.plan(servers, target, reader.variables(mode) | control)
    with World("sessions", plan, tmp_path, str(path)) as world:
        world.start_responder()
        side = Login(world.servers[0].url, reader.folder / login)
        heard = await side.hear(subjects[EVENTS].format(target, target), 2)
        async with connected(world, world.servers[1].url, auth_token=world.token()) as client:
            listed = await asyncio.to_thread(side.ask, subjects[CONNZ].format(target), {"auth": True}, 3)
            row = next((one, row) for one in listed for row in one["data"]["connections"] or [])  # type: ignore[index]
            node, cid = row[0]["server"]["id"], row[1]["cid"]  # type: ignore[index]
            kick = subjects[KICK].format(node)
            nobody = await asyncio.to_thread(side.ask, kick, {"cid": 0})
            done = await asyncio.to_thread(side.ask, kick, {"cid": cid})
            gone = not await client.line()
        events = await heard
        others = ("$SYS.REQ.SERVER.PING.VARZ", f"$SYS.REQ.SERVER.{node}.RELOAD", "$SYS.REQ.SERVER.PING.CONNZ")
        running = world.responders[-1]
        await until(lambda: running.metrics()["nats_auth_session_control_ready"] == 1)
        refused = await asyncio.gather(*(asyncio.to_thread(side.ask, subject, {}) for subject in others))

    assert ("PONG", True, 3) == (client.said, gone, len(ids(listed)))
    assert (500, None) == (nobody[0]["error"]["code"], done[0].get("error"))  # type: ignore[index]
    assert ["connect", "disconnect"] == [str(one["type"]).rpartition("_")[2] for one in events]
    assert ids(events) == {node}
    assert [[], [], []] == [*refused]
    assert [] == running.events("session control lacks permissions")
