"""README and TRY_IT are run as they are printed, against a real API server, and their outputs are compared."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guides.blocks import ROOT
from tests.guides.substitutions import variables
from tests.guides.walk import Walk
from tests.node.node import Node, why_not
from tools import build

pytestmark = pytest.mark.slow

WALKED = ("README.md", "docs/TRY_IT.md")
README, TRY_IT = (ROOT / name for name in WALKED)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A network of its own, so that the ports of the quick start are free, with an API server in it."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with Node(tmp_path / "node") as running:
        yield running


def test_quick_start(node: Node, tmp_path: Path) -> None:
    """
    Every command of README; then of TRY_IT, from a key to a client that is let in, `explain` and `doctor`.
    """
    folder = tmp_path / "checkout"
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    server = build.path("nats-server-2.15")
    assert server is not None
    (programs / "nats-server").symlink_to(server)
    ours = programs / "nats-k8s-oidc-callout"
    ours.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT}/src exec {variables()["GUIDES_PYTHON"]} -m nats_k8s_oidc_callout "$@"\n'
    )
    ours.chmod(0o755)
    (folder / "helm").symlink_to(ROOT / "helm")
    with Walk(README, node, folder) as walk:
        walk.run()
    with Walk(TRY_IT, node, folder / "try-it") as walk:
        walk.command(f"cd {folder}")
        walk.run()
        _, published = walk.command(
            "nats --server=nats://127.0.0.1:4222 --token=$TOKEN pub other-namespace.forbidden x"
        )
        walk.command("kill %1 %2")

    assert 'Permissions Violation for Publish to "other-namespace.forbidden"' in published
    shutil.rmtree(folder)
