"""Where the issuer's keys and the ServiceAccounts come from: a cluster, or files. Wired here, ruled elsewhere."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
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
from nats_k8s_oidc_callout.app.key_endpoint import endpoint
from nats_k8s_oidc_callout.core.identity.keyset import KeySet, ParsedKeys, parse_jwks
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
from nats_k8s_oidc_callout.core.model import Workload
from nats_k8s_oidc_callout.errors import ConfigurationError, Unreachable
from nats_k8s_oidc_callout.settings import Cluster, Settings

log = structlog.get_logger("sources")

JWKS_PATH = "/openid/v1/jwks"
# A key is gone when it is told twice that it is.
_TOLD_SECONDS = 60.0

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


class KeySource:
    """The issuer's keys, kept fresh, and what is told about them."""

    loops: Sequence[Loop] = ()

    def __init__(self, keys: KeySet, where: str, metrics: Metrics) -> None:
        self.keys, self.where = keys, where
        self.last_error = ""
        self.on_fetched: Callable[[Collection[str]], None] | None = None
        """Told of the names of all keys after each fetch, whether or not they changed."""
        self._metrics = metrics
        self._last_success: float | None = None
        metrics.mirror(Gauge.JWKS_LAST_SUCCESS, lambda: self._last_success)

    async def refresh(self, budget: float) -> None:
        """Do what an unknown key makes us do, within so many seconds."""

    def may_come(self) -> bool:
        """Say whether `refresh` can bring anything at this moment."""
        return False

    def _succeeded(self, parsed: ParsedKeys, changed: bool) -> None:
        self._last_success = time.time()
        recovered, self.last_error = bool(self.last_error), ""
        if changed or recovered:
            log.info("issuer keys loaded", source=self.where, kids=sorted(parsed.keys), skipped=parsed.skipped)
        self._tell(parsed.keys)

    def _tell(self, kids: Collection[str]) -> None:
        if self.on_fetched is not None:
            self.on_fetched(kids)


class FileKeys(KeySource):
    """The keys of JWKS_FILE, which is read whenever it changes: an unknown key is simply unknown."""

    def __init__(self, path: Path, watch: Watch, metrics: Metrics) -> None:
        super().__init__(KeySet(staleness_seconds=None), str(path), metrics)
        self._kids: Collection[str] = ()
        watch("jwks", path, parse_jwks, self._take)
        self.loops = [("jwks told", self._tell_again)]

    async def _tell_again(self) -> None:
        while True:
            await asyncio.sleep(_TOLD_SECONDS)
            self._tell(self._kids)

    def _take(self, parsed: ParsedKeys) -> None:
        self._kids = parsed.keys
        self._succeeded(parsed, self.keys.replace(parsed.keys, time.monotonic()))


class EndpointKeys(KeySource):
    """The keys of a key endpoint."""

    def __init__(self, endpoint: JwksEndpoint, metrics: Metrics) -> None:
        super().__init__(KeySet(), endpoint.url, metrics)
        refresher = KeyRefresher(endpoint.fetch, self.keys, time.monotonic, self._succeeded, self._failed)
        self.loops = [("jwks refresh", refresher.run)]
        self._refresher = refresher

    async def refresh(self, budget: float) -> None:
        await self._refresher.refresh_for_unknown_kid(budget)

    def may_come(self) -> bool:
        return self._refresher.may_bring_keys()

    def _failed(self, reason: str) -> None:
        self.last_error = reason
        self._metrics.add(Count.JWKS_REFRESH_FAILURES)


def key_source(settings: Settings, api: ApiServer | None, watch: Watch, metrics: Metrics) -> KeySource:
    """Return the keys of JWKS_FILE, or of the key endpoint."""
    if settings.jwks_file is not None:
        return FileKeys(settings.jwks_file, watch, metrics)
    url = settings.jwks_url or (f"{api.base_url}{JWKS_PATH}" if api else "")
    return EndpointKeys(endpoint(settings, url, api, watch), metrics)


def count_restart(metrics: Metrics) -> Callable[[str], None]:
    """Return what counts a watch or list that failed, by its reason."""

    def restarted(reason: str) -> None:
        if reason not in _QUIET_ENDS:
            metrics.add_to(LabelledCount.WATCH_RESTARTS, reason)

    return restarted


class ClusterWorkloads:
    """The ServiceAccounts of the cluster: watched, and looked up one by one where the watch lags behind."""

    def __init__(self, api: ApiServer, index: Index, namespaces: Sequence[str], metrics: Metrics) -> None:
        self.index = index
        self._api = api
        self._informer = Informer(api, index, namespaces, on_restart=count_restart(metrics))
        self._lookup = LiveLookup(api, index, time.monotonic)
        self._now = LiveLookup(api, index, time.monotonic, keeps=False)
        self.loops: Sequence[Loop] = [("informer", self._informer.run)]

    @property
    def synced(self) -> bool:
        return self._informer.synced

    def file_errors(self) -> Mapping[str, float]:
        return {}

    async def look_up(self, workload: Workload, budget: float) -> ServiceAccount | None:
        return await self._lookup.look_up(workload.namespace, workload.name, budget, uid=workload.uid)

    async def look_now(self, namespace: str, name: str, budget: float) -> ServiceAccount | None:
        """Return what the cluster has at this moment. Raises Unreachable."""
        return await self._now.look_up(namespace, name, budget)

    async def prime(self) -> None:
        """There is nothing to prepare."""

    async def close(self) -> None:
        await self._lookup.close()
        await self._now.close()
        await self._api.close()

    def last_contact(self) -> float | None:
        """Return when the server last said anything, in monotonic seconds."""
        return self._informer.last_contact

    def in_sync(self, namespace: str) -> bool:
        """Say whether the index has of a namespace what the cluster says now: a watch is on, and no list."""
        return self._informer.in_sync(namespace)

    @property
    def listed_at(self) -> float:
        """When the last whole list began (Unix seconds); 0 before the first."""
        return self._informer.listed_at

    def list_again(self) -> None:
        """Have a whole list begin, at once or 5 s after the last one began."""
        self._informer.list_again()


class FolderWorkloads:
    """The ServiceAccounts of a folder of manifests."""

    def __init__(self, folder: Path, index: Index) -> None:
        # In a cluster nothing reads YAML.
        from nats_k8s_oidc_callout.adapters.manifests import ManifestFolder  # noqa: PLC0415

        self.index = index
        self._manifests = ManifestFolder(folder, index)
        self.loops: Sequence[Loop] = [("informer", self._manifests.run)]

    @property
    def synced(self) -> bool:
        return self._manifests.synced

    def last_contact(self) -> float | None:
        """There is no server."""
        return None

    def in_sync(self, _: str) -> bool:
        """Say whether the index has what the folder says."""
        return self.synced and not self._manifests.failing

    @property
    def listed_at(self) -> float:
        """When the folder was last read (Unix seconds); 0 before the first time."""
        return self._manifests.listed_at

    def list_again(self) -> None:
        """It is read whole every 2 seconds."""

    def file_errors(self) -> Mapping[str, float]:
        return {"manifests": float(bool(self._manifests.failing))}

    async def look_up(self, workload: Workload, _: float) -> ServiceAccount | None:
        return self.index.find(workload.namespace, workload.name)

    async def look_now(self, _: str, __: str, ___: float) -> ServiceAccount | None:
        """It is read whole every 2 seconds: `listed_at` says all that there is to say."""
        raise Unreachable("the folder is read every 2 seconds")

    async def prime(self) -> None:
        await self._manifests.poll()

    async def close(self) -> None:
        """There is nothing to close."""


WorkloadSource = ClusterWorkloads | FolderWorkloads
"""The ServiceAccounts, kept true. `prime` makes `look_up` tell the truth without the loops: for a single question."""


def workload_source(settings: Settings, api: ApiServer | None, metrics: Metrics) -> WorkloadSource:
    """Return the manifests of SERVICE_ACCOUNTS_DIR, or the cluster."""
    index = Index(settings.sa_annotation_prefix, _tell_share)
    metrics.mirror(Gauge.CACHE_SERVICEACCOUNTS, lambda: len(index))
    metrics.mirror(Gauge.CACHE_IGNORED, lambda: len(index.ignored))
    if settings.service_accounts_dir is not None:
        return FolderWorkloads(settings.service_accounts_dir, index)
    if api is None:
        raise ConfigurationError(["SERVICE_ACCOUNTS_DIR: no source of ServiceAccounts"])
    return ClusterWorkloads(api, index, settings.k8s_namespaces, metrics)


def _tell_share(namespace: str, read: bool) -> None:
    if read:
        log.info("informer reads the annotations of a namespace again", namespace=namespace)
        return
    log.warning(
        "informer ignores the annotations of a namespace",
        namespace=namespace,
        why="all annotations together are too large, and this namespace has the most",
    )
