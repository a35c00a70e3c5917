"""The issuer's key endpoint: where our own token belongs, and where it must not go."""

import ssl
from pathlib import Path

from nats_k8s_oidc_callout.adapters.files import Watch
from nats_k8s_oidc_callout.adapters.jwks import JwksEndpoint
from nats_k8s_oidc_callout.adapters.kubernetes import ApiServer
from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.core.identity import own_token
from nats_k8s_oidc_callout.core.identity.own_token import Trust
from nats_k8s_oidc_callout.settings import Cluster, Settings

_RESOLV_CONF = Path("/etc/resolv.conf")


def endpoint(settings: Settings, url: str, api: ApiServer | None, watch: Watch) -> JwksEndpoint:
    """Return the key endpoint at `url`, asked with our token where that belongs; raise ValueError for a URL never used."""
    base = api.base_url if api and settings.cluster is Cluster.KUBECONFIG else ""
    trusted = own_token.trust_for(
        url, settings.kubernetes_service_host, settings.kubernetes_service_port, _domain(settings), base
    )
    return JwksEndpoint(
        url, trusted, _Credentials(api if trusted is Trust.CLUSTER else None, settings.jwks_ca_file, watch)
    )


class _Credentials:
    """Our own token and the cluster's CA; without the cluster no token, and JWKS_CA_FILE as it is now."""

    def __init__(self, api: ApiServer | None, ca_file: Path | None, watch: Watch) -> None:
        self._api = api
        self._ca: ssl.SSLContext | None = None
        if ca_file is not None:
            watch("tls", ca_file, lambda _: ssl.create_default_context(cafile=ca_file), self._take)

    def _take(self, ca: ssl.SSLContext) -> None:
        self._ca = ca

    def __call__(self) -> tuple[str | None, ssl.SSLContext | None]:
        if self._api is None:
            return None, self._ca
        current = self._api.credentials()
        return current.headers.get("Authorization", "").removeprefix("Bearer ") or None, current.tls


def _domain(settings: Settings) -> str:
    """Return the cluster's domain as our own resolv.conf shows it, else the usual one."""
    try:
        namespace = read_file(settings.k8s_credentials_dir / "namespace").decode("utf-8", "replace").strip()
        found = own_token.cluster_domain(read_file(_RESOLV_CONF).decode("utf-8", "replace"), namespace)
    except OSError:
        found = None
    return found or own_token.DEFAULT_CLUSTER_DOMAIN
