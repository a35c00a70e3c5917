"""Where each need of a decision is fetched. Another need is another line here."""

from collections.abc import Callable

from nats_k8s_oidc_callout.app.namespaces import NamespaceLabels
from nats_k8s_oidc_callout.app.sources import KeySource, WorkloadSource
from nats_k8s_oidc_callout.core.decide import Answer
from nats_k8s_oidc_callout.core.model import Need, NeedKeys, NeedNamespace


class Needs:
    """The issuer's keys, the ServiceAccounts and the labels of Namespaces, for what a decision lacks."""

    def __init__(
        self,
        keys: KeySource,
        workloads: WorkloadSource,
        labels: NamespaceLabels,
        cache_miss: Callable[[], None] = lambda: None,
    ) -> None:
        self._keys, self._workloads, self._labels, self._cache_miss = keys, workloads, labels, cache_miss

    async def fetch(self, need: Need, budget: float) -> Answer:
        """Fetch what is needed, for at most so many seconds; raise Unreachable when the cluster does not answer."""
        if isinstance(need, NeedKeys):
            await self._keys.refresh(budget)
            return None
        if isinstance(need, NeedNamespace):
            return await self._labels.look_up(need.workload, budget)
        self._cache_miss()
        return await self._workloads.look_up(need.workload, budget)

    def may_come(self, need: Need) -> bool:
        """Say whether `fetch` can bring anything at this moment."""
        return not isinstance(need, NeedKeys) or self._keys.may_come()
