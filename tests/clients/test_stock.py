"""Client libraries with their defaults, through a renewal; and none is sent to log in while logins do not work.

Ten renewals of a minute: `python -m tests.clients.stock_world renewals 10`.
"""

import asyncio
import statistics
from collections.abc import Iterator

import pytest

from tests.clients import builds
from tests.clients.stock_heard import Heard
from tests.clients.stock_world import CONNECTIONS, CROWD, Stock, apart, commands, held, renewals, stale
from tests.e2e.session_plans import one_node, stale_keys
from tests.e2e.worlds import BINARIES, world_of

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

# A kick comes 10 to 20 s before the end, so this is about the shortest session that is renewed.
SESSION_SECONDS = 46
NAMES = (*builds.LANGUAGES, CROWD)
LONGEST_SECONDS = dict.fromkeys(NAMES, 0.5) | {"go": 2.5}
"""The longest silence at a renewal; nats.go waits 2 s where it knows one URL only."""
# Its pull may wait 88 s after a reconnect; its other subscriptions go on.
STALLS = ("java",)


def _programs(languages: tuple[str, ...]) -> dict[str, list[str]]:
    try:
        return commands(languages)
    except builds.NoToolchain as lacking:
        pytest.skip(str(lacking))


@pytest.fixture(scope="module")
def renewed() -> Iterator[Stock]:
    """All of them after their first renewal."""
    programs = _programs(tuple(builds.LANGUAGES))
    with world_of(one_node, str(BINARIES["2.15"]() or "")) as world:
        yield asyncio.run(renewals(world, programs, 1, SESSION_SECONDS, 20))


def _heard(one: Stock, name: str) -> Heard:
    return next(heard for heard in one.heard() if heard.name == name)


@pytest.mark.parametrize("name", NAMES)
def test_client_is_renewed_and_hardly_notices(renewed: Stock, name: str) -> None:
    """
    Each of its connections comes back at once, as the process that it was; twenty unnamed ones of one pod, too.
    """
    heard = _heard(renewed, name)

    assert (CONNECTIONS if name == CROWD else 1) == heard.connections
    assert heard.fewest_reconnects >= 1
    assert [] == heard.closed
    assert statistics.median(heard.gaps()) <= LONGEST_SECONDS[name]
    # A message comes each 0.05 s, and all of it runs on one machine.
    assert max(heard.gaps()) <= LONGEST_SECONDS[name] + 0.5


@pytest.mark.parametrize("name", builds.LANGUAGES)
def test_nothing_of_a_stream_is_lost(renewed: Stock, name: str) -> None:
    """
    What was published meanwhile comes by JetStream all the same.
    """
    pushed = set(_heard(renewed, name).numbers("push"))

    assert 0 == (len(renewed.wanted() - pushed) if name in STALLS else renewed.lost[name])


def test_nobody_is_renewed_while_logins_do_not_work() -> None:
    """
    Those that would close for good keep their sessions beyond the moment that these would have been renewed.
    """
    with world_of(one_node, str(BINARIES["2.15"]() or "")) as world:
        one = asyncio.run(held(world, _programs(("go", "node")), SESSION_SECONDS))

    assert [0, 0] == [heard.fewest_reconnects for heard in one.during]
    assert one.pending >= 1


def test_nobody_is_renewed_while_keys_are_stale_and_all_are_afterwards() -> None:
    """
    The key endpoint is away for longer than keys are good. When it is back renewals go on, before any session ends.
    """
    with world_of(stale_keys, str(BINARIES["2.15"]() or "")) as world:
        one = asyncio.run(stale(world, _programs(("go", "node")), SESSION_SECONDS))

    assert [0, 0] == [heard.fewest_reconnects for heard in one.during]
    assert one.pending == 2
    _all_renewed(one)


def test_nobody_is_renewed_across_a_partition_and_all_are_afterwards() -> None:
    """
    The responder's node is cut off from the clients', whose logins fail then. When it is back their sessions are found again,
    and renewed before they end.
    """
    one = asyncio.run(apart(str(BINARIES["2.15"]() or ""), _programs(("go", "node")), SESSION_SECONDS))

    assert [0, 0] == [heard.fewest_reconnects for heard in one.during]
    assert one.pending >= 1
    _all_renewed(one)


def _all_renewed(one: Stock) -> None:
    """Each client was sent to log in again once, and is there."""
    assert 2 == one.kicked
    assert [(1, []), (1, [])] == [(len(heard.times("reconnected", 0)), heard.closed) for heard in one.heard()]
