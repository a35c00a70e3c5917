"""Which terms the platform gives to which workload."""

from nats_k8s_oidc_callout.core.grants.policy import Policy
from tests.fakes.rules import TERMS


def test_one_rule_matches_everybody() -> None:
    """
    Without a policy file the settings are the terms of every workload.
    """
    policy = Policy(TERMS)

    assert TERMS is policy.terms_of("shop", "web") is policy.terms_of("nats-admin", "cli")
