"""What the platform decides, whole, with the product's own defaults: tests `replace` what they are about."""

from nats_k8s_oidc_callout.app.facts import claim_rules, rule_of
from nats_k8s_oidc_callout.core.grants.grants import Grants
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import Rule
from nats_k8s_oidc_callout.core.grants.terms import Terms
from nats_k8s_oidc_callout.settings import Settings
from tests.fakes.issuer import AUDIENCE, ISSUER

_SETTINGS = Settings(nats_account="APP", jwt_issuer=(ISSUER,), jwt_audience=AUDIENCE)

CLAIMS = claim_rules(_SETTINGS)
RULE = rule_of(_SETTINGS)
PREFIX = _SETTINGS.sa_annotation_prefix


def terms_for(namespace: str, name: str, rule: Rule = RULE) -> Terms:
    """Return the terms of a workload by this rule."""
    terms = rule.terms_for(namespace, name, {}, {})
    assert isinstance(terms, Terms)
    return terms


TERMS = terms_for("shop", "web")


def fresh_grants(*rules: Rule) -> Grants:
    """Return an empty cache of grants by these rules; by the settings' one when there are none."""
    return Grants(Policy(rules or [RULE]), PREFIX)
