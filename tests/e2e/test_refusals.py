"""Everything that must be refused is, at once, with its reason in log and metric and none at the client."""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping

import pytest
from joserfc.jwk import RSAKey

from nats_k8s_oidc_callout.core.nats.callout import REFUSAL
from tests.e2e.clients import REFUSED, connected
from tests.e2e.worlds import World
from tests.fakes.forgery import uid_of
from tests.fakes.issuer import b64, compact, issuer_key
from tests.leaks import SECRETS

pytestmark = pytest.mark.e2e

WITHIN_SECONDS = 0.1
# A refusal takes about 5 ms. On a machine that others use, too, one of three must be as quick as it has to be.
TRIES = 3


def _without_signature(world: World) -> str:
    """Return an unsecured JWS as RFC 7515 (A.5) writes it."""
    return world.token(header={"alg": "none"}).rpartition(".")[0] + "."


def _by_public_key(world: World) -> str:
    """Sign by HMAC with what everybody knows: the public half of the issuer's RSA key."""
    rsa = world.issuer.keys[0]
    signed = f"{b64(compact({'alg': 'HS256', 'kid': rsa.kid}))}.{world.token().split('.')[1]}"
    assert isinstance(rsa.private, RSAKey)
    secret = rsa.private.as_pem(private=False)
    return SECRETS.register("token", f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}")


def _rs512(world: World) -> str:
    """Sign with the issuer's own key by an algorithm that is not that key's."""
    rsa = world.issuer.keys[0]
    signed = f"{b64(compact({'alg': 'RS512', 'kid': rsa.kid}))}.{world.token().split('.')[1]}"
    return SECRETS.register("token", f"{signed}.{b64(rsa.raw_signature(signed.encode(), 'RS512'))}")


def _legacy(world: World, **claims: object) -> str:
    """Return a token as the token controller of old wrote it into Secrets."""
    prefix = "kubernetes.io/serviceaccount"
    legacy = {
        "iss": "kubernetes/serviceaccount",
        f"{prefix}/namespace": "team-a",
        f"{prefix}/secret.name": "orders-token-x2x4z",
        f"{prefix}/service-account.name": "orders",
        f"{prefix}/service-account.uid": uid_of("team-a", "orders"),
        "sub": "system:serviceaccount:team-a:orders",
    }
    key = world.issuer.keys[0]
    return SECRETS.register("token", key.sign({"alg": key.alg, "kid": key.kid}, legacy | claims))


REFUSALS: Mapping[str, tuple[str, Callable[[World], str]]] = {
    "expired": ("expired", lambda world: world.token(now=time.time() - 3600)),
    "expired-this-second": ("expired", lambda world: world.token(claims={"exp": int(time.time())})),
    "not-yet-valid": ("not_yet_valid", lambda world: world.token(now=time.time() + 600)),
    "wrong-audience": ("wrong_audience", lambda world: world.token(audience="vault")),
    "wrong-issuer": ("wrong_issuer", lambda world: world.token(claims={"iss": "https://kubernetes.default.svc"})),
    "unknown-kid": ("unknown_key", lambda world: world.token(key=issuer_key("RS256", 9))),
    "bad-signature": (
        "bad_signature",
        lambda world: world.token(key=issuer_key("RS256", 9), header={"kid": world.issuer.keys[0].kid}),
    ),
    "alg-none": ("unsupported_algorithm", lambda world: world.token(header={"alg": "none"})),
    "alg-none-unsigned": ("unsupported_algorithm", _without_signature),
    "alg-hs256": ("unsupported_algorithm", _by_public_key),
    "alg-of-another-key": ("unsupported_algorithm", lambda world: world.token(header={"alg": "ES256"})),
    "alg-rs512": ("unsupported_algorithm", _rs512),
    "crit": ("unsupported_algorithm", lambda world: world.token(header={"crit": ["exp"], "exp": 1})),
    "legacy": ("wrong_issuer", _legacy),
    "legacy-of-our-issuer": ("wrong_audience", lambda world: _legacy(world, iss=world.issuer.url)),
    "no-aud": ("wrong_audience", lambda world: world.token(without=["aud"])),
    "no-exp": ("bad_claims", lambda world: world.token(without=["exp"])),
    "sub-disagrees": (
        "bad_claims",
        lambda world: world.token(claims={"sub": "system:serviceaccount:team-a:worker"}),
    ),
    "uid-disagrees": ("uid_mismatch", lambda world: world.token(uid="another-uid")),
    "unknown-service-account": ("unknown_service_account", lambda world: world.token(name="nobody")),
    "year-long": ("lifetime_too_long", lambda world: world.token(lifetime=365 * 86400)),
    "no-token": ("no_token", lambda world: ""),
    "not-a-token": ("malformed_token", lambda world: "hunter2"),
    "20-kib": ("token_too_large", lambda world: world.token(claims={"padding": "x" * 15_000})),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_refused_at_once_with_its_reason(world: World, case: str) -> None:
    """
    The client hears nothing but 'Authorization Violation', within 0.1 s (the best of at most three tries counts); log
    and metric have the reason; and the next good login succeeds.
    """
    reason, make = REFUSALS[case]
    before = world.responder.denials(reason)
    token = make(world)
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
    for case in ("expired", "unknown-service-account"):
        async with connected(world, **world.fields(REFUSALS[case][1](world))) as refused:
            assert REFUSED == refused.said

    told = {line.partition("returned an error: ")[2] for line in world.server.log().splitlines() if "callout" in line}
    assert {REFUSAL} == told
    assert 0 == world.responder.metrics()["nats_auth_answers_rejected_total"]


def test_20_kib_token_is_one(world: World) -> None:
    """
    The large token of these tests has 20 KiB.
    """
    assert len(REFUSALS["20-kib"][1](world)) >= 20 * 1024


async def test_es256_token_is_let_in(world: World) -> None:
    """
    Beside RSA, a token by the issuer's elliptic key is as good.
    """
    async with connected(world, **world.fields(world.token(key=issuer_key("ES256")))) as good:
        assert good.let_in
