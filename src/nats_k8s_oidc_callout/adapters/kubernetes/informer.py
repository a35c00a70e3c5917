"""The reflectors of one release: one for the cluster, or one for each namespace of a scoped release."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from nats_k8s_oidc_callout.adapters.kubernetes.api import ApiServer
from nats_k8s_oidc_callout.adapters.kubernetes.pace import Pace
from nats_k8s_oidc_callout.adapters.kubernetes.reflector import Reflector
from nats_k8s_oidc_callout.core.kubernetes.relist import Index

log = structlog.get_logger("informer")

SUMMARY_SECONDS = 300.0


class Informer:
    """Fills the index from the cluster and keeps it so. Without namespaces it watches all of them."""

    def __init__(
        self,
        api: ApiServer,
        index: Index,
        namespaces: Sequence[str] = (),
        *,
        on_restart: Callable[[str], None],
        pace: Pace | None = None,
    ) -> None:
        """`on_restart(reason)` as for a Reflector."""
        self._index, self._resource = index, index.kind.resource
        self._reflectors = {
            namespace: Reflector(api, index, namespace, on_restart=on_restart, on_synced=self._one_synced, pace=pace)
            for namespace in (namespaces or (None,))
        }

    @property
    def synced(self) -> bool:
        """True once a first whole list of everything is in, and from then on."""
        return all(reflector.synced for reflector in self._reflectors.values())

    @property
    def last_contact(self) -> float | None:
        """Monotonic time of the server's last word, the oldest of all namespaces; None before the first."""
        heard = [reflector.last_contact for reflector in self._reflectors.values()]
        return min((at for at in heard if at is not None), default=None) if None not in heard else None

    @property
    def listed_at(self) -> float:
        """When the last whole list began (Unix seconds), the oldest of all namespaces; 0 before the first."""
        return min(reflector.listed_at for reflector in self._reflectors.values())

    def in_sync(self, namespace: str) -> bool:
        """Say whether what the index has of a namespace is what the cluster says now."""
        reflector = self._reflectors.get(namespace) or self._reflectors.get(None)
        return reflector is not None and reflector.in_sync

    def list_again(self) -> None:
        """Have whole lists begin, each at once or 5 s after the last one began."""
        for reflector in self._reflectors.values():
            reflector.list_again()

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for namespace, reflector in self._reflectors.items():
                tasks.create_task(reflector.run(), name=f"informer {self._resource} {namespace or 'all'}")
            tasks.create_task(self._summarise(), name=f"informer {self._resource} summary")

    async def _summarise(self) -> None:
        while True:
            await asyncio.sleep(SUMMARY_SECONDS)
            self._summary()

    def _one_synced(self) -> None:
        if self.synced:
            self._summary()

    def _summary(self) -> None:
        heard = self.last_contact
        log.info(
            "informer summary",
            resource=self._resource,
            synced=self.synced,
            objects=len(self._index),
            age_seconds=None if heard is None else round(time.monotonic() - heard, 1),
            skipped=self._index.skipped,
        )
