"""The labels of namespaces, followed while rules of the policy in force go by them, and not a moment longer."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from nats_k8s_oidc_callout.adapters.kubernetes import ApiServer, Informer, LiveLookup
from nats_k8s_oidc_callout.adapters.telemetry import Gauge, Metrics
from nats_k8s_oidc_callout.app.sources import Loop, count_restart
from nats_k8s_oidc_callout.core.kubernetes.namespaces import Namespaces, Read
from nats_k8s_oidc_callout.core.model import Workload
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import Settings

_LOOK_SECONDS = 0.05


class ClusterNamespaces:
    """The Namespaces of the cluster: watched, and looked up one by one where the watch lags behind."""

    failing = ""

    def __init__(
        self, api: ApiServer, keys: Collection[str], namespaces: Sequence[str], on_restart: Callable[[str], None]
    ) -> None:
        """`keys` are the labels to read; `namespaces` those of a scoped release."""
        self.index = Namespaces(keys)
        self._informer = Informer(api, self.index, namespaces, on_restart=on_restart)
        self._lookup = LiveLookup(api, self.index, time.monotonic)

    @property
    def synced(self) -> bool:
        return self._informer.synced

    @property
    def last_contact(self) -> float | None:
        return self._informer.last_contact

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        try:
            await self._informer.run()
        finally:
            await self.close()

    async def look_up(self, workload: Workload, budget: float) -> Read | None:
        # Not kept for askers of another uid: they may be of the namespace before.
        return await self._lookup.look_up(workload.namespace, "", budget, uid=workload.uid)

    async def prime(self) -> None:
        """There is nothing to prepare."""

    async def close(self) -> None:
        await self._lookup.close()


class FolderNamespaces:
    """The Namespaces of a folder of manifests. One without a manifest does not exist."""

    def __init__(self, folder: Path, keys: Collection[str]) -> None:
        # In a cluster nothing reads YAML.
        from nats_k8s_oidc_callout.adapters.manifests import NamespaceFolder  # noqa: PLC0415

        self.index = Namespaces(keys)
        self._manifests = NamespaceFolder(folder, self.index)

    @property
    def synced(self) -> bool:
        return self._manifests.synced

    @property
    def last_contact(self) -> float | None:
        return self._manifests.last_contact

    @property
    def failing(self) -> str:
        return self._manifests.failing

    async def run(self) -> None:
        """Follow the folder until cancelled."""
        await self._manifests.run()

    async def look_up(self, workload: Workload, _: float) -> Read | None:
        found = self.index.find(workload.namespace)
        return None if found is None else Read.of(found, self.index.keys)

    async def prime(self) -> None:
        await self._manifests.poll()

    async def close(self) -> None:
        """There is nothing to close."""


NamespaceSource = ClusterNamespaces | FolderNamespaces
"""The labels of namespaces by certain keys, kept true as long as it runs. `prime` makes `look_up` do without."""


class NamespaceLabels:
    """The labels that the policy in force goes by. Without any nothing is asked, and no right is needed.

    Another policy may go by other labels: `prepare` them first, which changes nothing yet, then put policy and labels
    in force in one step, by `use`, with no `await` in between. Else a login would be judged by rules whose labels
    nobody has looked for.
    """

    def __init__(self, settings: Settings, api: ApiServer | None, keys: Collection[str], metrics: Metrics) -> None:
        self._settings, self._api, self._metrics = settings, api, metrics
        self._tasks: asyncio.TaskGroup | None = None
        self.on_change: Callable[[str], None] | None = None
        """Told of each namespace whose labels are others now. Which labels count changes with the policy, untold here."""
        self._running: dict[NamespaceSource, asyncio.Task[None]] = {}
        self.source = self._make(keys) if keys else None
        self.loops: Sequence[Loop] = [("namespaces", self.run)]
        metrics.mirror(Gauge.CACHE_NAMESPACES, lambda: 0 if self.source is None else len(self.source.index))

    @property
    def synced(self) -> bool:
        """Whether all labels that the policy goes by have been listed."""
        return self.source is None or self.source.synced

    def find(self, namespace: str) -> Mapping[str, str] | None:
        """Return the labels of a namespace that the policy goes by; None when they are not known."""
        return None if self.source is None else self.source.index.find(namespace)

    async def look_up(self, workload: Workload, budget: float) -> Read | None:
        """Return the labels of its namespace as the cluster has them now, None when there is no such namespace.

        Raises Unreachable when the cluster does not say, or not within `budget` seconds.
        """
        deadline = time.monotonic() + budget
        while (source := self.source) is not None:
            try:
                found = await source.look_up(workload, max(0.0, deadline - time.monotonic()))
            except Unreachable:
                if source is self.source:
                    raise
            else:
                if source is self.source:
                    return found
            # The policy changed meanwhile, and this one goes by other labels.
        raise Unreachable("the policy goes by no labels any more")

    async def learn(self, workload: Workload, budget: float) -> Read | None:
        """Look up as `look_up` does, and let `find` know the answer: for a single question, while nothing is followed."""
        found = await self.look_up(workload, budget)
        if self.source is not None and found is not None:
            self.source.index.begin(workload.namespace).put(workload.namespace, found)
        return found

    async def prime(self) -> None:
        """Make `look_up` tell the truth without `run`."""
        if self.source is not None:
            await self.source.prime()

    async def prepare(self, keys: Collection[str], seconds: float) -> NamespaceSource | None:
        """Return a source of these labels that has listed all namespaces, for `use`; None where no label is needed.

        Raises Unreachable when the list is not there within so many seconds: then all is as before. One that is not
        used in the end must be given to `drop`.
        """
        if not keys:
            return None
        if self.source is not None and set(self.source.index.keys) == set(keys):
            return self.source
        source = self._make(keys)
        self._start(source)
        try:
            async with asyncio.timeout(seconds):
                while not source.synced:
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            self.drop(source)
            raise Unreachable(f"the Namespaces were not listed within {seconds:.0f} s") from None
        except asyncio.CancelledError:
            self.drop(source)
            raise
        return source

    def use(self, source: NamespaceSource | None) -> None:
        """Have these labels count from now on, and the ones before no longer."""
        before, self.source = self.source, source
        if before is not source:
            self.drop(before)

    def drop(self, source: NamespaceSource | None) -> None:
        """End what follows a source, unless it is the one in use."""
        if source is not None and source is not self.source and (task := self._running.pop(source, None)):
            task.cancel()

    async def run(self) -> None:
        """Follow the labels in use, whichever they are, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            if self.source is not None:
                self._start(self.source)
            await asyncio.Event().wait()

    async def close(self) -> None:
        """End what `look_up` asks at present."""
        if self.source is not None:
            await self.source.close()

    def file_errors(self) -> Mapping[str, float]:
        """Return 1 for manifests while one of a Namespace is bad."""
        return {"manifests": 1.0} if self.source is not None and self.source.failing else {}

    def _make(self, keys: Collection[str]) -> NamespaceSource:
        settings = self._settings
        if settings.service_accounts_dir is not None or self._api is None:
            source: NamespaceSource = FolderNamespaces(settings.service_accounts_dir or Path(), keys)
        else:
            source = ClusterNamespaces(self._api, keys, settings.k8s_namespaces, count_restart(self._metrics))
        source.index.on_change = lambda namespace: self._tell(source, namespace)
        return source

    def _tell(self, source: NamespaceSource, namespace: str) -> None:
        if self.on_change is not None and source is self.source:
            self.on_change(namespace)

    def _start(self, source: NamespaceSource) -> None:
        if self._tasks is None:
            raise RuntimeError("the labels are not followed yet")
        self._running[source] = self._tasks.create_task(source.run(), name="namespaces of a policy")
