"""What happens to all clients at once, and what they were seen to do: rotation, expiry, kick, restart, farewell."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import nats.errors
from nats.aio.client import Client

from tests.clients.workloads import NAMESPACE, TokenFolder, Workload
from tests.clients.world import Number, keep_count, kick, numbers, stranger
from tests.e2e.worlds import World
from tests.fakes.stalls import awake, silence

# A machine with two cores runs all of it; nothing below waits so long when all is well.
PATIENCE_SECONDS = 30.0
REFUSALS = 3
GIVES_UP = 2
"""So often, in the same words, a library with its defaults is refused before it closes for good."""
_REFUSED = ("Authentication Failure", "Authentication Timeout", "Authorization Violation")


@dataclass
class Phase:
    """A stretch of the story, in seconds since the epoch."""

    name: str
    began: float
    ended: float = 0.0


@dataclass
class Story:
    """What was seen."""

    workloads: Mapping[str, Workload]
    survivors: Sequence[str]
    phases: dict[str, Phase] = field(default_factory=dict)
    numbers: dict[str, list[Number]] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    survived: dict[str, list[str]] = field(default_factory=dict)
    """By phase, who was back before we lost patience, as the process that it was at first."""
    echoed: dict[str, list[str]] = field(default_factory=dict)
    """By phase, who answered a stranger's question afterwards."""
    inboxes: dict[str, set[str]] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    farewells: dict[str, tuple[int | None, float]] = field(default_factory=dict)
    rotated_at_text: str = ""
    ready_again_at: float = 0.0

    def within(self, name: str, phase: str) -> list[Number]:
        began, ended = self.phases[phase].began, self.phases[phase].ended
        return [number for number in self.numbers.get(name, []) if began <= number.at <= ended]

    def longest_pause(self, name: str, phase: str, since: float = 0.0) -> float:
        """Return the longest time without a number within a phase, in seconds; with `since`, from then on.

        Without what it cost that the machine stood still.
        """
        span = self.phases[phase]
        began = max(since, span.began)
        times = [began, *(number.at for number in self.within(name, phase) if number.at >= began), span.ended]
        return max(silence(before, after) for before, after in itertools.pairwise(times))

    def lost(self, name: str) -> list[int]:
        """Return the numbers that never came, up to the last one that did."""
        came = {number.value for number in self.numbers.get(name, [])}
        return sorted(set(range(1, max(came, default=0) + 1)) - came)


async def tell(world: World, commands: Mapping[str, Sequence[str]], survivors: Sequence[str]) -> Story:
    """Run every command as a workload of its name through all phases; only `survivors` are waited for in each."""
    awake()
    with contextlib.ExitStack() as stack:
        tokens = {name: TokenFolder(world.folder / "tokens" / name) for name in commands}
        for name, folder in tokens.items():
            world.accounts.write(NAMESPACE, name, uid=f"{name}-1")
            folder.write(_token(world, name, 1))
        _start_responder(world)
        observer, system = await stranger(world, "observer"), await stranger(world, "system")
        try:
            await keep_count(observer)
            workloads = {
                name: stack.enter_context(Workload(name, command, world.client_url, tokens[name]))
                for name, command in commands.items()
            }
            teller = _Teller(world, Story(workloads, survivors), observer, system, tokens)
            await teller.tell()
            return teller.story
        finally:
            await observer.close()
            await system.close()


def _token(world: World, name: str, generation: int) -> str:
    return world.token(NAMESPACE, name, uid=f"{name}-{generation}", claims={"jti": f"{name}-{generation}"})


# Who comes back between a new token and the look at its ServiceAccount is refused, and waits: no promise of a client's.
_LOOKS_OFTEN = """
from nats_k8s_oidc_callout.adapters.manifests import ManifestFolder
ManifestFolder.__init__.__kwdefaults__["interval_seconds"] = 0.05
"""


def _start_responder(world: World) -> None:
    world.start_responder(before=_LOOKS_OFTEN)


async def _patiently(true: Callable[[], bool]) -> None:
    """Return once it is true, or when we lose patience: what was seen tells which."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true() and time.monotonic() < deadline:
        await asyncio.sleep(0.1)


@dataclass
class _Teller:
    world: World
    story: Story
    observer: Client
    system: Client
    tokens: Mapping[str, TokenFolder]

    async def tell(self) -> None:
        await self._phase("start", self._everybody_begins, lambda name: True)
        await self._phase("rotation", self._rotate, self._came_back_with_the_new_token, self._old_tokens_are_gone)
        before = self._cids()
        await self._phase("kick", self._kick, lambda name: self._cids().get(name, 0) > before.get(name, 0))
        await self._phase("restart", self._restart, lambda name: name in self._cids())
        await self._farewell()
        self.story.numbers = await numbers(self.observer)
        self.story.decisions = [line for one in self.world.responders for line in one.decisions()]

    async def _phase(
        self, name: str, event: Callable[[], Any], back: Callable[[str], bool], over: Callable[[], bool] = lambda: True
    ) -> None:
        story = self.story
        story.phases[name] = Phase(name, time.time())
        await event()
        echoes = {one: workload.echoes for one, workload in story.workloads.items()}

        def survived(one: str) -> bool:
            return story.workloads[one].running and back(one) and story.workloads[one].echoes > echoes[one]

        await _patiently(lambda: all(survived(one) for one in story.survivors) and over())
        story.survived[name] = [one for one in story.workloads if survived(one)]
        self._note_inboxes()
        story.echoed[name] = [one for one in story.survivors if await self._answers(one)]
        story.phases[name].ended = time.time()

    async def _answers(self, name: str) -> bool:
        # More than once, since a session may end at any moment here.
        for _ in range(3):
            try:
                return (await self.observer.request(f"{NAMESPACE}.echo.{name}", b"who", timeout=1)).data == b"who"
            except nats.errors.Error:
                await asyncio.sleep(0.5)
        return False

    async def _everybody_begins(self) -> None:
        """The others, too: who begins after a rotation has the new token, and nothing to outlive."""
        await _patiently(lambda: all(one.echoes for one in self.story.workloads.values()))

    async def _rotate(self) -> None:
        # The file first, as with the kubelet; then the old token is worth nothing any more.
        for name, folder in self.tokens.items():
            folder.write(_token(self.world, name, 2))
            self.world.accounts.write(NAMESPACE, name, uid=f"{name}-2")
        self.story.rotated_at_text = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"

    def _came_back_with_the_new_token(self, name: str) -> bool:
        return any(line["jti"] == f"{name}-2" for line in self.world.responder.events("allowed"))

    def _old_tokens_are_gone(self) -> bool:
        """Say whether each session of an old token has ended by itself: a kick is another end, which more clients outlive."""
        old = {line["client_id"] for line in self.world.responder.events("allowed") if line["jti"].endswith("-1")}
        return old.isdisjoint(self._cids().values())

    async def _kick(self) -> None:
        server = str(self.world.server.monitor("varz")["server_id"])
        for cid in self._cids().values():
            # Its session may have ended by itself since we looked.
            with contextlib.suppress(AssertionError):
                await kick(self.system, server, cid)

    async def _restart(self) -> None:
        self.world.responder.stop()
        await asyncio.to_thread(self.world.server.restart)
        await _patiently(self._all_refused)
        await asyncio.to_thread(_start_responder, self.world)
        self.story.ready_again_at = time.time()

    def _all_refused(self) -> bool:
        """Say whether each has been refused so often that it goes on after that for good, or gives up."""
        story = self.story
        story.refusals = self._refused()
        wanted = {one: REFUSALS if one in story.survivors else GIVES_UP for one in story.workloads}
        return all(story.refusals.get(one, 0) >= wanted[one] or not story.workloads[one].running for one in wanted)

    async def _farewell(self) -> None:
        running = [one for one in self.story.workloads.values() if one.running]
        ended = await asyncio.gather(*(asyncio.to_thread(one.stop) for one in running))
        self.story.farewells = {one.name: end for one, end in zip(running, ended, strict=True)}

    def _cids(self) -> dict[str, int]:
        return {name: shown["cid"] for name, shown in self._ours(self.world.server.connz())}

    def _note_inboxes(self) -> None:
        for name, shown in self._ours(self.world.server.connz()):
            inboxes = {subject for subject in shown.get("subscriptions_list", []) if subject.startswith("_INBOX")}
            self.story.inboxes.setdefault(name, set()).update(inboxes)

    def _refused(self) -> dict[str, int]:
        closed = self.world.server.monitor("connz?state=closed&limit=1024")["connections"]
        counts: dict[str, int] = {}
        for name, one in self._ours(closed):
            counts[name] = counts.get(name, 0) + (one["reason"] in _REFUSED)
        return counts

    def _ours(self, connections: Iterable[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
        prefix = f"{NAMESPACE}/"
        return [
            (one["name"].removeprefix(prefix), one) for one in connections if one.get("name", "").startswith(prefix)
        ]
