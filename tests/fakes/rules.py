"""What the platform decides, whole, with the product's own defaults: tests `replace` what they are about."""

from nats_k8s_oidc_callout.app.facts import claim_rules, terms_of
from nats_k8s_oidc_callout.core.grants.grants import Grants
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.terms import Terms
from nats_k8s_oidc_callout.settings import Settings
from tests.fakes.issuer import AUDIENCE, ISSUER

_SETTINGS = Settings.model_construct(nats_account="APP", jwt_issuer=(ISSUER,), jwt_audience=AUDIENCE)

CLAIMS = claim_rules(_SETTINGS)
TERMS = terms_of(_SETTINGS)
PREFIX = _SETTINGS.sa_annotation_prefix


def fresh_grants(terms: Terms = TERMS) -> Grants:
    """Return an empty cache of grants, all of these terms."""
    return Grants(Policy(terms), PREFIX)
