"""A server configuration of a guide, as three servers on this machine: what only a cluster has is put in its place."""

import json
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.plans import Plan
from tests.e2e.worlds import World
from tests.fakes.nats_world import NatsServer, free_port
from tools import build

NODES = 3
ROUTE_PORT = 6222
_ROUTE = re.compile(rf"nats://nats-(\d)(?:\.nats-headless)?:{ROUTE_PORT}")
_CLUSTER = f'cluster {{ name: nats, port: {ROUTE_PORT}, routes: [ "nats://nats-0:6222", "nats://nats-1:6222", "nats://nats-2:6222" ] }}'
JETSTREAM_CLUSTER = f'server_name: $SERVER_NAME\njetstream {{ store_dir: "/data", max_memory_store: 0 }}\n{_CLUSTER}\n'
"""What makes a configuration for one node one of three with JetStream."""


def texts(configuration: str, included: Path | None = None, count: int = NODES) -> list[str]:
    """Return the configuration of each node, with ports and folders of this machine; `@DIR@` is the server's own.

    `included` is a folder that stands for the mounted Secret, and lies beside the servers' folders.
    """
    ports = [free_port() for _ in range(count)]
    found = []
    for number, port in enumerate(ports):
        text = configuration.replace("$SERVER_NAME", f"nats-{number}")
        text = _ROUTE.sub(lambda match: f"nats://127.0.0.1:{ports[int(match[1])]}", text)
        text = re.sub(rf'("?port"?: ){ROUTE_PORT}', rf'\g<1>{port}, "host": "127.0.0.1"', text)
        text = text.replace('"/data', '"@DIR@/data').replace("/var/run/nats/", "@DIR@/")
        if included is not None:
            text = text.replace("include ../nats-operator/", f"include ../{included.name}/")
        found.append(text)
    return found


def plan(servers: Sequence[str], target: str, variables: Mapping[str, str]) -> Plan:
    """Return a world's plan: these servers, the account that clients are to land in, the responder's variables."""
    return Plan(servers, target, {}, {**variables, "NATS_ACCOUNT": target})


def meta_leader(servers: Sequence[NatsServer], seconds: float = 20) -> str:
    """Return the name of the server that leads JetStream, once all agree on one; fail when they do not in time."""
    deadline = time.monotonic() + seconds
    while True:
        seen = [server.monitor("jsz").get("meta_cluster", {}) for server in servers]
        leaders = {one.get("leader", "") for one in seen}
        if len(leaders) == 1 and leaders != {""} and {one.get("cluster_size") for one in seen} == {len(servers)}:
            return str(leaders.pop())
        assert time.monotonic() < deadline, f"JetStream elected nobody: {seen}\n{servers[0].log()[-2000:]}"
        time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class System:
    """The nats CLI as a user of the system account, who looks at one account's sessions."""

    url: str
    login: Sequence[str]
    account: str

    def _ask(self, *arguments: str) -> str:
        program = build.path("nats")
        assert program is not None
        command = [str(program), f"--server={self.url}", *self.login, "server", *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )
        assert (0, "") == (done.returncode, done.stderr), done
        return done.stdout

    def _sessions(self) -> list[dict[str, Any]]:
        asked = ("request", "connections", f"--filter-account={self.account}", "--limit=1000000")
        answers = [json.loads(line) for line in self._ask(*asked).splitlines()]
        assert NODES == len(answers), answers
        return [
            {**one, "server": answer["server"]["id"]}
            for answer in answers
            for one in answer["data"]["connections"] or []
        ]

    def reads(self, subject: str) -> str:
        """Return what a request brings to this login; empty if it is not permitted."""
        program = build.path("nats")
        assert program is not None
        command = [str(program), f"--server={self.url}", "--timeout=1s", *self.login, "request", "--raw", subject, ""]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )
        return done.stdout

    def users(self) -> list[str]:
        """Return whose sessions there are."""
        return [str(one["authorized_user"]) for one in self._sessions()]

    def kick(self) -> list[str]:
        """End every session; return whose they were."""
        found = self._sessions()
        for one in found:
            assert "error" not in json.loads(self._ask("request", "kick", str(one["cid"]), one["server"]))
        return [str(one["authorized_user"]) for one in found]


def landed(world: World, server: NatsServer, connection: str) -> str:
    """Return the account of the live connection of this name."""
    return str(next(shown["account"] for shown in server.connz() if shown.get("name") == connection))
