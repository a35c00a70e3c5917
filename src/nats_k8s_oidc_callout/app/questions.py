"""Questions about one workload or token, answered with the responder's own rules and sources, without NATS."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from prometheus_client import CollectorRegistry

from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.adapters.kubernetes import ApiServer
from nats_k8s_oidc_callout.adapters.telemetry import Metrics
from nats_k8s_oidc_callout.app import selftest, sources
from nats_k8s_oidc_callout.app.accounts import TargetAccounts
from nats_k8s_oidc_callout.app.facts import facts_of
from nats_k8s_oidc_callout.app.namespaces import NamespaceLabels
from nats_k8s_oidc_callout.app.needs import Needs
from nats_k8s_oidc_callout.core import decide
from nats_k8s_oidc_callout.core.decide import NOTHING_ASKED, Answer, Asked, Facts
from nats_k8s_oidc_callout.core.grants.annotations import Grant
from nats_k8s_oidc_callout.core.grants.nearest import Nearest, nearest
from nats_k8s_oidc_callout.core.grants.rules import Turned
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.core.model import (
    Judgement,
    Need,
    NeedNamespace,
    Reason,
    Request,
    Token,
    Verdict,
    Workload,
)
from nats_k8s_oidc_callout.core.nats.user import SELF_TEST
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.responder import settle
from nats_k8s_oidc_callout.settings import Settings

# Nobody waits for the answer but a person.
_PATIENCE_SECONDS = 10.0
# What a decision looks at of our own self-test: its connection name.
_SELF_TEST = Request("", "", "", "", "", None, "", 0, SELF_TEST, None, 0)


class Questions:
    """Answers questions; `open_with` makes one."""

    def __init__(
        self,
        settings: Settings,
        keys: sources.KeySource,
        workloads: sources.WorkloadSource,
        api: ApiServer | None,
        metrics: Metrics,
    ) -> None:
        self._keys = keys
        self._workloads = workloads
        self._facts: Facts = facts_of(settings, keys.keys, workloads.index)
        self.labels = NamespaceLabels(settings, api, self._facts.grants.policy.label_keys, metrics)
        self._facts.labels = self.labels.find
        self._needs = Needs(keys, workloads, self.labels)
        self._accounts = TargetAccounts(settings, lambda: None)
        self._facts.placeable = self._accounts.placeable
        self._facts.self_test = selftest.exempt(settings)

    @property
    def keys_trouble(self) -> str:
        """Why the issuer's keys could not be had, or nothing."""
        return self._keys.last_error

    async def fetch_keys(self) -> str:
        """Ask the issuer for its keys now, and return why they could not be had, or nothing."""
        await self._keys.refresh(_PATIENCE_SECONDS)
        return self._keys.last_error

    @property
    def keys_source(self) -> str:
        """Where the issuer's keys come from: a URL, or a file."""
        return self._keys.where

    async def service_account(self, namespace: str, name: str) -> ServiceAccount | None:
        """Return the ServiceAccount as the cluster has it now; raise Unreachable when the cluster does not answer.

        From then on the labels of its namespace are known, as far as rules go by them.
        """
        workload = Workload(namespace, name, "")
        found = await self._workloads.look_up(workload, _PATIENCE_SECONDS)
        if found is not None and self.labels.source is not None:
            await self.labels.learn(workload, _PATIENCE_SECONDS)
        return found

    def grant(self, namespace: str, name: str, account: ServiceAccount) -> Grant | Turned:
        """Return what a ServiceAccount may do and which of its annotation entries are left out; or why it is turned away.

        Raise Unreachable when the labels of its namespace decide and are not known.
        """
        policy, now = self._facts.grants.policy, time.time()
        if entry := policy.revoked.entry_for(Workload(namespace, name, account.uid), now, now):
            return Turned(Reason.REVOKED, entry.reason)
        found = self._facts.grants.compile(namespace, name, account.annotations, self._facts.labels(namespace))
        if found is None:
            raise Unreachable(f"the labels of namespace {namespace} are not known")
        if policy.digest and isinstance(found, Grant) and (why := self._facts.placeable(found.terms.account)):
            return Turned(Reason.NO_ACCOUNT, why, found.terms.rule)
        return found

    def lands_in(self, namespace: str, name: str) -> str:
        """Return where the servers must say that clients of a ServiceAccount are; empty when that is not known."""
        facts = self._facts
        return self._accounts.lands_in(facts.grants.policy, namespace, name, facts.labels(namespace))

    @property
    def policy_digest(self) -> str:
        """The SHA-256 of the policy file; empty without one."""
        return self._facts.grants.policy.digest

    def nearest_rule(self, namespace: str, name: str) -> Nearest | None:
        """Return the rule that came nearest to a ServiceAccount that none matches."""
        return nearest(self._facts.grants.policy.rules, namespace, name, self._facts.labels(namespace) or {})

    async def verdict_on(self, token: Token | None, *, as_self_test: bool = False) -> Verdict:
        """Return what a token is worth now; raise Unreachable when the cluster cannot be asked.

        `as_self_test`: as the responder judges it when our own self-test presents it, which needs no rule.
        """
        request = _SELF_TEST if as_self_test else None

        def decided(asked: Asked) -> Judgement:
            return decide.judge(token, "", self._facts, time.time(), time.monotonic(), asked, request)

        verdict, _ = await settle(decided(NOTHING_ASKED), NOTHING_ASKED, self._fetch, decided)
        # Never a NeedTurn: nothing here says that long work must wait.
        return cast("Verdict", verdict)

    async def _fetch(self, need: Need) -> Answer:
        if isinstance(need, NeedNamespace):
            return await self.labels.learn(need.workload, _PATIENCE_SECONDS)
        return await self._needs.fetch(need, _PATIENCE_SECONDS)


@asynccontextmanager
async def open_with(settings: Settings) -> AsyncIterator[Questions]:
    """Answer from what the settings name; close its connections afterwards."""
    metrics = Metrics(CollectorRegistry(), "")
    api = sources.api_server(settings)
    keys = sources.key_source(settings, api, FileWatch().watch, metrics)
    workloads = sources.workload_source(settings, api, metrics)
    one = Questions(settings, keys, workloads, api, metrics)
    try:
        await workloads.prime()
        await one.labels.prime()
        yield one
    finally:
        await one.labels.close()
        await workloads.close()
