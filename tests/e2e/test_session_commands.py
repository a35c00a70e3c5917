"""sessions, and its kick, hold and resume, on three real nodes, both modes and ways: also as docs/INCIDENTS.md says them."""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nats_k8s_oidc_callout.cli import main
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
# The three commands of docs/INCIDENTS.md, as it says them: for one workload here, one there.
LOOK, KICK, HOLD = (
    line.replace("my-app/my-nats-client", "team-a/orders").split()
    for line in re.findall(
        r"^    nats-k8s-oidc-callout sessions(.*)$",
        (Path(__file__).parents[2] / "docs" / "INCIDENTS.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)


async def run(world: World, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """Run a command with the responder's own variables, beside it; return the JSON lines that it printed.

    Within this process, for the imports are most of what it costs: tests/e2e/test_demo.py runs them as an operator does.
    """
    env = {**world.responder.env, "LOG_LEVEL": "info"}
    ran = await asyncio.to_thread(CliRunner().invoke, main, ("sessions", *arguments), env=env)
    assert (code, "") == (ran.exit_code, ran.stderr if code != 2 else ""), ran.output
    return list(map(json.loads, ran.stdout.splitlines())) if "--json" in arguments else [{"text": ran.output}]


@pytest.mark.parametrize(("mode", "way", "binary"), [("config", "imports", "wheel"), ("operator", "login", "2.11")])
async def test_the_commands(mode: str, way: str, binary: str) -> None:
    """
    All accounts and nodes are listed, one workload's sessions are kicked and no other's; on hold nobody is ended.
    """
    with world_of(session_plan(mode, way), str(BINARIES[binary]())) as world:
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
            held = (await run(world, *HOLD))[0]["text"]
            looked = (await run(world, *LOOK))[0]["text"]
            world.accounts.write("team-a", "worker", uid="another")
            *listed, last = await run(world, "--json")
            refused = (await run(world, *KICK, code=2))[0]["text"]
            resumed = (await run(world, "resume"))[0]["text"]
            await until(lambda: all(login.client.is_closed for login in logins[2:4]))
            await run(world, *KICK)
            await until(lambda: all(login.client.is_closed for login in logins[:2]))
            *left, _ = await run(world, "--json")

    assert ["1 replica answered"] * 2 == [text.splitlines()[-1] for text in (held, resumed)]
    assert (2, 0) == (looked.count("team-a/orders"), looked.count("team-a/worker"))
    assert "an operator holds all kicks" in refused
    shown = [(one["workload"], one["account"], one["state"]) for one in listed]
    target = world.plan.target
    assert [("team-a/orders", target, "live")] * 2 == shown[:2]
    assert [("team-a/worker", target, "recreated")] * 2 == shown[2:4]
    assert [("team-b/web", "OTHER", "live")] * 2 == shown[4:]
    assert {(True, "python3")} == {(one["grant_current"], one["lang"]) for one in listed}
    summary = last["summary"]
    assert (3, [], {}) == (len(summary["servers"]), summary["servers_silent"], summary["accounts_not_asked"])
    assert ["team-b/web"] * 2 == [one["workload"] for one in left]
    assert [] == [problem for login in logins[4:] for problem in login.problems]
