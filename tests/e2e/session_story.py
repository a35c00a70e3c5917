"""What happens to the sessions of one world, and what becomes of them.

One story for all that ends a session, since each takes seconds: most of it happens in the same instant.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.session_plans import FOREIGN
from tests.e2e.session_world import NOBODY, Pod, Release, pod, policy, remove, shown
from tests.e2e.worlds import PUBLISH, World
from tests.fakes.nats_modes import PASSWORD
from tests.fakes.nats_world import until
from tests.fakes.stalls import awake, stalled

NAMESPACE = "team-a"
LISTED = "the-jti-that-is-listed"
CROWD = 20
# A file is looked at every 2 s; the promise counts from the moment it is there.
PROMISED_SECONDS = 5.0
# What the token of a pod that is to be renewed has left: just so much that it is.
SHORT_SECONDS = 46
MOVED = "{name: moved, match: {namespaces: [team-a], service_accounts: [moved]}, account: OTHER}"
APART = '{name: apart, match: {namespaces: [team-a], service_accounts: [apart]}, publish: ["only.this"]}'
WIDE, NARROW = {PUBLISH: "a.>,b.>"}, {PUBLISH: "a.>"}
ENDED = ("gone", "crowd", "again", "less", "moved", "listed")
KEPT = ("grown", "plain", "platform", "foreign", "unlabelled", "theirs")


@dataclass
class Story:
    """What was seen; times are Unix seconds."""

    pods: dict[str, Pod] = field(default_factory=dict)
    users: dict[str, list[str]] = field(default_factory=dict)
    """By moment, the users' names that the nodes show."""
    off: list[dict[str, Any]] = field(default_factory=list)
    """The connections of a responder without session control."""
    last_seconds: dict[str, float] = field(default_factory=dict)
    """How long after its change the last session of each was gone, without stalls."""
    reconnects: dict[str, int] = field(default_factory=dict)
    """The most that a connection of each was kicked within a stretch."""
    kept: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of those that nothing ends, how many never ended, of how many."""
    home: str = ""
    landed: set[str] = field(default_factory=set)
    """The accounts that `moved` is in at the end."""
    kicks: dict[str, Mapping[str, float]] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)


class Teller:
    """Lets it happen. `tell` returns the story; the pods end with it."""

    def __init__(self, world: World) -> None:
        self._world, self._story = world, Story(home=world.plan.target)
        self._stack = AsyncExitStack()

    async def tell(self) -> Story:
        awake()
        ours, theirs = Release(self._world), Release(self._world, {"SESSION_RELEASE": "theirs"})
        off = Release(self._world, {"SESSION_CONTROL": "off", "SESSION_RELEASE": "off"})
        try:
            async with self._stack:
                await self._others(off, theirs)
                await self._while_nobody_ran(ours)
                await self._changes(ours)
                await self._apart(ours)
                await self._renewals(ours)
                self._note_the_kept(*KEPT)
                self._story.kicks["all"] = {f"replica {n}": one.kicks() for n, one in enumerate(ours.replicas)}
        finally:
            for release in (off, theirs, ours):
                release.end()
        return self._story

    # Steps

    async def _others(self, off: Release, theirs: Release) -> None:
        """Sessions of a responder that looks after none, and of another release."""
        for release, name in ((off, "unlabelled"), (theirs, "theirs")):
            one = release.prepare()
            one.accounts.write(NAMESPACE, name)
            one.process.start()
            await asyncio.to_thread(one.process.wait_ready)
            await self._pod(name)
            self._story.users[name] = self._users()
            if release is off:
                self._story.off = [line for line in shown(self._world) if "$SYS.REQ.USER.AUTH" in _subscriptions(line)]
            release.kill()

    async def _while_nobody_ran(self, ours: Release) -> None:
        """A ServiceAccount is deleted while there is no replica."""
        one = ours.prepare()
        names = ("before", *ENDED, *KEPT, "lagging", "apart", "static", "renewed")
        for name in set(names) - {"platform", "foreign"}:
            one.accounts.write(NAMESPACE, name, WIDE)
        one.process.start()
        await asyncio.to_thread(one.process.wait_ready)
        await self._pod("before", back=False)
        await self._pod("static", connections=1, lifetime=SHORT_SECONDS)
        await self._pod("renewed", self._short, connections=1)
        ours.prepare()
        ours.kill()
        second = ours.replicas[0]
        for name in ("before", "unlabelled", "theirs"):
            remove(second.accounts, NAMESPACE, name)
        second.process.start()
        await asyncio.to_thread(second.process.wait_ready)
        await self._gone("before", time.time())
        await ours.start()

    async def _changes(self, ours: Release) -> None:
        """All that ends a session, in one instant, just after one of the replicas that let them in was killed."""
        for name in ENDED:
            claims = {"jti": LISTED} if name == "listed" else None
            connections = CROWD if name == "crowd" else 3
            await self._pod(name, connections=connections, back=name in ("less", "moved"), claims=claims)
        for name in ("grown", "plain", "lagging", "apart"):
            await self._pod(name)
        if self._world.plan.target == "APP":
            for name, user in (("platform", "platform"), ("foreign", FOREIGN)):
                await self._pod(name, fields={"user": user, "pass": PASSWORD})
        self._story.users["on"] = self._users()
        ours.kill()
        (one,) = ours.replicas
        began = time.time()
        remove(one.accounts, NAMESPACE, "gone")
        remove(one.accounts, NAMESPACE, "crowd")
        one.accounts.write(NAMESPACE, "again", WIDE, uid="another-uid")
        one.accounts.write(NAMESPACE, "less", NARROW)
        one.accounts.write(NAMESPACE, "grown", {PUBLISH: "a.>,b.>,c.>"})
        one.policy.write_text(policy(MOVED, NOBODY + f"  - {{jti: {LISTED}, reason: INC-1}}\n"))
        await asyncio.gather(*(self._gone(name, began) for name in ENDED))
        await until(lambda: self._story.pods["moved"].live == 3)
        accounts = [line["account"] for line in shown(self._world) if ":moved;" in line.get("authorized_user", "")]
        self._story.landed = set(accounts)

    async def _apart(self, ours: Release) -> None:
        """Two replicas have a change at different times: of an annotation, and of the policy file."""
        # Before another replica comes, which knows nothing of earlier rights.
        self._note_the_kept("grown")
        await ours.start()
        first, second = ours.replicas
        moment = time.time()
        first.accounts.write(NAMESPACE, "lagging", NARROW)
        first.policy.write_text(first.policy.read_text().replace("rules:\n", f"rules:\n  - {APART}\n"))
        await asyncio.sleep(0.3)
        second.accounts.write(NAMESPACE, "lagging", NARROW)
        await asyncio.sleep(PROMISED_SECONDS)
        second.policy.write_text(first.policy.read_text())
        await asyncio.sleep(PROMISED_SECONDS)
        for name in ("lagging", "apart"):
            self._story.reconnects[name] = self._story.pods[name].ends_since(moment)

    async def _renewals(self, ours: Release) -> None:
        """A pod whose token ends later each time, and one whose token never moves."""
        renewed, static = (self._story.pods[name] for name in ("renewed", "static"))
        await until(lambda: renewed.most_reconnects >= 1, SHORT_SECONDS)
        await until(lambda: static.refused, SHORT_SECONDS)
        self._story.reconnects |= {"renewed": renewed.most_reconnects, "static": static.most_reconnects}
        self._story.failures["renewed"] = renewed.refused

    # Means

    async def _pod(
        self,
        name: str,
        token: Callable[[], str] | None = None,
        *,
        connections: int = 3,
        back: bool = True,
        fields: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        usual = self._world.token(NAMESPACE, name, **changes)
        one = await self._stack.enter_async_context(
            pod(self._world, token or (lambda: usual), connections=connections, fields=fields, back=back)
        )
        await until(lambda: one.live == connections)
        self._story.pods[name] = one

    def _short(self, name: str = "renewed") -> str:
        return self._world.token(NAMESPACE, name, lifetime=SHORT_SECONDS)

    async def _gone(self, name: str, since: float) -> None:
        """Return once each connection of this pod has ended since; one that stays shows as a long time."""
        one = self._story.pods[name]
        ends = [len(ended) for ended in one.ended]
        await until(
            lambda: all(len(ended) > before for ended, before in zip(one.ended, ends, strict=True)),
            6 * PROMISED_SECONDS,
            f"{name}: {one.live} of {len(one.came)} live",
        )
        self._story.last_seconds[name] = one.last_end() - since - stalled(since, one.last_end())

    def _note_the_kept(self, *names: str) -> None:
        for name in names:
            one = self._story.pods.get(name)
            if one is not None and name not in self._story.kept:
                self._story.kept[name] = (sum(not ended for ended in one.ended), len(one.came))

    def _users(self) -> list[str]:
        return [str(line.get("authorized_user", "")) for line in shown(self._world)]


def _subscriptions(line: Mapping[str, Any]) -> list[str]:
    return list(line.get("subscriptions_list", ()))
