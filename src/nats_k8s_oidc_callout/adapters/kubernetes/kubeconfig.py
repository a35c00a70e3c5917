"""Who we are to the API server, from a kubeconfig, for work outside a cluster. Host, CA and credential only."""

import ssl
from typing import TYPE_CHECKING

import structlog

from nats_k8s_oidc_callout.adapters.kubernetes.credentials import Credentials
from nats_k8s_oidc_callout.errors import ConfigurationError

if TYPE_CHECKING:
    from kubernetes.client import Configuration

log = structlog.get_logger("kubernetes")


class KubeconfigCredentials:
    """The current context of a kubeconfig (a path, or several joined by `:`; None is `~/.kube/config`).

    Read by the official client, which knows every way to log in (exec plugins, files, inline data). It is read
    again after a 401, which is when a plugin's token has run out.
    """

    def __init__(self, path: str | None) -> None:
        """Raise ConfigurationError when the extra is missing or the file gives no cluster."""
        self._path = path
        self._base_url, self._now = self._load()

    @property
    def base_url(self) -> str:
        return self._base_url

    def current(self, refused: bool = False) -> Credentials:
        """Return the credentials; after a refusal read the file and run its plugin again."""
        if refused:
            try:
                # The address stays: where we ask must never change under a running process.
                self._now = self._load()[1]
            except ConfigurationError as error:
                log.warning("kubeconfig unreadable, keeping the last credential", why=str(error))
        return self._now

    def _load(self) -> tuple[str, Credentials]:
        try:
            # Costs 50 MB, so only those who work outside a cluster install and load it.
            from kubernetes.client import Configuration  # noqa: PLC0415
            from kubernetes.config import ConfigException, load_kube_config  # noqa: PLC0415
            from yaml import YAMLError  # noqa: PLC0415
        except ImportError as error:
            raise ConfigurationError(
                ["KUBECONFIG: needs the extra: pip install 'nats-k8s-oidc-callout[kubeconfig]'"]
            ) from error
        found = Configuration()
        try:
            load_kube_config(  # type: ignore[no-untyped-call]  # has no annotations
                config_file=self._path, client_configuration=found, persist_config=False
            )
            credentials = Credentials(_headers(found), _tls(found))
        except (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError, YAMLError) as error:
            # The class alone and `from None`: the loader's texts quote what stands in the file.
            place = self._path or "~/.kube/config"
            raise ConfigurationError(
                [f"KUBECONFIG: {place} gives no cluster and credential ({type(error).__name__})"]
            ) from None
        unsupported = [
            name
            for name, is_set in (
                ("insecure-skip-tls-verify", not found.verify_ssl),
                ("tls-server-name", found.tls_server_name),
                ("proxy-url", found.proxy),
            )
            if is_set
        ]
        if unsupported:
            raise ConfigurationError([f"KUBECONFIG: {name} is not supported" for name in unsupported])
        return str(found.host).rstrip("/"), credentials


def _headers(found: "Configuration") -> dict[str, str]:
    # "BearerToken" holds the whole header value, "Bearer …" or "Basic …".
    authorization = found.api_key.get("BearerToken")
    return {"Authorization": authorization} if authorization else {}


def _tls(found: "Configuration") -> ssl.SSLContext | None:
    if not str(found.host).startswith("https"):
        return None
    tls = ssl.create_default_context(cafile=found.ssl_ca_cert or None)
    if found.cert_file:
        tls.load_cert_chain(found.cert_file, found.key_file)
    return tls
