"""The nats CLI as a workload: one publish, and one request over the private inbox."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import builds
from tests.clients.workloads import NAMESPACE, TokenFolder, Workload
from tests.clients.world import plan
from tests.e2e.worlds import World, world_of
from tests.fakes.nats_world import until
from tools import build

pytestmark = [pytest.mark.e2e, pytest.mark.go]


@pytest.fixture
def world() -> Iterator[World]:
    with world_of(plan) as running:
        running.accounts.write(NAMESPACE, "python", uid="uid")
        running.start_responder(SESSION_MAX_SECONDS="600")
        yield running


async def test_cli_publishes_and_asks(world: World, tmp_path: Path) -> None:
    """
    The script logs in by its token file alone, and gets its answer where no shared inbox is permitted.
    """
    nats = build.path("nats")
    if nats is None:
        pytest.skip("the nats CLI is not built (make tools)")
    tokens = TokenFolder(tmp_path / "tokens")
    token = world.token(NAMESPACE, "python", uid="uid")
    tokens.write(token)
    with Workload("python", builds.command("python"), world.client_url, tokens) as answering:
        await until(lambda: answering.echoes)
        done = await asyncio.to_thread(
            subprocess.run,
            [builds.EXAMPLES / "cli" / "hello.sh"],
            env={
                "PATH": f"{nats.parent}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "NATS_URL": world.client_url,
                "TOKEN_FILE": str(tokens.file),
                "NAMESPACE": NAMESPACE,
                "SERVICE_ACCOUNT": "python",
            },
            check=False,
            timeout=30,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    assert done.returncode == 0, done.stdout
    assert 'Published 1 bytes to "shop.numbers.python"' in done.stdout
    assert done.stdout.rstrip().endswith("hello")
    assert token not in done.stdout
