"""Sessions end within 5 s of what ends them, and nobody else's: three real nodes, several replicas.

A version, a mode and a way to the system account each in CI; all that there are:

    SESSIONS_EVERYWHERE=1 python -m pytest tests/e2e/test_sessions.py
"""

import asyncio
import os
from collections.abc import Iterator

import pytest

from nats_k8s_oidc_callout.core.sessions import label
from tests.e2e.session_plans import MODES, WAYS, session_plan
from tests.e2e.session_story import CROWD, ENDED, KEPT, NAMESPACE, PROMISED_SECONDS, Story, Teller
from tests.e2e.worlds import BINARIES, world_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_PLACES = ["config-imports-on-2.11", "operator-login-on-2.15"]
if os.environ.get("SESSIONS_EVERYWHERE"):
    _PLACES = [f"{mode}-{way}-on-{version}" for mode in MODES for way in WAYS for version in ("2.11", "2.15")]


@pytest.fixture(scope="module", params=_PLACES)
def story(request: pytest.FixtureRequest) -> Iterator[Story]:
    """What happened in one of the places."""
    setting, _, version = request.param.partition("-on-")
    mode, _, way = setting.partition("-")
    binary = BINARIES[version]()
    if binary is None:
        pytest.skip(f"nats-server {version} is not built (make tools)")
    with world_of(session_plan(mode, way), str(binary)) as world:
        yield asyncio.run(Teller(world).tell())


@pytest.mark.parametrize("name", ["before", *ENDED])
def test_last_session_is_gone_in_time(story: Story, name: str) -> None:
    """
    On every node, though who let them in was killed: deleted (twenty connections of one pod, too, and while no replica
    ran), made again, narrowed, of another account, listed by its token's id.
    """
    assert story.last_seconds[name] < PROMISED_SECONDS


@pytest.mark.parametrize("name", KEPT)
def test_nobody_elses_session_is_touched(story: Story, name: str) -> None:
    """
    Grown rights, no change, a configured user, one whose name looks like a label, no label, another release.
    """
    kept, of = story.kept.get(name, (0, 0))

    assert kept == of


def test_who_comes_back_lands_by_the_new_rule(story: Story) -> None:
    """
    A session that ended for its account is in the other one as soon as its client is back.
    """
    assert 1 == len(story.landed)
    assert story.home not in story.landed


@pytest.mark.parametrize("name", ["lagging", "apart"])
def test_replicas_that_disagree_kick_twice_at_most(story: Story, name: str) -> None:
    """
    One has an annotation 0.3 s later than the other, or a policy file 5 s later.
    """
    assert 1 <= story.reconnects[name] <= 2


def test_session_is_renewed_before_its_end(story: Story) -> None:
    """
    A client whose token ends later each time is sent to log in again, and is never refused.
    """
    assert (1, 0) == (story.reconnects["renewed"], story.failures["renewed"])


def test_token_that_does_not_move_costs_two_logins_at_most(story: Story) -> None:
    """
    A client that comes back with the token that it had is left alone until its end.
    """
    assert story.reconnects["static"] <= 2


def test_only_a_session_that_is_looked_after_has_a_label(story: Story) -> None:
    """
    Without session control the name is the plain one, and the responder hears nothing of the system account.
    """
    (unlabelled,) = {user for user in story.users["unlabelled"] if user.startswith("system:serviceaccount:team-a:")}
    labels = {label.parse(user) for user in story.users["on"]}
    subscriptions = {subject for line in story.off for subject in line["subscriptions_list"]}

    assert unlabelled == f"system:serviceaccount:{NAMESPACE}:unlabelled"
    assert CROWD == sum(user.startswith("system:serviceaccount:team-a:crowd;") for user in story.users["on"])
    assert {"crowd", "theirs", "less"} <= {one.name for one in labels if one}
    assert all(one.startswith(("$SYS.REQ.USER.AUTH", "$SYS.ACCOUNT.CLIENT.AUTH.ERR")) for one in subscriptions)
    assert subscriptions
