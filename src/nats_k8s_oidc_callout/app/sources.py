"""Where the issuer's keys and the ServiceAccounts come from: a cluster, or files. Wired here, ruled elsewhere."""

import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from nats_k8s_oidc_callout.adapters.files import Watch
from nats_k8s_oidc_callout.adapters.jwks import JwksEndpoint, KeyRefresher
from nats_k8s_oidc_callout.adapters.kubernetes import (
    ApiServer,
    CredentialSource,
    Informer,
    KubeconfigCredentials,
    LiveLookup,
    MountedCredentials,
)
from nats_k8s_oidc_callout.adapters.telemetry import Count, Gauge, LabelledCount, Metrics
from nats_k8s_oidc_callout.core.identity import own_token
from nats_k8s_oidc_callout.core.identity.keyset import KeySet, ParsedKeys, parse_jwks
from nats_k8s_oidc_callout.core.identity.own_token import Trust
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
from nats_k8s_oidc_callout.core.model import Workload
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import Cluster, Settings

log = structlog.get_logger("sources")

JWKS_PATH = "/openid/v1/jwks"
_RESOLV_CONF = Path("/etc/resolv.conf")

# A watch has a time to live, and in a quiet cluster it is silent: restarting it then is no failure.
_QUIET_ENDS = ("ended", "silence")

Loop = tuple[str, Callable[[], Coroutine[None, None, None]]]
"""A background task: its name, and what runs for ever."""


def api_server(settings: Settings) -> ApiServer | None:
    """Return the API server that the settings name, or None without a cluster."""
    source: CredentialSource
    if settings.cluster is Cluster.IN_CLUSTER:
        source = MountedCredentials(settings.k8s_credentials_dir, settings.api_server)
    elif settings.cluster is Cluster.KUBECONFIG:
        source = KubeconfigCredentials(settings.kubeconfig)
    else:
        return None
    return ApiServer(source)


@dataclass(slots=True)
class KeySource:
    """The issuer's keys, kept fresh."""

    keys: KeySet
    refresh: Callable[[float], Awaitable[None]]
    """What an unknown key makes us do, within so many seconds."""
    may_come: Callable[[], bool]
    """Whether that can bring anything at this moment."""
    loops: list[Loop] = field(default_factory=list)
    where: str = ""
    last_error: str = ""


def key_source(settings: Settings, api: ApiServer | None, watch: Watch, metrics: Metrics) -> KeySource:
    """Return the keys of JWKS_FILE, or of the key endpoint."""
    last_success: list[float] = []
    metrics.mirror(Gauge.JWKS_LAST_SUCCESS, lambda: last_success[-1] if last_success else None)

    def succeeded(parsed: ParsedKeys, changed: bool) -> None:
        last_success[:] = [time.time()]
        recovered, source.last_error = bool(source.last_error), ""
        if changed or recovered:
            log.info("issuer keys loaded", source=source.where, kids=sorted(parsed.keys), skipped=parsed.skipped)

    if settings.jwks_file is not None:
        file_keys = KeySet(staleness_seconds=None)

        def take(parsed: ParsedKeys) -> None:
            succeeded(parsed, file_keys.replace(parsed.keys, time.monotonic()))

        source = KeySource(file_keys, _nothing_to_refresh, lambda: False, where=str(settings.jwks_file))
        watch("jwks", settings.jwks_file, parse_jwks, take)
        return source

    def failed(reason: str) -> None:
        source.last_error = reason
        metrics.add(Count.JWKS_REFRESH_FAILURES)

    url = settings.jwks_url or (f"{api.base_url}{JWKS_PATH}" if api else "")
    fetch = endpoint(settings, url, api, watch).fetch
    keys = KeySet()
    refresher = KeyRefresher(fetch, keys, time.monotonic, succeeded, failed)
    source = KeySource(
        keys,
        refresher.refresh_for_unknown_kid,
        refresher.may_bring_keys,
        [("jwks refresh", refresher.run)],
        url,
    )
    return source


async def _nothing_to_refresh(_: float) -> None:
    """A file is read when it changes; an unknown key is simply unknown."""


def endpoint(settings: Settings, url: str, api: ApiServer | None, watch: Watch) -> JwksEndpoint:
    """Return the key endpoint at `url`, asked with our token where that belongs; raise ValueError for a URL never used."""
    base = api.base_url if api and settings.cluster is Cluster.KUBECONFIG else ""
    trusted = own_token.trust_for(
        url, settings.kubernetes_service_host, settings.kubernetes_service_port, _domain(settings), base
    )
    ca: list[ssl.SSLContext] = []
    if settings.jwks_ca_file is not None:
        path = settings.jwks_ca_file
        watch(
            "tls",
            path,
            lambda _: ssl.create_default_context(cafile=path),
            lambda made: ca.__setitem__(slice(1), [made]),
        )

    def credentials() -> tuple[str | None, ssl.SSLContext | None]:
        if trusted is not Trust.CLUSTER or api is None:
            return None, ca[0] if ca else None
        current = api.credentials()
        return current.headers.get("Authorization", "").removeprefix("Bearer ") or None, current.tls

    return JwksEndpoint(url, trusted, credentials)


def _domain(settings: Settings) -> str:
    """Return the cluster's domain as our own resolv.conf shows it, else the usual one."""
    try:
        namespace = (settings.k8s_credentials_dir / "namespace").read_text().strip()
        found = own_token.cluster_domain(_RESOLV_CONF.read_text(), namespace)
    except OSError:
        found = None
    return found or own_token.DEFAULT_CLUSTER_DOMAIN


@dataclass(slots=True)
class WorkloadSource:
    """The ServiceAccounts, kept true."""

    index: Index
    synced: Callable[[], bool]
    look_up: Callable[[Workload, float], Awaitable[ServiceAccount | None]]
    loops: list[Loop]
    prime: Callable[[], Awaitable[None]]
    """Make `look_up` tell the truth without the loops: for a single question."""
    close: Callable[[], Awaitable[None]]


def workload_source(
    settings: Settings, api: ApiServer | None, metrics: Metrics, file_errors: dict[str, float]
) -> WorkloadSource:
    """Return the manifests of SERVICE_ACCOUNTS_DIR, or the cluster."""
    index = Index(settings.sa_annotation_prefix, _tell_share)
    metrics.mirror(Gauge.CACHE_SERVICEACCOUNTS, lambda: len(index))
    metrics.mirror(Gauge.CACHE_LEFT_OUT, lambda: len(index.left_out))
    if settings.service_accounts_dir is not None:
        return _manifests(settings.service_accounts_dir, index, file_errors)
    if api is None:
        raise ConfigurationError(["SERVICE_ACCOUNTS_DIR: no source of ServiceAccounts"])

    def restarted(reason: str) -> None:
        if reason not in _QUIET_ENDS:
            metrics.add_to(LabelledCount.WATCH_RESTARTS, reason)

    informer = Informer(api, index, settings.k8s_namespaces, on_restart=restarted)
    metrics.mirror(Gauge.WATCH_LAST_EVENT, lambda: _wall(informer.last_contact))
    lookup = LiveLookup(api, index.read, time.monotonic)

    async def look_up(workload: Workload, budget: float) -> ServiceAccount | None:
        return await lookup.look_up(workload.namespace, workload.name, budget, uid=workload.uid)

    async def close() -> None:
        await lookup.close()
        await api.close()

    return WorkloadSource(index, lambda: informer.synced, look_up, [("informer", informer.run)], _nothing, close)


def _tell_share(namespace: str, counts: bool) -> None:
    if counts:
        log.info("informer annotations of a namespace count again", namespace=namespace)
        return
    log.warning(
        "informer annotations of a namespace do not count: all together are too large, and it has most",
        namespace=namespace,
    )


def _wall(monotonic: float | None) -> float | None:
    """Return a moment of the monotonic clock in Unix seconds, as a dashboard wants it."""
    return None if monotonic is None else time.time() - (time.monotonic() - monotonic)


def _manifests(folder: Path, index: Index, file_errors: dict[str, float]) -> WorkloadSource:
    # In a cluster nothing reads YAML.
    from nats_k8s_oidc_callout.adapters.manifests import ManifestFolder  # noqa: PLC0415

    manifests = ManifestFolder(
        folder,
        index,
        on_error=lambda _: file_errors.__setitem__("manifests", 1.0),
        on_good=lambda: file_errors.__setitem__("manifests", 0.0),
        on_synced=lambda: _warn_of_unchecked(manifests.unchecked),
    )

    async def look_up(workload: Workload, _: float) -> ServiceAccount | None:
        return index.find(workload.namespace, workload.name)

    return WorkloadSource(
        index, lambda: manifests.synced, look_up, [("informer", manifests.run)], manifests.poll, close=_nothing
    )


def _warn_of_unchecked(number: int) -> None:
    if number:
        log.warning("informer has ServiceAccounts without a uid, matched by name alone", number=number)


async def _nothing() -> None:
    """There is nothing to prepare, or to close."""
