"""docs/CLIENT_USAGE.md: its commands are run against a real API server, its annotations let a pull loop work."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from nats.js.api import StreamConfig

from tests.clients import builds
from tests.clients.workloads import NAMESPACE, TokenFolder, Workload
from tests.clients.world import kick, plan, stranger
from tests.e2e.cluster import Cluster
from tests.e2e.kubernetes_world import world_in
from tests.e2e.worlds import World, world_of
from tests.fakes.nats_world import until
from tests.guides.blocks import blocks
from tests.guides.walk import Machine, Walk
from tools import build

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

WALKED = ("docs/CLIENT_USAGE.md",)
USAGE = builds.ROOT / WALKED[0]


def test_every_command_does_what_is_printed(cluster: Cluster, tmp_path: Path) -> None:
    """
    A reader with kubectl and the nats CLI goes through the page, from the ServiceAccount to a refused publish.
    """
    tools = [build.path(name) for name in ("kubectl", "nats")]
    if None in tools:
        pytest.skip("kubectl or the nats CLI is not built (make tools)")
    (tmp_path / "world").mkdir()
    with world_in(cluster, tmp_path / "world", INBOX_MODE="private") as world:
        machine = Machine(
            {
                "PATH": ":".join([*(str(tool.parent) for tool in tools if tool), os.environ["PATH"]]),
                "HOME": str(tmp_path),
                "KUBECONFIG": str(cluster.kubeconfig),
                "NATS_URL": world.server.url,
            }
        )
        with Walk(USAGE, machine, tmp_path / "walk") as walk:
            walk.run()

            assert [block.kind for block in walk.ran] == ["run"] * len(walk.ran)
            assert len(walk.ran) == sum(block.kind == "run" for block in blocks(USAGE))


def annotations(name: str) -> dict[str, str]:
    """Return the annotations of a ServiceAccount that the page prints."""
    manifests: list[dict[str, Any]] = [yaml.safe_load(b.text) for b in blocks(USAGE) if b.language == "yaml"]
    found: dict[str, str] = next(one["metadata"] for one in manifests if one["metadata"]["name"] == name)["annotations"]
    return found


@pytest.fixture
def world() -> Iterator[World]:
    with world_of(plan) as running:
        running.start_responder(SESSION_MAX_SECONDS="600")
        yield running


async def test_annotations_are_all_that_a_pull_consumer_needs(world: World, tmp_path: Path) -> None:
    """
    With the entries of the page, no more, the loop of the page creates its consumer and pulls, before and after a kick.
    """
    world.accounts.write(NAMESPACE, "packer", annotations("packer"), uid="uid")
    tokens = TokenFolder(tmp_path / "tokens")
    tokens.write(world.token(NAMESPACE, "packer", uid="uid"))
    observer, system = await stranger(world, "observer"), await stranger(world, "system")
    orders = observer.jetstream()
    await orders.add_stream(StreamConfig(name="ORDERS", subjects=["shop.orders.*"]))
    script = Path(builds.command("python")[1]).with_name("pull.py")
    with Workload("packer", [builds.command("python")[0], str(script)], world.client_url, tokens) as packer:
        await orders.publish("shop.orders.1", b"one")
        await until(lambda: "order one\n" in packer.log(), 10, packer.log())
        cid = next(one["cid"] for one in world.server.connz() if one.get("name") == "shop/packer")
        await kick(system, str(world.server.monitor("varz")["server_id"]), cid)
        await orders.publish("shop.orders.2", b"two")
        await until(lambda: "order two\n" in packer.log(), 10)
        ended = packer.log()
    state = await orders.consumer_info("ORDERS", "packer")
    await observer.close()
    await system.close()

    assert "the session ended" in ended
    assert (0, 0) == (state.num_pending, state.num_ack_pending)
