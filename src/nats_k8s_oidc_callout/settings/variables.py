"""Settings whole: every variable we read. docs/CONFIGURATION.md is made from this class."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict

from nats_k8s_oidc_callout.core.grants.annotations import InboxMode, ReplyMode
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from nats_k8s_oidc_callout.settings import values
from nats_k8s_oidc_callout.settings.fields import (
    Cluster,
    Group,
    LogFormat,
    LogLevel,
    Mode,
    Seconds,
    Whole,
    variable,
)
from nats_k8s_oidc_callout.settings.kubernetes import KubernetesVariables
from nats_k8s_oidc_callout.settings.nats import NatsVariables


class Settings(KubernetesVariables, NatsVariables):
    """The configuration, checked whole. Only `load` makes one; secrets have no repr."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sa_annotation_prefix: Annotated[str, BeforeValidator(values.annotation_prefix)] = variable(
        "SA_ANNOTATION_PREFIX",
        group=Group.PERMISSIONS,
        default="nats.io/",
        meaning="What stands before `allowed-pub-subjects` and `allowed-sub-subjects`.",
    )
    inbox_mode: Annotated[InboxMode, BeforeValidator(values.choice(InboxMode))] = variable(
        "INBOX_MODE",
        group=Group.PERMISSIONS,
        default=InboxMode.SHARED,
        meaning="`shared`: `_INBOX.>` and the private inboxes, so every workload of an account can read every reply that "
        "goes to `_INBOX`. `private`: the private inboxes only.",
    )
    reply_mode: Annotated[ReplyMode, BeforeValidator(values.choice(ReplyMode))] = variable(
        "REPLY_MODE",
        group=Group.PERMISSIONS,
        default=ReplyMode.INBOX,
        meaning="How a service may answer. `inbox`: publish `_INBOX.>` and `_INBOX_SA.>`, nothing else. `responses`: the "
        "reply permission of NATS, which lets a workload publish on every subject of its account, by answering itself. "
        "`none`: neither.",
    )
    jetstream_grants: Annotated[JetStreamGrants, BeforeValidator(values.choice(JetStreamGrants))] = variable(
        "JETSTREAM_GRANTS",
        group=Group.PERMISSIONS,
        default=JetStreamGrants.DATA,
        meaning="What an annotation may ask to publish below `$JS`, `$KV` and `$O`: `data` of one named stream or "
        "bucket, or with `admin` everything. To subscribe is the same with both.",
    )
    allow_responses_max: Annotated[int, BeforeValidator(values.answers)] = variable(
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

    host: Annotated[str, BeforeValidator(values.host)] = variable(
        "HOST", group=Group.PROCESS, default="", shown="all addresses", meaning="Address for health and metrics."
    )
    port: Whole = variable(
        "PORT",
        group=Group.PROCESS,
        default=8080,
        ge=0,
        le=65535,
        meaning="Port for health and metrics; 0 takes a free one.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(values.choice(LogLevel, warning=LogLevel.WARN))] = variable(
        "LOG_LEVEL", group=Group.PROCESS, default=LogLevel.INFO, meaning="`debug`, `info`, `warn` or `error`."
    )
    log_format: Annotated[LogFormat, BeforeValidator(values.choice(LogFormat))] = variable(
        "LOG_FORMAT", group=Group.PROCESS, default=LogFormat.JSON, meaning="`json` or `console`."
    )

    warnings: tuple[str, ...] = ()
    """What works but should be said at the start; no variable, `load` fills it."""

    @property
    def mode(self) -> Mode:
        return Mode.OPERATOR if values.looks_like_account_key(self.nats_account) else Mode.CONFIG

    @property
    def cluster(self) -> Cluster:
        if self.k8s_in_cluster:
            return Cluster.IN_CLUSTER
        return Cluster.KUBECONFIG if self.kubeconfig else Cluster.NONE

    @property
    def api_server(self) -> str:
        """URL of the API server for a pod, without a path."""
        host = self.kubernetes_service_host or "kubernetes.default.svc"
        return f"https://{f'[{host}]' if ':' in host else host}:{self.kubernetes_service_port}"
