"""POLICY_FILE while we run: a good change counts within seconds, a bad one leaves the last good policy in force."""

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from nats_k8s_oidc_callout.adapters.files import Seen, Watched
from nats_k8s_oidc_callout.adapters.telemetry import PolicyMetrics
from nats_k8s_oidc_callout.app.facts import grants_of
from nats_k8s_oidc_callout.app.namespaces import NamespaceLabels
from nats_k8s_oidc_callout.core.decide import Facts
from nats_k8s_oidc_callout.core.grants.grants import Grants
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import Settings, read_policy

log = structlog.get_logger("policy")

INTERVAL_SECONDS = 2.0
# For a file that is written in place. A mounted one changes at once.
SETTLE_SECONDS = 0.2
# For the labels of namespaces that a new policy goes by and the one before did not.
_SYNC_SECONDS = 30.0
_WARNINGS_MAX = 20
# How long whoever waits for the interpreter waits for it while a file is read beside the logins. The usual 5 ms would
# be paid at each call of a login into cryptography, of which there are ten.
_SWITCH_SECONDS = 0.0005


class LivePolicy:
    """Puts the policy in force into `facts`, whole and in one step: a request is judged by the old one or the new one."""

    def __init__(
        self,
        settings: Settings,
        facts: Facts,
        labels: NamespaceLabels,
        metrics: PolicyMetrics,
        *,
        settle: Callable[[], object] = lambda: time.sleep(SETTLE_SECONDS),
    ) -> None:
        self._settings, self._facts, self._labels, self._metrics = settings, facts, labels, metrics
        self._prepared = labels.source
        policy, path = settings.policy, settings.policy_file
        if policy is None or path is None:
            raise ValueError("there is no policy file")
        self.on_taken: Callable[[Grants, Grants], None] | None = None
        """Told of the grants before and of those of the policy that is in force from now on."""
        self._file: Watched[Policy] = Watched(
            path,
            self._read,
            self._take,
            adopted=bytes.fromhex(policy.digest),
            settle=settle,
        )
        self._take(policy)

    async def run(self) -> None:
        """Follow the file until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.poll()

    async def poll(self) -> None:
        """Look at the file once."""
        seen = await asyncio.to_thread(self._file.look)
        for policy in seen.value:
            try:
                self._prepared = await self._labels.prepare(policy.label_keys, _SYNC_SECONDS)
            except Unreachable as error:
                # Not the file's fault: the next look tries again.
                seen = Seen(b"", (), error)
        self._file.adopt(seen)
        if self._file.failing:
            self._metrics.rejected()
        else:
            self._metrics.usable()

    @property
    def rejected(self) -> bool:
        """Whether another policy is in force than the file's, which is bad or could not be taken."""
        return bool(self._file.failing)

    def _read(self, content: bytes) -> Policy:
        with _beside_logins():
            return read_policy(content, self._settings)

    def _take(self, policy: Policy) -> None:
        before = self._facts.grants
        self._facts.grants = grants_of(self._settings, policy)
        self._labels.use(self._prepared)
        self._metrics.took(policy.digest, (rule.name for rule in policy.rules), time.time())
        log.info(
            "policy in force",
            path=str(self._file.path),
            sha256=policy.digest,
            rules=len(policy.rules),
            revoked=len(policy.revoked.entries),
        )
        for number, warning in enumerate(self._warnings(policy)):
            if number == _WARNINGS_MAX:
                log.warning("policy warning", detail="and more: policy check has all")
                break
            log.warning("policy warning", detail=warning)
        if self.on_taken is not None:
            self.on_taken(before, self._facts.grants)

    def _warnings(self, policy: Policy) -> Iterator[str]:
        for rule in policy.rules:
            # What a template makes is known at a login only.
            if rule.refuse is None and not rule.account.names and (why := self._facts.placeable(rule.account.text)):
                yield f"rule {rule.name}: {why}"


@contextmanager
def _beside_logins() -> Iterator[None]:
    """Keep logins waiting for milliseconds only, while this thread reads a file.

    No garbage is collected meanwhile: so many new objects have the collector look through everything that is alive, and
    for 100 ms nobody is answered. What reading leaves behind is the policy, which goes without it, too.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.disable()
    try:
        yield
    finally:
        # Or the next collection would look through the policy.
        gc.freeze()
        gc.enable()
        sys.setswitchinterval(before)
