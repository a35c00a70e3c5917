"""The variables about what workloads may do, and for how long."""

from dataclasses import dataclass
from typing import Annotated

from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode
from nats_k8s_oidc_callout.settings import values
from nats_k8s_oidc_callout.settings.declaring import MANIFESTS, Group, OptionalPath, ReadBy, Seconds, Whole, variable


@dataclass(frozen=True)
class PermissionVariables:
    """A part of Settings."""

    sa_annotation_prefix: Annotated[str, ReadBy(values.annotation_prefix)] = variable(
        "SA_ANNOTATION_PREFIX",
        group=Group.PERMISSIONS,
        default="nats.io/",
        meaning="What stands before `allowed-pub-subjects`, `allowed-sub-subjects` and `jetstream`.",
    )
    policy_file: OptionalPath = variable(
        "POLICY_FILE",
        group=Group.PERMISSIONS,
        meaning="The platform's rules: POLICY.md. Where a rule is silent the settings below count; without a file they count "
        "for everybody, and annotations go as far as the filter lets them.",
        changes=MANIFESTS,
    )
    inbox_mode: Annotated[InboxMode, ReadBy(values.choice(InboxMode))] = variable(
        "INBOX_MODE",
        group=Group.PERMISSIONS,
        default=InboxMode.SHARED,
        meaning="`shared`: `_INBOX.>` and the private inboxes, so every workload of an account can read every reply that "
        "goes to `_INBOX`. `private`: the private inboxes only.",
    )
    reply_mode: Annotated[ReplyMode, ReadBy(values.choice(ReplyMode))] = variable(
        "REPLY_MODE",
        group=Group.PERMISSIONS,
        default=ReplyMode.INBOX,
        meaning="How a service may answer. `inbox`: publish `_INBOX.>` and `_INBOX_SA.>`, nothing else. `responses`: the "
        "reply permission of NATS, which lets a workload publish on every subject of its account, by answering itself. "
        "`none`: neither.",
    )
    jetstream_grants: Annotated[JetStreamGrants, ReadBy(values.choice(JetStreamGrants))] = variable(
        "JETSTREAM_GRANTS",
        group=Group.PERMISSIONS,
        default=JetStreamGrants.DATA,
        meaning="What an annotation may ask to publish below `$JS`, `$KV` and `$O`: `data` of one named stream or "
        "bucket, or with `admin` everything. To subscribe is the same with both.",
    )
    allow_responses_max: Annotated[int, ReadBy(values.answers)] = variable(
        "ALLOW_RESPONSES_MAX",
        group=Group.PERMISSIONS,
        default=1,
        le=1_000_000,
        meaning="With `REPLY_MODE=responses`: how many answers a received request allows.",
    )
    allow_responses_ttl_seconds: Seconds = variable(
        "ALLOW_RESPONSES_TTL_SECONDS",
        group=Group.PERMISSIONS,
        default=120.0,
        gt=0,
        le=86400,
        meaning="With `REPLY_MODE=responses`: for how many seconds.",
    )
    session_max_seconds: Whole = variable(
        "SESSION_MAX_SECONDS",
        group=Group.PERMISSIONS,
        default=3600,
        gt=0,
        meaning="A session ends after these seconds at the latest, and never outlives its token.",
    )
