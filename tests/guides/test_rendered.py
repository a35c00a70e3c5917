"""What the documents print for others to read: values for our chart, manifests, server configurations."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import Cluster
from tests.fakes.nats_world import NatsServer
from tests.guides.blocks import ROOT, Block, blocks, documents
from tools import build

CHART = ROOT / "helm" / "nats-k8s-oidc-callout"
SERVERS = ("nats-server-2.11", "nats-server-2.15")


def of_kind(kind: str) -> list[pytest.ParameterSet]:
    found = [block for path in documents() for block in blocks(path) if block.kind == kind]
    return [pytest.param(block, id=block.place) for block in found]


def program(name: str) -> Path:
    there = build.path(name)
    if there is None:
        pytest.skip(f"{name} is not built (make tools)")
    return there


@pytest.mark.parametrize("block", of_kind("values"))
def test_values_render(block: Block) -> None:
    """Values that a document prints are values of our chart, and it renders with them."""
    done = subprocess.run(
        [program("helm"), "template", "nats-k8s-oidc-callout", CHART, "--set=nats.account=AUTH_ACCOUNT", "--values=-"],
        check=False,
        input=block.text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    assert 0 == done.returncode, done.stdout
    assert [one for one in yaml.safe_load_all(done.stdout) if one]


@pytest.mark.cluster
@pytest.mark.parametrize("block", of_kind("manifest"))
def test_manifests_are_accepted(block: Block, cluster: Cluster) -> None:
    """A manifest that a document prints is one that the API server accepts, each field known."""
    for one in yaml.safe_load_all(block.text):
        cluster.create_namespace(one["metadata"].get("namespace", "default"))

    cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=block.text)


@pytest.mark.parametrize("binary", SERVERS)
@pytest.mark.parametrize("block", of_kind("server"))
def test_servers_start(block: Block, binary: str) -> None:
    """A server configuration that a document prints starts a server of either end of what we support."""
    with NatsServer(block.text, binary=str(program(binary))) as server:
        assert server.monitor("varz")["auth_required"]
