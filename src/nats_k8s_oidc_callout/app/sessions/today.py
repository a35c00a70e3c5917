"""What every ServiceAccount would get if it logged in at this moment, and where: for commands, who ask once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nats_k8s_oidc_callout.app import census
from nats_k8s_oidc_callout.app.accounts import TargetAccounts
from nats_k8s_oidc_callout.app.facts import grants_of, policy_of
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import Turned
from nats_k8s_oidc_callout.core.sessions.judging import Today
from nats_k8s_oidc_callout.errors import ConfigurationError, Unreachable
from nats_k8s_oidc_callout.settings import Settings


class Known(NamedTuple):
    """One ServiceAccount."""

    uid: str
    today: Today | None
    """None for one that would be refused, or whose namespace's labels are not known."""
    refused: bool


@dataclass(slots=True)
class Census:
    """All of them."""

    policy: Policy
    accounts: set[str] = field(default_factory=set)
    """Where clients can be, as the servers call it."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the policy calls those, where that is something else."""
    of: dict[tuple[str, str], Known] = field(default_factory=dict)
    trouble: str = ""
    """Why the cluster could not be asked: then `of` is empty, and accounts that templates make are missing."""

    def name_of(self, account: str) -> str:
        return self.names.get(account, account)


async def take_census(settings: Settings) -> Census:
    """Ask the cluster, or the manifests, about everybody. What cannot be told is told in `trouble`."""
    policy, targets = policy_of(settings), TargetAccounts(settings, lambda: None)
    taken = Census(policy, names={targets.landing(name): name for name in targets.signers})
    named = {rule.account.text for rule in policy.rules if rule.refuse is None and not rule.account.names}
    taken.accounts = {targets.landing(name) for name in named | set(targets.signers)}
    grants = grants_of(settings, policy)
    try:
        labels_of = await census.labels(settings, policy.label_keys)
        async for counted in census.service_accounts(settings):
            made = grants.of(counted.namespace, counted.name, counted.annotations, labels_of(counted.namespace))
            known = Known(counted.uid, None, refused=False)
            if made is not None and isinstance(made.by, Turned):
                known = known._replace(refused=True)
            elif made is not None:
                account = targets.landing(made.account)
                taken.accounts.add(account)
                # Without labels of our own there is nothing to compare with.
                known = known._replace(today=Today(account, made.mark) if made.mark else None)
            taken.of[counted.namespace, counted.name] = known
    except (Unreachable, ConfigurationError, OSError) as error:
        taken.of.clear()
        taken.trouble = str(error) or type(error).__name__
    return taken
