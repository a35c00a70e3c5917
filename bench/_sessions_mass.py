"""Three thousand sessions whose rights one policy narrows, and what those notice who only log in."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from tests.e2e.clients import ask
from tests.e2e.session_plans import one_node
from tests.e2e.session_world import Pod, Release, pod, policy
from tests.e2e.worlds import BINARIES, PUBLISH, World, world_of

NAMESPACES, EACH = 60, 10
QUIET_SECONDS = 30.0
# A cause that condemns so many waits a minute first.
PATIENCE_SECONDS = 600.0
NARROWING = '{name: narrowed, match: {namespaces: ["mass-*"]}, annotations: {publish: ["a.>"]}}'


@dataclass
class Mass:
    """Seconds that logins of others took, and how those came back who were kicked."""

    quiet: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    others_failed: int = 0
    failed: int = 0
    kicked: int = 0
    seconds: float = 0.0
    most_a_second: int = 0


async def _others(world: World, into: list[float], found: Mass) -> None:
    token = world.token("others", "probe")
    while True:
        one = await ask(world, **world.fields(token))
        into.append(one.seconds)
        found.others_failed += not one.let_in
        await asyncio.sleep(0.1)


async def _measure(world: World, into: list[float], found: Mass, until: "asyncio.Future[None]") -> None:
    probing = asyncio.create_task(_others(world, into, found), name="others")
    await until
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)


async def mass(sessions: int) -> Mass:
    """Let it happen once."""
    found = Mass()
    with world_of(one_node, str(BINARIES["2.15"]() or "")) as world:
        release = Release(world)
        one = release.prepare()
        pods: list[Pod] = []
        one.accounts.write("others", "probe")
        names = [(f"mass-{n % NAMESPACES}", f"app-{n}") for n in range(sessions // EACH)]
        for namespace, name in names:
            one.accounts.write(namespace, name, {PUBLISH: "a.>,b.>"})
        one.process.start()
        try:
            await asyncio.to_thread(one.process.wait_ready)
            async with AsyncExitStack() as stack:
                for namespace, name in names:
                    token = world.token(namespace, name)
                    pods.append(await stack.enter_async_context(pod(world, partial(str, token), connections=EACH)))
                    while pods[-1].live < EACH:
                        await asyncio.sleep(0.01)
                loop = asyncio.get_running_loop()
                await _measure(world, found.quiet, found, loop.create_task(asyncio.sleep(QUIET_SECONDS)))
                one.policy.write_text(policy(NARROWING))
                while not any(pod.last_end() for pod in pods):
                    await asyncio.sleep(0.1)
                await _measure(world, found.busy, found, loop.create_task(_all_back(pods)))
        finally:
            release.end()
        ends = sorted(at for pod in pods for ended in pod.ended for at in ended)
        found.failed = sum(pod.refused for pod in pods)
        found.kicked, found.seconds = len(ends), ends[-1] - ends[0]
        found.most_a_second = max(Counter(int(at) for at in ends).values())
    return found


async def _all_back(pods: list[Pod]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(pod.fewest_reconnects < 1 or pod.live < EACH for pod in pods) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
