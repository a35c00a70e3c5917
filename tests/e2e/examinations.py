"""What doctor says of a world: examined by itself, or beside a responder that runs there."""

import asyncio
import json
from typing import Any

from nats_k8s_oidc_callout import doctor, settings
from nats_k8s_oidc_callout.doctor import Report
from tests.e2e.responder import environment
from tests.e2e.worlds import World
from tests.fakes.nats_world import free_port
from tests.leaks import SECRETS


def self_test(world: World) -> dict[str, Any]:
    """Return the variable with a good token."""
    path = world.folder / "self-test.token"
    path.write_text(world.token())
    return {"SELF_TEST_TOKEN_FILE": str(path)}


async def examine(env: dict[str, str]) -> Report:
    """Return what doctor finds in this environment; no secret is in it."""
    names = {name: value for name, value in environment(env).items() if name not in ("PATH", "PYTHONPATH")}
    report = await doctor.examine(settings.load(names))
    assert [] == SECRETS.scan(json.dumps(report.as_json()).encode())
    return report


def examined(env: dict[str, str]) -> Report:
    return asyncio.run(examine(env))


def causes(report: Report) -> list[str]:
    return [cause.value for cause in report.causes]


def beside_a_responder(world: World, **more: Any) -> Report:
    """Examine with a responder beside us that has the same environment, and came as far as it can."""
    port = str(free_port())
    world.start_responder(ready=False, PORT=port, **{**self_test(world), **more})
    running = world.responders[-1]
    deadline = 40
    while not (running.ready or running.events("not ready yet")) and deadline:
        deadline -= 1
        asyncio.run(asyncio.sleep(0.1))
    asyncio.run(asyncio.sleep(0.3))
    return examined({**running.env, "PORT": port})
