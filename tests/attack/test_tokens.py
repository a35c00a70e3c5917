"""Forged, malformed, foreign and stolen tokens through a real server, against the running responder."""

import time
from collections.abc import Mapping

import pytest

from nats_k8s_oidc_callout.core import base64url
from tests.attack.claims import ISSUERS, NAMES, TIMES
from tests.attack.tokens import CRYPTOGRAPHY, FORMS, Make, header
from tests.e2e.clients import REFUSED, ask, connected
from tests.e2e.worlds import World
from tests.fakes.issuer import issuer_key

pytestmark = pytest.mark.e2e


async def _is_refused(world: World, table: Mapping[str, tuple[str, Make]], case: str) -> None:
    reason, make = table[case]
    token, name = make(world), f"{case}-{time.monotonic()}"
    before = world.responder.denials(reason)

    async with connected(world, name=name, auth_token=token) as refused:
        assert [REFUSED, ""] == [refused.said, await refused.line()]

    assert before + 1 == world.responder.denials(reason)
    assert (await ask(world, **world.fields(world.token()))).let_in


@pytest.mark.parametrize("case", FORMS)
async def test_what_is_no_token_is_refused(attacked: World, case: str) -> None:
    """
    Text that is no token, or only nearly one, is refused for its form; the next good login succeeds.
    """
    await _is_refused(attacked, FORMS, case)


@pytest.mark.parametrize("case", CRYPTOGRAPHY)
async def test_what_the_issuer_did_not_sign_is_refused(attacked: World, case: str) -> None:
    """
    A token that the issuer's key did not sign by that key's one algorithm is refused; the next good login succeeds.
    """
    await _is_refused(attacked, CRYPTOGRAPHY, case)


@pytest.mark.parametrize("case", TIMES)
async def test_wrong_times_are_refused(attacked: World, case: str) -> None:
    """
    A signed token is good from `nbf` and `iat`, less the skew, until `exp`, and for no longer than the maximum.
    """
    await _is_refused(attacked, TIMES, case)


@pytest.mark.parametrize("case", ISSUERS)
async def test_foreign_tokens_are_refused(attacked: World, case: str) -> None:
    """
    A signed token of another issuer's name or for another audience is refused, however alike they look.
    """
    await _is_refused(attacked, ISSUERS, case)


@pytest.mark.parametrize("case", NAMES)
async def test_who_is_no_service_account_of_ours_is_refused(attacked: World, case: str) -> None:
    """
    A signed token that does not name one existing ServiceAccount, twice the same and by its uid, is refused.
    """
    await _is_refused(attacked, NAMES, case)


_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def other_half(world: World) -> str:
    """Return a token under the other of the two signatures that ECDSA knows for a message."""
    signed, _, last = world.token(key=issuer_key("ES256")).rpartition(".")
    raw = base64url.decode(last.encode())
    other = raw[:32] + (_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    return f"{signed}.{base64url.encode(other).decode()}"


LET_IN: Mapping[str, Make] = {
    # Policy: `typ` says nothing that the signature and the claims do not.
    "typ-at+jwt": header(typ="at+jwt"),
    # ECDSA knows two signatures for one message. The other one is no other token: same claims, same end.
    "ecdsa-other-half": other_half,
    # NTP drift between nodes is no reason to refuse a pod.
    "nbf-5-seconds-ahead": lambda world: world.token(
        claims={"nbf": int(time.time()) + 5, "iat": int(time.time()) + 5, "exp": int(time.time()) + 600}
    ),
    "aud-also-the-api-server": lambda world: world.token(claims={"aud": ["nats", "https://kubernetes.default.svc"]}),
    "aud-as-text": lambda world: world.token(claims={"aud": "nats"}),
    "no-pod": lambda world: world.token(pod=""),
}


@pytest.mark.parametrize("case", LET_IN)
async def test_odd_but_good_tokens_are_let_in(attacked: World, case: str) -> None:
    """
    What is unusual and no attack is let in.
    """
    assert (await ask(attacked, auth_token=LET_IN[case](attacked))).let_in


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
    Not stopped yet: there is no list of refused `jti`; a token that is known to be stolen is good until `exp`.
    """
    jti = "00000000-0000-4000-8000-00000000dead"

    assert (await ask(attacked, auth_token=attacked.token(claims={"jti": jti}))).let_in
