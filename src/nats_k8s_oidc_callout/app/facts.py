"""The settings as all that a decision looks at."""

import hashlib

import msgspec

from nats_k8s_oidc_callout.core.decide import Facts
from nats_k8s_oidc_callout.core.grants.grants import Grants
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import Rule
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.identity.issuers import ClaimRules
from nats_k8s_oidc_callout.core.identity.keyset import KeySet
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from nats_k8s_oidc_callout.core.nats.user import ENCODER_VERSION
from nats_k8s_oidc_callout.settings import SessionControl, Settings


def claim_rules(settings: Settings) -> ClaimRules:
    """Return what the settings ask of a token."""
    return ClaimRules(
        issuers=settings.jwt_issuer,
        audience=settings.jwt_audience,
        clock_skew_seconds=settings.clock_skew_seconds,
        token_max_lifetime_seconds=settings.token_max_lifetime_seconds,
    )


def rule_of(settings: Settings) -> Rule:
    """Return what the settings decide about every workload, as the one rule of a policy."""
    return Rule(
        name="",
        account=Template(settings.nats_account, ()),
        root=Template.of("{namespace}"),
        session_max_seconds=settings.session_max_seconds,
        inbox_mode=settings.inbox_mode,
        jetstream_grants=settings.jetstream_grants,
        reply_mode=settings.reply_mode,
        replies_max=settings.allow_responses_max,
        replies_ttl_seconds=settings.allow_responses_ttl_seconds,
    )


def policy_of(settings: Settings) -> Policy:
    """Return the policy of the file, else that of the settings alone."""
    return settings.policy or Policy([rule_of(settings)])


def labels_sessions(settings: Settings) -> bool:
    """Say whether the servers are to show what each session was granted."""
    return settings.session_label and settings.session_control is not SessionControl.OFF


def grants_of(settings: Settings, policy: Policy) -> Grants:
    """Return an empty cache of grants by a policy. Nobody else makes one: replicas compare what labels say of it."""
    decides = (
        ENCODER_VERSION,
        policy.digest,
        settings.sa_annotation_prefix,
        settings.nats_account,
        settings.session_max_seconds,
        settings.inbox_mode,
        settings.jetstream_grants,
        settings.reply_mode,
        settings.allow_responses_max,
        settings.allow_responses_ttl_seconds,
    )
    mark = hashlib.sha256(msgspec.json.encode(decides)).hexdigest()[:6] if labels_sessions(settings) else ""
    return Grants(policy, settings.sa_annotation_prefix, mark)


def facts_of(settings: Settings, keys: KeySet, accounts: Index) -> Facts:
    """Return everything that a decision looks at."""
    return Facts(
        claims=claim_rules(settings),
        namespaces=frozenset(settings.k8s_namespaces),
        keys=keys,
        accounts=accounts,
        grants=grants_of(settings, policy_of(settings)),
        require_pod_bound=settings.require_pod_bound,
        release=settings.session_release if labels_sessions(settings) else "",
    )
