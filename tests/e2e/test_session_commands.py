"""sessions, and its kick, hold and resume, on three real nodes: both modes, and both ways to the system account."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.e2e.clients import logged_in
from tests.e2e.session_plans import session_plan
from tests.e2e.worlds import BINARIES, World, world_of
from tests.fakes.nats_world import free_port, until

pytestmark = pytest.mark.e2e

POLICY = """\
version: 1
rules:
  - {name: others, match: {namespaces: [team-b]}, account: OTHER}
  - {name: rest, match: {}}
"""


async def run(world: World, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """Run a command with the responder's own variables, beside it; return the JSON lines that it printed."""
    env = {**world.responder.env, "LOG_LEVEL": "info"}
    command = [sys.executable, "-m", "nats_k8s_oidc_callout", "sessions", *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, **env}, capture_output=True, text=True, timeout=30, check=False
    )
    assert (code, "") == (done.returncode, done.stderr if code != 2 else ""), done.stdout + done.stderr
    return (
        list(map(json.loads, done.stdout.splitlines()))
        if "--json" in arguments
        else [{"text": done.stdout + done.stderr}]
    )


@pytest.mark.parametrize(("mode", "way"), [("config", "imports"), ("operator", "login")])
async def test_the_commands(mode: str, way: str) -> None:
    """
    All sessions of all accounts and nodes are listed without a label's help, and one workload's are kicked and no other's.
    """
    binary = BINARIES["2.11" if way == "login" else "2.15"]()
    assert binary, "nats-server is not built (make tools)"
    with world_of(session_plan(mode, way), str(binary)) as world:
        (world.folder / "policy.yaml").write_text(POLICY)
        world.start_responder(
            PORT=str(free_port()),
            POLICY_FILE=str(world.folder / "policy.yaml"),
            SESSION_CONTROL="on",
            SESSION_RELEASE="ours",
        )
        async with AsyncExitStack() as stack:
            logins = [
                await stack.enter_async_context(logged_in(world, world.token(*who), f"{'.'.join(who)} {number}"))
                for who in (("team-a", "orders"), ("team-a", "worker"), ("team-b", "web"))
                for number in range(2)
            ]
            *listed, last = await run(world, "--json")
            world.accounts.write("team-a", "worker", uid="another")
            told = (await run(world, "team-a/worker"))[0]["text"]
            await run(world, "kick", "team-a/orders", "--json")
            await until(lambda: all(login.client.is_closed for login in logins[:2]))
            left = await run(world, "--json")
            await run(world, "team-a/orders", code=1)

    assert ["team-a/orders"] * 2 + ["team-a/worker"] * 2 + ["team-b/web"] * 2 == [one["workload"] for one in listed]
    assert [world.plan.target] * 4 + ["OTHER"] * 2 == [one["account"] for one in listed]
    assert {(True, "live", "python3")} == {(one["grant_current"], one["state"], one["lang"]) for one in listed}
    summary = last["summary"]
    assert (3, [], {}) == (len(summary["servers"]), summary["servers_silent"], summary["accounts_not_asked"])
    assert 2 == told.count("recreated")
    assert 4 == left[-1]["summary"]["sessions"]
    assert [] == [problem for login in logins[2:] for problem in login.problems]
