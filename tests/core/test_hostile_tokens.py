"""The table of hostile tokens, held against the decision in memory."""

import pytest

from nats_k8s_oidc_callout.core.decide import Asked, Facts, decide
from nats_k8s_oidc_callout.core.identity.keyset import KeySet, parse_jwks
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from nats_k8s_oidc_callout.core.model import Allow, Deny, NeedKeys, NeedServiceAccount
from tests.core.test_decide import request
from tests.fakes.forgery import Forge, uid_of
from tests.fakes.hostile_tokens import ALGORITHMS, HOSTILE, LET_IN
from tests.fakes.issuer import NOW, Issuer, issuer_key
from tests.fakes.rules import CLAIMS, fresh_grants

FORGE = Forge(Issuer(keys=[issuer_key(alg) for alg in ALGORITHMS]), NOW)


def decided(token: str) -> object:
    """Return what is decided in the end, everything having been asked for."""
    keys, accounts = KeySet(), Index("nats.io/")
    keys.replace(parse_jwks(FORGE.issuer.jwks()).keys, 0.0)
    accounts.begin().put("team-a", "orders", accounts.entry(uid_of("team-a", "orders"), None))
    facts = Facts(CLAIMS, (), keys, accounts, fresh_grants())
    return decide(request(token), facts, NOW, 1.0, Asked({NeedKeys: None, NeedServiceAccount: None}))


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_token_is_refused(case: str) -> None:
    """Each hostile token is refused for its own reason."""
    reason, make = HOSTILE[case]
    verdict = decided(make(FORGE))

    assert isinstance(verdict, Deny)
    assert reason == verdict.reason


@pytest.mark.parametrize("case", LET_IN)
def test_an_odd_but_good_token_is_let_in(case: str) -> None:
    """What is unusual and no attack is let in."""
    assert isinstance(decided(LET_IN[case](FORGE)), Allow)
