"""Forged, malformed, foreign and stolen tokens through a real server, against the running responder."""

import time

import pytest

from tests.e2e.clients import REFUSED, ask, connected
from tests.e2e.worlds import World
from tests.fakes.forgery import Forge
from tests.fakes.hostile_tokens import HOSTILE, LET_IN

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_token_is_refused(attacked: World, case: str) -> None:
    """
    Each hostile token is refused for its own reason, which the client is not told; the next good login succeeds.
    """
    reason, make = HOSTILE[case]
    token, name = make(Forge(attacked.issuer, time.time())), f"{case}-{time.monotonic()}"
    before = attacked.responder.denials(reason)

    async with connected(attacked, name=name, auth_token=token) as refused:
        assert [REFUSED, ""] == [refused.said, await refused.line()]

    assert before + 1 == attacked.responder.denials(reason)
    assert (await ask(attacked, **attacked.fields(attacked.token()))).let_in


@pytest.mark.parametrize("case", LET_IN)
async def test_an_odd_but_good_token_is_let_in(attacked: World, case: str) -> None:
    """
    What is unusual and no attack is let in.
    """
    assert (await ask(attacked, auth_token=LET_IN[case](Forge(attacked.issuer, time.time())))).let_in


async def test_a_megabyte_of_token_stops_at_the_server(attacked: World) -> None:
    """
    What is longer than `max_control_line` never reaches us: the server hangs up.
    """
    before = attacked.responder.metrics()["nats_auth_requests_total"]
    said = (await ask(attacked, auth_token="a" * (1 << 20))).said

    assert "PONG" != said
    assert before == attacked.responder.metrics()["nats_auth_requests_total"]
    assert (await ask(attacked, **attacked.fields(attacked.token()))).let_in


async def test_a_stolen_token_is_good_until_it_ends(attacked: World) -> None:
    """
    Not stopped: whoever has the token logs in as its ServiceAccount, from anywhere and as often as they like, until
    `exp`.
    """
    stolen = attacked.token()

    assert [True, True] == [(await ask(attacked, auth_token=stolen, name=name)).let_in for name in ("pod", "thief")]


async def test_a_token_of_a_deleted_pod_is_good_until_it_ends(attacked: World) -> None:
    """
    Not stopped yet: nobody asks the API server whether the pod that a token is bound to still exists (TokenReview).
    """
    assert (await ask(attacked, auth_token=attacked.token(pod="deleted-long-ago"))).let_in


async def test_no_list_refuses_one_token(attacked: World) -> None:
    """
    Not stopped without a policy: there is no list of refused `jti`; a token that is known to be stolen is good until `exp`.
    """
    jti = "00000000-0000-4000-8000-00000000dead"

    assert (await ask(attacked, auth_token=attacked.token(claims={"jti": jti}))).let_in
