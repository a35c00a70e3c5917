"""The variables about tokens, their issuer's keys, and the cluster whose ServiceAccounts we know."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from nats_k8s_oidc_callout.settings import values
from nats_k8s_oidc_callout.settings.choices import Cluster
from nats_k8s_oidc_callout.settings.declaring import (
    KEY_FILE,
    MANIFESTS,
    Audience,
    Folder,
    Group,
    OptionalPath,
    ReadBy,
    Seconds,
    Whole,
    variable,
)

KUBERNETES_ISSUER = "https://kubernetes.default.svc"
KUBERNETES_JWKS_URL = "https://kubernetes.default.svc/openid/v1/jwks"


@dataclass(frozen=True)
class KubernetesVariables:
    """A part of Settings."""

    jwt_issuer: Annotated[tuple[str, ...], ReadBy(values.words)] = variable(
        "JWT_ISSUER",
        group=Group.TOKENS,
        default=(),
        shown=f"`iss` of our own mounted token, else `{KUBERNETES_ISSUER}`",
        meaning="`iss` of the tokens, exactly. Several, separated by commas, are names of one cluster's key set (a "
        "change of issuer), never several clusters.",
    )
    jwt_audience: Audience = variable(
        "JWT_AUDIENCE",
        group=Group.TOKENS,
        default="nats",
        meaning="What `aud` of the tokens must contain, exactly. One audience: a comma is an error.",
    )
    jwks_url: Annotated[str, ReadBy(values.jwks_url)] = variable(
        "JWKS_URL",
        group=Group.TOKENS,
        default="",
        shown=f"in a cluster `{KUBERNETES_JWKS_URL}`, with a kubeconfig its server, without a cluster required unless "
        "`JWKS_FILE` is set",
        meaning="Where the issuer's keys are. Our own token and the cluster's CA go only to the API server by its "
        "known names. `http` only to this machine.",
    )
    jwks_ca_file: OptionalPath = variable(
        "JWKS_CA_FILE",
        group=Group.TOKENS,
        shown="the system's",
        changes=KEY_FILE,
        meaning="Certificates (PEM) that the host in `JWKS_URL` is checked against, when it is not the API server.",
    )
    jwks_file: OptionalPath = variable(
        "JWKS_FILE",
        "JWKS_PATH",
        group=Group.TOKENS,
        changes=KEY_FILE,
        meaning="The issuer's keys in a file, instead of the URL. Setting both is an error.",
    )
    require_pod_bound: Annotated[bool, ReadBy(values.boolean)] = variable(
        "REQUIRE_POD_BOUND",
        group=Group.TOKENS,
        default=False,
        meaning="Refuse tokens that no pod holds, such as those of `kubectl create token`.",
    )
    token_max_lifetime_seconds: Whole = variable(
        "TOKEN_MAX_LIFETIME_SECONDS",
        group=Group.TOKENS,
        default=86400,
        gt=0,
        meaning="A token that was issued for longer than these seconds is refused.",
    )
    clock_skew_seconds: Seconds = variable(
        "CLOCK_SKEW_SECONDS",
        group=Group.TOKENS,
        default=30.0,
        ge=0,
        le=600,
        meaning="Seconds by which `nbf` and `iat` may lie ahead. `exp` gets none.",
    )

    k8s_in_cluster: Annotated[bool | None, ReadBy(values.boolean)] = variable(
        "K8S_IN_CLUSTER",
        group=Group.KUBERNETES,
        shown="true when `KUBERNETES_SERVICE_HOST` is set",
        meaning="Whether to reach the API server as a pod does, by the mounted token.",
    )
    k8s_credentials_dir: Folder = variable(
        "K8S_CREDENTIALS_DIR",
        group=Group.KUBERNETES,
        default=Path("/var/run/secrets/kubernetes.io/serviceaccount"),
        changes=KEY_FILE,
        meaning="The folder of the mounted `token` and `ca.crt`.",
    )
    kubernetes_service_host: Annotated[str, ReadBy(values.host)] = variable(
        "KUBERNETES_SERVICE_HOST",
        group=Group.KUBERNETES,
        default="",
        shown="set by the kubelet",
        meaning="Address of the API server; `kubernetes.default.svc` when `K8S_IN_CLUSTER` is true without it.",
    )
    kubernetes_service_port: Whole = variable(
        "KUBERNETES_SERVICE_PORT",
        group=Group.KUBERNETES,
        default=443,
        ge=1,
        le=65535,
        meaning="Port of the API server; set by the kubelet.",
    )
    kubeconfig: Annotated[str, ReadBy(values.paths)] = variable(
        "KUBECONFIG",
        group=Group.KUBERNETES,
        default="",
        shown="`$HOME/.kube/config`, if there is one and `SERVICE_ACCOUNTS_DIR` is not set",
        meaning="Outside a cluster: one or several files, separated by colons, for host, CA and credential. Needs the "
        "extra `kubeconfig`.",
    )
    home: OptionalPath = variable(
        "HOME", group=Group.KUBERNETES, shown="set by the system", meaning="Only to find `.kube/config`."
    )
    k8s_namespaces: Annotated[tuple[str, ...], ReadBy(values.namespaces)] = variable(
        "K8S_NAMESPACES",
        group=Group.KUBERNETES,
        default=(),
        shown="all",
        meaning="A scoped release: watch only these namespaces, separated by commas, and stay silent about everyone "
        "else, so that a sibling release can answer.",
    )
    service_accounts_dir: OptionalPath = variable(
        "SERVICE_ACCOUNTS_DIR",
        group=Group.KUBERNETES,
        changes=MANIFESTS,
        meaning="A folder of ServiceAccount manifests (YAML) as the only source, instead of the cluster. A `uid` is "
        "compared where the manifest has one. Manifests of Namespaces stand there, too, where rules go by their labels.",
    )

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
