"""Kicks that a person asked for: no faster than a replica's own, and only while logins work."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from nats_k8s_oidc_callout.adapters.nats.system import Kicked
from nats_k8s_oidc_callout.app.sessions.listing import OTHER_RELEASE, Found, Servers
from nats_k8s_oidc_callout.core.sessions.table import share

CHECK_SECONDS = 5.0
"""How often somebody looks whether logins still work."""


class Outcome(NamedTuple):
    """What became of all of them."""

    results: Counter[Kicked]
    left: int
    """Not tried any more."""
    why: str
    """Why not."""


def ours(found: Iterable[Found], *, any_release: bool) -> list[Found]:
    """Return those that we may kick: with a label, and of our release unless `any_release`.

    Clients of one workload are spread among the others: they come back as logins.
    """
    labelled = (one for one in found if one.is_labelled and (any_release or one.state != OTHER_RELEASE))
    return sorted(labelled, key=lambda one: share(one.row.server, one.row.cid))


async def kick_all(
    servers: Servers,
    targets: Iterable[Found],
    per_second: float,
    trouble: Callable[[], Awaitable[str]],
    told: Callable[[Found, Kicked], None],
) -> Outcome:
    """Kick each once, `per_second` at the most, and tell of each. Stop as soon as `trouble` says why logins do not work."""
    waiting, results = list(targets), Counter[Kicked]()

    async def kick(one: Found) -> None:
        result = await servers.kick(one.row.server, one.row.cid)
        results[result] += 1
        told(one, result)

    why, next_check, due = "", 0.0, time.monotonic()
    async with asyncio.TaskGroup() as kicks:
        # A silent server takes a second: the others do not wait for it, and no more than a second's are under way.
        while waiting:
            now = time.monotonic()
            if now >= next_check:
                if why := await trouble():
                    break
                next_check = time.monotonic() + CHECK_SECONDS
            kicks.create_task(kick(waiting.pop(0)), name="kick by hand")
            due = max(due, now - 1 / per_second) + 1 / per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    return Outcome(results, len(waiting), why)
