"""The platform's rules whole, with the product's own defaults: tests `replace` what they are about."""

from typing import Any

from nats_k8s_oidc_callout.core.decide import SessionRules
from nats_k8s_oidc_callout.core.grants.annotations import PermissionRules
from nats_k8s_oidc_callout.core.identity.issuers import ClaimRules
from nats_k8s_oidc_callout.settings import Settings
from tests.fakes.issuer import AUDIENCE, ISSUER

_DEFAULTS: dict[str, Any] = {name: field.default for name, field in Settings.model_fields.items()}

CLAIMS = ClaimRules(
    issuers=(ISSUER,),
    audience=AUDIENCE,
    clock_skew_seconds=_DEFAULTS["clock_skew_seconds"],
    token_max_lifetime_seconds=_DEFAULTS["token_max_lifetime_seconds"],
    require_pod_bound=_DEFAULTS["require_pod_bound"],
)
SESSION = SessionRules(
    account="APP",
    max_seconds=_DEFAULTS["session_max_seconds"],
    clock_skew_seconds=_DEFAULTS["clock_skew_seconds"],
    namespaces=(),
)
PERMISSIONS = PermissionRules(
    annotation_prefix=_DEFAULTS["sa_annotation_prefix"],
    inbox_mode=_DEFAULTS["inbox_mode"],
    jetstream_grants=_DEFAULTS["jetstream_grants"],
    reply_mode=_DEFAULTS["reply_mode"],
    replies_max=_DEFAULTS["allow_responses_max"],
    replies_ttl_seconds=_DEFAULTS["allow_responses_ttl_seconds"],
)
