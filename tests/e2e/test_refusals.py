"""Everything that must be refused is, at once, with its reason in log and metric and none at the client."""

import time

import pytest

from nats_k8s_oidc_callout.core.nats.callout import REFUSAL
from tests.e2e.clients import REFUSED, connected
from tests.e2e.worlds import World
from tests.fakes.forgery import Forge
from tests.fakes.hostile_tokens import HOSTILE
from tests.fakes.issuer import issuer_key

pytestmark = pytest.mark.e2e

WITHIN_SECONDS = 0.1
# A refusal takes about 5 ms. On a machine that others use, too, one of three must be as quick as it has to be.
TRIES = 3


# One for each reason; the others stand in the same table, and go over the wire in tests/attack/test_tokens.py.
CASES = (
    "nothing", "one-part", "over-16-kib", "signature-flipped-RS256", "exp-missing", "iss-another-cluster", "alg-none",
    "brings-its-jwk-and-kid", "expired-this-second", "nbf-beyond-the-skew", "lifetime-of-a-year", "aud-other",
    "uid-of-another", "account-that-is-not-there",
)  # fmt: skip


def test_each_reason_has_a_case() -> None:
    """
    Whatever a hostile token can be refused for is tried in every world.
    """
    assert {reason for reason, _ in HOSTILE.values()} == {HOSTILE[case][0] for case in CASES}


@pytest.mark.parametrize("case", CASES)
async def test_refused_at_once_with_its_reason(world: World, case: str) -> None:
    """
    The client hears nothing but 'Authorization Violation', within 0.1 s (the best of at most three tries counts); log
    and metric have the reason; and the next good login succeeds.
    """
    reason, make = HOSTILE[case]
    before = world.responder.denials(reason)
    token = make(Forge(world.issuer, time.time()))
    name = f"{case} {time.monotonic()}"

    tries: list[float] = []
    while not tries or (min(tries) > WITHIN_SECONDS and len(tries) < TRIES):
        async with connected(world, name=name, **world.fields(token)) as refused:
            assert [REFUSED, ""] == [refused.said, await refused.line()]
            tries.append(refused.seconds)

    assert min(tries) < WITHIN_SECONDS
    assert before + len(tries) == world.responder.denials(reason)
    assert [("denied", reason)] * len(tries) == [
        (line["event"], line["reason"]) for line in world.responder.decisions(connection=name)
    ]
    async with connected(world, **world.fields(world.token())) as good:
        assert good.let_in


async def test_server_hears_one_text_whatever_the_reason(world: World) -> None:
    """
    What stands in the server's own log about refusals is one constant text, and the server accepts our answers.
    """
    for case in ("expired-this-second", "account-that-is-not-there"):
        async with connected(world, **world.fields(HOSTILE[case][1](Forge(world.issuer, time.time())))) as refused:
            assert REFUSED == refused.said

    told = {line.partition("returned an error: ")[2] for line in world.server.log().splitlines() if "callout" in line}
    assert {REFUSAL} == told
    assert 0 == world.responder.metrics()["nats_auth_answers_rejected_total"]


async def test_es256_token_is_let_in(world: World) -> None:
    """
    Beside RSA, a token by the issuer's elliptic key is as good.
    """
    async with connected(world, **world.fields(world.token(key=issuer_key("ES256")))) as good:
        assert good.let_in
