"""When we are ready: what must hold, what is said of it, and the subscription that follows it."""

import asyncio
import time

import structlog

from nats_k8s_oidc_callout.adapters.http import Check
from nats_k8s_oidc_callout.adapters.nats import Link
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.app.namespaces import NamespaceLabels
from nats_k8s_oidc_callout.app.sources import KeySource, WorkloadSource

log = structlog.get_logger("app")

# How quickly a lost or regained condition reaches the subscription and /readyz.
_LOOK_SECONDS = 0.05


class Readiness:
    """The subscription is the real readiness: NATS asks any member of the queue group."""

    def __init__(
        self, link: Link, keys: KeySource, workloads: WorkloadSource, labels: NamespaceLabels, keyring: Keyring
    ) -> None:
        self._link, self._keys, self._workloads, self._labels, self._keyring = link, keys, workloads, labels, keyring
        self._was_failing: list[str] | None = None
        self.leaving = False
        """Set once, before the last requests are answered."""

    def checks(self) -> list[Check]:
        """Return every condition of being ready, as /readyz?verbose lists them."""
        link = self._link
        return [
            Check("running", not self.leaving, "shutting down" if self.leaving else ""),
            Check("nats", link.connected, "" if link.connected else link.last_error or "not connected yet"),
            Check("subscription", link.subscribed, "" if link.subscribed else link.last_error or "not subscribed"),
            *self._conditions(),
        ]

    def all_hold(self) -> bool:
        """Say whether we are ready now."""
        return all(check.ok for check in self.checks())

    async def run(self) -> None:
        """Keep the subscription in step with what we are able to answer."""
        while True:
            self._link.set_serving(not self.leaving and all(check.ok for check in self._conditions()))
            self._tell()
            await asyncio.sleep(_LOOK_SECONDS)

    def _conditions(self) -> list[Check]:
        """Return what must hold before NATS may send us a request."""
        keys, synced, loaded = self._keys, self._workloads.synced, self._keyring.loaded
        fresh = keys.keys.fresh(time.monotonic())
        return [
            Check("cache", synced, "" if synced else "the ServiceAccounts are not listed yet"),
            *self._labels_check(),
            Check("keys", fresh, "" if fresh else keys.last_error or f"no keys from {keys.where} yet"),
            Check("signer", loaded, "" if loaded else "no signing key"),
        ]

    def _labels_check(self) -> list[Check]:
        """Return what holds for the labels of namespaces; nothing while no rule goes by any."""
        if self._labels.source is None:
            return []
        synced = self._labels.synced
        return [Check("labels", synced, "" if synced else "the Namespaces are not listed yet")]

    def _tell(self) -> None:
        """Log a change."""
        failing = [check.name for check in self.checks() if not check.ok]
        if failing == self._was_failing:
            return
        if not failing:
            log.info("ready")
        elif self._was_failing == []:
            log.warning("not ready", failing=failing)
        else:
            log.info("not ready yet", failing=failing)
        self._was_failing = failing
