"""Every ServiceAccount there is, page by page, for commands that ask about all: nothing of a page is kept."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from nats_k8s_oidc_callout.adapters.kubernetes import ApiServer
from nats_k8s_oidc_callout.adapters.kubernetes.listing import walk
from nats_k8s_oidc_callout.app import sources
from nats_k8s_oidc_callout.app.namespaces import FolderNamespaces
from nats_k8s_oidc_callout.core.grants.entries import Reader
from nats_k8s_oidc_callout.core.kubernetes import wire
from nats_k8s_oidc_callout.core.kubernetes.namespaces import Namespaces
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from nats_k8s_oidc_callout.errors import ConfigurationError, Unreachable
from nats_k8s_oidc_callout.settings import Settings


class Counted(NamedTuple):
    """One ServiceAccount."""

    namespace: str
    name: str
    uid: str
    """Empty for one from a manifest without a uid."""
    annotations: Mapping[str, str] | None
    """Those under our prefix, as a login reads them."""


async def service_accounts(settings: Settings) -> AsyncIterator[Counted]:
    """Yield every ServiceAccount that the settings let in, in the order of the cluster or of the manifests.

    Raises Unreachable when not all can be told, ConfigurationError without a source.
    """
    if settings.service_accounts_dir is not None:
        async for counted in _of_folder(settings.service_accounts_dir, settings):
            yield counted
        return
    api = _api(settings)
    try:
        async for counted in _of_cluster(api, settings.k8s_namespaces, Reader(settings.sa_annotation_prefix)):
            yield counted
    finally:
        await api.close()


def _api(settings: Settings) -> ApiServer:
    api = sources.api_server(settings)
    if api is None:
        raise ConfigurationError(["SERVICE_ACCOUNTS_DIR: no source of ServiceAccounts"])
    return api


async def _of_cluster(api: ApiServer, namespaces: Sequence[str], reader: Reader) -> AsyncIterator[Counted]:
    scopes = [f"/namespaces/{quote(namespace, safe='')}" for namespace in namespaces] or [""]
    for scope in scopes:
        async for meta in walk(api, f"/api/v1{scope}/serviceaccounts", wire.SERVICE_ACCOUNTS.read_page):
            # Tokens of one that is being deleted are refused at once.
            if not meta.deletion:
                yield Counted(meta.namespace, meta.name, meta.uid, reader.read(meta.annotations))


async def _of_folder(folder: Path, settings: Settings) -> AsyncIterator[Counted]:
    # In a cluster nothing reads YAML.
    from nats_k8s_oidc_callout.adapters.manifests import ManifestFolder  # noqa: PLC0415

    manifests = ManifestFolder(folder, Index(settings.sa_annotation_prefix))
    await manifests.poll()
    if manifests.failing:
        raise Unreachable(f"{folder}: {manifests.failing}")
    for manifest in manifests.manifests:
        if not settings.k8s_namespaces or manifest.namespace in settings.k8s_namespaces:
            account = manifest.account
            yield Counted(manifest.namespace, manifest.name, account.uid, account.annotations)


async def labels(settings: Settings, keys: Collection[str]) -> Callable[[str], Mapping[str, str] | None]:
    """Return what tells the labels of a namespace that rules go by, None of one that is not there.

    Nothing is asked when they go by none.

    Raises Unreachable when not all can be told, ConfigurationError without a source.
    """
    if not keys:
        return lambda _: None
    if settings.service_accounts_dir is not None:
        folder = FolderNamespaces(settings.service_accounts_dir, keys)
        await folder.prime()
        if folder.failing:
            raise Unreachable(f"{settings.service_accounts_dir}: {folder.failing}")
        return folder.index.find
    api = _api(settings)
    try:
        return (await _labels_of_cluster(api, settings.k8s_namespaces, keys)).get
    finally:
        await api.close()


async def _labels_of_cluster(
    api: ApiServer, namespaces: Sequence[str], keys: Collection[str]
) -> Mapping[str, Mapping[str, str]]:
    index = Namespaces(keys)
    found: dict[str, Mapping[str, str]] = {}
    # A scoped release may look at its own alone.
    for only in namespaces or ("",):
        async for meta in walk(api, "/api/v1/namespaces", wire.NAMESPACES.read_page, only=only):
            found[meta.name] = index.labels_of(meta.labels)
    return found
