"""The settings as all that a decision looks at."""

from nats_k8s_oidc_callout.core.decide import Facts, SessionRules
from nats_k8s_oidc_callout.core.grants.annotations import PermissionRules
from nats_k8s_oidc_callout.core.grants.grants import Grants
from nats_k8s_oidc_callout.core.identity.issuers import ClaimRules
from nats_k8s_oidc_callout.core.identity.keyset import KeySet
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from nats_k8s_oidc_callout.settings import Settings


def claim_rules(settings: Settings) -> ClaimRules:
    """Return what the settings ask of a token."""
    return ClaimRules(
        issuers=settings.jwt_issuer,
        audience=settings.jwt_audience,
        clock_skew_seconds=settings.clock_skew_seconds,
        token_max_lifetime_seconds=settings.token_max_lifetime_seconds,
        require_pod_bound=settings.require_pod_bound,
    )


def permission_rules(settings: Settings) -> PermissionRules:
    """Return what the settings say about permissions."""
    return PermissionRules(
        annotation_prefix=settings.sa_annotation_prefix,
        inbox_mode=settings.inbox_mode,
        jetstream_grants=settings.jetstream_grants,
        reply_mode=settings.reply_mode,
        replies_max=settings.allow_responses_max,
        replies_ttl_seconds=settings.allow_responses_ttl_seconds,
    )


def session_rules(settings: Settings) -> SessionRules:
    """Return what the settings say about sessions, and about whom we answer for."""
    return SessionRules(
        account=settings.nats_account,
        max_seconds=settings.session_max_seconds,
        clock_skew_seconds=settings.clock_skew_seconds,
        namespaces=frozenset(settings.k8s_namespaces),
    )


def facts_of(settings: Settings, keys: KeySet, accounts: Index) -> Facts:
    """Return everything that a decision looks at."""
    return Facts(
        claims=claim_rules(settings),
        session=session_rules(settings),
        keys=keys,
        accounts=accounts,
        grants=Grants(permission_rules(settings)),
    )
