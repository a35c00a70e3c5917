"""A hostile, broken or merely unlucky key endpoint: no answer of its takes away what worked, or lets anybody in."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from nats_k8s_oidc_callout.adapters.jwks import JwksEndpoint, KeyRefresher
from nats_k8s_oidc_callout.core.identity.keyset import COOLDOWN_SECONDS, KeySet
from nats_k8s_oidc_callout.core.identity.own_token import Trust
from nats_k8s_oidc_callout.core.identity.tokens import Unverified, VerifiedClaims, peek, verify
from nats_k8s_oidc_callout.core.model import Token
from tests.e2e.clients import ask
from tests.e2e.worlds import World
from tests.fakes import key_server
from tests.fakes.issuer import Issuer, IssuerKey, b64, issuer_key, jwks
from tests.fakes.key_server import Answer, KeyServer
from tests.fakes.nats_world import until
from tests.fakes.stalls import awake

GOOD = Issuer()
ATTACKER = Issuer(keys=[issuer_key("RS256", 66)])
_KEY = GOOD.keys[0]
_KEY_SET = GOOD.jwks()
MEBIBYTE = 1 << 20


@dataclass
class Client:
    """Our side of a key endpoint, as the product wires it, on a clock that is moved by hand."""

    server: KeyServer
    keys: KeySet = field(default_factory=KeySet)
    monotonic: float = 100.0
    reasons: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        endpoint = JwksEndpoint(self.server.url, Trust.PUBLIC, lambda: (None, None), timeout_seconds=0.3)
        self.refresher = KeyRefresher(
            endpoint.fetch, self.keys, lambda: self.monotonic, lambda *_: None, self.reasons.append
        )

    def accepts(self, token: str) -> bool:
        seen = peek(Token(token))
        assert isinstance(seen, Unverified)
        key = self.keys.find(seen.kid, self.monotonic)
        return key is not None and isinstance(verify(seen, key), VerifiedClaims)


@asynccontextmanager
async def client_of(*answers: Answer) -> AsyncIterator[Client]:
    """Give a client that has just fetched the first answer."""
    async with key_server.running(*answers) as server:
        client = Client(server)
        await client.refresher.refresh()
        yield client


def redirect(to: str) -> Answer:
    return key_server.body(b"", 302, Location=to)


def _jwk(**members: object) -> bytes:
    return jwks(_KEY.jwk(**members))


_OTHER = ATTACKER.keys[0].jwk()
ANSWERS: Mapping[str, Callable[[], Answer]] = {
    "401": lambda: key_server.body(b"{}", 401),  # 42
    "403": lambda: key_server.body(b"{}", 403),
    "404": lambda: key_server.body(b"", 404),
    "500-with-a-good-body": lambda: key_server.body(ATTACKER.jwks(), 500),
    "203-with-a-body": lambda: key_server.body(ATTACKER.jwks(), 203),
    "html": lambda: key_server.body(b"<html>sign in</html>"),
    "empty": lambda: key_server.body(b""),
    "empty-object": lambda: key_server.body(b"{}"),
    "status-object": lambda: key_server.body(b'{"status":"error"}'),
    "no-keys": lambda: key_server.body(b'{"keys":[]}'),
    "keys-null": lambda: key_server.body(b'{"keys":null}'),
    "keys-twice-the-last-is-empty": lambda: key_server.body(_KEY_SET[:-1] + b',"keys":[]}'),
    "half-a-body": lambda: key_server.half(ATTACKER.jwks()),
    "hang-up": lambda: key_server.disconnect,
    "hang": lambda: key_server.hang,  # 48
    "drip": lambda: key_server.drip(ATTACKER.jwks(), 0.05),
    "100-mebibytes": lambda: key_server.Endless(100 * MEBIBYTE, announced=False),  # 43
    "announced-gibibyte": lambda: key_server.Endless(1 << 30, announced=True),
    "gzip-bomb": lambda: key_server.bomb(100 * MEBIBYTE),
    "gzip-unannounced": lambda: key_server.body(gzip.compress(ATTACKER.jwks())),
    "deflate": lambda: key_server.body(ATTACKER.jwks(), Content_Encoding="deflate"),
    "redirect-to-metadata": lambda: redirect("http://169.254.169.254/latest/meta-data/"),
    "redirect-to-itself": lambda: redirect("/openid/v1/jwks"),
    "redirect-to-a-file": lambda: redirect("file:///etc/passwd"),
    "deep": lambda: key_server.body(b'{"keys":' + b"[" * 200_000),
    "101-keys": lambda: key_server.body(jwks(*[{**_OTHER, "kid": f"k{number}"} for number in range(101)])),
    "only-symmetric": lambda: key_server.body(jwks({"kty": "oct", "k": "c2VjcmV0", "kid": _KEY.kid, "alg": "HS256"})),
    "only-for-encryption": lambda: key_server.body(_jwk(use="enc")),
    "only-weak-rsa": lambda: key_server.body(_jwk(n=b64(b"\xff" * 128))),
    "exponent-1": lambda: key_server.body(_jwk(e="AQ")),
    "private-key": lambda: key_server.body(jwks(_KEY.private_jwk())),
    "kid-stands-for-two-keys": lambda: key_server.body(jwks(_KEY, {**_OTHER, "kid": _KEY.kid})),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_a_bad_answer_takes_no_key_away_and_brings_none(case: str) -> None:
    """
    After a bad answer tokens by the good key are as good as before, those of the answer's own keys are not, and the
    reason is told in a few words without what the answer held.
    """
    async with client_of(key_server.body(_KEY_SET), ANSWERS[case]()) as client:
        began = awake()
        await client.refresher.refresh()

        assert awake() - began < 2
        assert [True, False] == [client.accepts(issuer.token()) for issuer in (GOOD, ATTACKER)]
        assert 1 == len(client.reasons)
        assert len(client.reasons[0]) < 200
        # One good fetch and one bad; aiohttp itself tries once more when a server hangs up without a word.
        assert len(client.server.asked) <= 3


GOOD_BESIDE: Mapping[str, dict[str, object]] = {
    "ml-dsa": {"kty": "AKP", "alg": "ML-DSA-65", "kid": "new", "pub": "AAAA"},  # 44
    "garbage": {"kty": "RSA", "kid": "bad", "n": "!!", "e": "AQAB"},
    "off-curve": {**issuer_key("ES256").jwk(kid="off"), "x": issuer_key("ES256").jwk()["y"]},  # 21
    "symmetric": {"kty": "oct", "k": "c2VjcmV0", "kid": "sym", "alg": "HS256"},  # 11
    "members-twice": {"kty": "RSA", "kid": _KEY.kid, "n": "AAAA", "e": "AQAB"},
}


@pytest.mark.parametrize("case", GOOD_BESIDE)
async def test_a_bad_key_spoils_none_beside_it(case: str) -> None:
    """
    A key that cannot be used is left out alone, and takes no other key's name.
    """
    async with client_of(key_server.body(jwks(GOOD_BESIDE[case], _KEY))) as client:
        assert client.accepts(GOOD.token())


async def test_a_members_last_word_counts() -> None:
    """
    In a JWK that names a member twice the last one counts, as for every reader of JSON we use: no two of ours disagree.
    """
    twice = json.dumps(_KEY.jwk())[:-1] + f', "kid": "other", "kid": "{_KEY.kid}"}}'
    async with client_of(key_server.body(f'{{"keys": [{twice}]}}'.encode())) as client:
        assert client.accepts(GOOD.token())


async def test_a_key_that_was_withdrawn_is_good_for_nobody() -> None:
    """
    A token by a key that the set no longer has is refused from the next fetch on.
    """
    async with client_of(key_server.body(jwks(_KEY, ATTACKER.keys[0])), key_server.body(_KEY_SET)) as client:
        assert client.accepts(ATTACKER.token())
        await client.refresher.refresh()

        assert not client.accepts(ATTACKER.token())


async def test_keys_that_nobody_confirms_for_a_day_are_good_for_nobody() -> None:
    """
    A day after the last good answer nobody vouches for the keys, and all tokens are refused.
    """
    async with client_of(key_server.body(_KEY_SET), key_server.body(b"", 500)) as client:
        client.monotonic += 86_399
        assert client.accepts(GOOD.token())
        client.monotonic += 1

        assert not client.accepts(GOOD.token())


async def test_ten_thousand_invented_names_cost_one_fetch() -> None:
    """
    However many names of keys are invented, the endpoint is asked once a cool-down, and a real rotation in the middle
    is found by the next of them.
    """
    async with client_of(
        key_server.body(_KEY_SET), key_server.body(_KEY_SET), key_server.body(ATTACKER.jwks())
    ) as client:
        for _ in range(10_000):
            await client.refresher.refresh_for_unknown_kid(0.3)
        assert 2 == len(client.server.asked)
        client.monotonic += COOLDOWN_SECONDS
        await client.refresher.refresh_for_unknown_kid(0.3)

        assert client.accepts(ATTACKER.token())


@pytest.mark.e2e
async def test_a_hanging_endpoint_holds_no_good_login_up(sealed_world: World) -> None:
    """
    While the endpoint hangs and tokens with invented keys come in, good logins are answered as ever.
    """
    endpoint = sealed_world.keys
    endpoint.delay = 3.0
    try:
        bad = [asyncio.create_task(ask(sealed_world, auth_token=sealed_world.token(key=_fresh(n)))) for n in range(5)]
        await asyncio.sleep(0.05)
        waits = []
        for _ in range(20):
            good = await ask(sealed_world, auth_token=sealed_world.token())
            assert good.let_in
            waits.append(good.seconds)
        refused = await asyncio.gather(*bad)
    finally:
        endpoint.delay = 0.0

    assert [False] * 5 == [one.let_in for one in refused]
    assert sorted(waits)[10] < 0.1


def _fresh(number: int) -> IssuerKey:
    return issuer_key("ES256", 100 + number)


@pytest.mark.e2e
async def test_an_endpoint_that_is_down_at_the_start_is_waited_for(sealed_world: World) -> None:
    """
    Without keys the responder is up and un-ready, and asks for no requests; when the endpoint comes it lets people in.
    """
    endpoint = sealed_world.keys
    endpoint.down()
    late = sealed_world.start_responder(ready=False, LOG_LEVEL="info")
    try:
        await until(lambda: late.events("issuer key refresh failed"))
        assert (200, 503) == (late.get("/health")[0], late.get("/readyz")[0])
    finally:
        endpoint.up()
    late.wait_ready()

    assert (await ask(sealed_world, auth_token=sealed_world.token())).let_in
    assert 0 == late.stop()
