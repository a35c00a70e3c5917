"""The server configurations that OPERATOR_SETUP.md and `keys` make are started: three nodes, JetStream, both servers."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.clients import ask, connected
from tests.e2e.worlds import BINARIES, World
from tests.guides import nats_chart, nats_nodes
from tests.guides.conftest import Reader

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def values(name: str) -> Callable[[Path], str]:
    return lambda folder: nats_chart.server_configuration(yaml.safe_load((folder / name).read_text()))


def server(name: str, more: str = "") -> Callable[[Path], str]:
    return lambda folder: (folder / name).read_text() + more


CONFIGURATIONS = {
    "config mode, chart": ("config", values("config-nats-values.yaml")),
    "config mode, server": ("config", server("config-nats-server.conf")),
    "config mode, as keys prints it": ("config", server("keys.txt", nats_nodes.JETSTREAM_CLUSTER)),
    "operator mode, full resolver, chart": ("operator", values("nats-values.yaml")),
    "operator mode, memory resolver, chart": ("operator", values("nats-memory-values.yaml")),
    "operator mode, nsc's file, chart": ("operator", values("nats-include-values.yaml")),
    "operator mode, server": ("operator", server("nats-server.conf")),
}


ON_THE_OLDEST = ("config mode, chart", "config mode, as keys prints it", "operator mode, full resolver, chart")
TRIED = [("2.15", name) for name in CONFIGURATIONS] + [("2.11", name) for name in ON_THE_OLDEST]


@pytest.mark.parametrize(("binary", "name"), TRIED)
async def test_three_nodes_let_a_client_with_a_token_in(name: str, binary: str, reader: Reader, tmp_path: Path) -> None:
    """
    The cluster forms, JetStream has a leader, and a token gets a client into AUTH_ACCOUNT through every node.

    The user of SYS that the guide makes lists that session and ends it, through another node (docs/INCIDENTS.md).
    """
    mode, text = CONFIGURATIONS[name]
    path = BINARIES[binary]()
    if path is None:
        pytest.skip(f"nats-server {binary} is not built (make tools)")
    target = "AUTH_ACCOUNT" if mode == "config" else reader.target
    servers = nats_nodes.texts(text(reader.folder), included=reader.folder)
    plan = nats_nodes.plan(servers, target, reader.variables(mode))
    seen, ended = [], []
    login = ("--nkey", str(reader.folder / "system.seed"))
    if mode == "operator":
        login = ("--creds", str(reader.folder / "system.creds"))
    with World("guide", plan, tmp_path, str(path)) as world:
        world.start_responder()
        leader = nats_nodes.meta_leader(world.servers)
        for number, node in enumerate(world.servers):
            async with connected(world, node.url, auth_token=world.token(), name=f"client-{number}") as client:
                seen.append((client.said, nats_nodes.landed(world, node, f"client-{number}")))
                beside = nats_nodes.System(world.servers[number - 1].url, login, target)
                ended.append([*await asyncio.to_thread(beside.kick), *await asyncio.to_thread(beside.users)])
        system = nats_nodes.System(world.servers[0].url, login, target)
        reads = [await asyncio.to_thread(system.reads, f"$SYS.REQ.SERVER.PING{what}") for what in ("", ".VARZ")]
        refused = [(await ask(world, node.url)).said for node in world.servers]

    assert [("PONG", target)] * 3 == seen
    assert [True, False] == [bool(read) for read in reads]
    assert [["system:serviceaccount:team-a:orders"]] * 3 == ended
    assert ["-ERR 'Authorization Violation'"] * 3 == refused
    assert leader in {"nats-0", "nats-1", "nats-2"}
