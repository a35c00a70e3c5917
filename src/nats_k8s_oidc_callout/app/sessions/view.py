"""What holds today, for whoever judges a session, and where sessions are."""

import asyncio
import time
from collections.abc import Callable, Collection, Container

from nats_k8s_oidc_callout.app.accounts import TargetAccounts
from nats_k8s_oidc_callout.app.sources import WorkloadSource
from nats_k8s_oidc_callout.core.decide import Facts
from nats_k8s_oidc_callout.core.grants import conditions
from nats_k8s_oidc_callout.core.grants.contained import contained
from nats_k8s_oidc_callout.core.grants.grants import Grants, Made
from nats_k8s_oidc_callout.core.grants.rules import Turned
from nats_k8s_oidc_callout.core.grants.terms import Terms
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.core.model import ConnectionKind, Reason
from nats_k8s_oidc_callout.core.nats.connz import Row
from nats_k8s_oidc_callout.core.nats.signers import Signers
from nats_k8s_oidc_callout.core.sessions.grown import Grown
from nats_k8s_oidc_callout.core.sessions.judging import Kids, Listed, Policies, Today
from nats_k8s_oidc_callout.core.sessions.label import of_kid
from nats_k8s_oidc_callout.core.sessions.proofs import Proofs
from nats_k8s_oidc_callout.core.sessions.table import Session, session_of
from nats_k8s_oidc_callout.settings import Mode, Settings

ACCOUNTS_MAX = 1000
"""So many accounts are asked about at the most: sessions in others end by their time."""
_LOGIN_SECONDS = 2.0
_SLICE_SECONDS = 0.002
_PAUSE_SECONDS = 0.008

_Workload = tuple[str, str]


class LiveView:
    """The facts of decisions, as `judging.View` asks for them.

    A question may make a grant, as a login would: 0.2 ms, and up to 10 for annotations that are heavy.
    """

    def __init__(
        self,
        settings: Settings,
        facts: Facts,
        workloads: WorkloadSource,
        accounts: TargetAccounts,
        signers: Callable[[], Signers | None],
        rejected: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`rejected` says that the policy file is not the one in force."""
        self._settings, self._facts, self._workloads = settings, facts, workloads
        self._accounts, self._signers, self._rejected, self._clock = accounts, signers, rejected, clock
        self._kids = Kids()
        self._listed_of: tuple[Grants, Listed] | None = None
        self._found: tuple[Grants, set[str]] | None = None
        self._new: dict[_Workload, None] = {}
        self._signers_seen: Signers | None = None
        self._had_keys: set[str] = set()
        # Twenty sessions of one workload ask the same.
        self._last: tuple[Grants, object, Made | None] | None = None
        self.release = settings.session_release
        self.namespaces: Container[str] | None = frozenset(settings.k8s_namespaces) or None
        self.policies = Policies()
        self.proofs = Proofs()
        self.grown: Grown[Made] = Grown(contained, lambda made: len(made.encoded))
        self.policies.have(facts.grants.policy_mark, self._clock())

    @property
    def listed(self) -> Listed:
        """Who is revoked by the policy in force."""
        grants = self._facts.grants
        if self._listed_of is None or self._listed_of[0] is not grants:
            self._listed_of = grants, Listed(grants.policy.revoked)
        return self._listed_of[1]

    @property
    def kids(self) -> Container[str] | None:
        """The issuer's keys, as labels spell them."""
        return self._kids.known

    @property
    def policy_taken(self) -> bool:
        """Whether the policy in force is the file's."""
        return not self._rejected()

    @property
    def literal_accounts(self) -> frozenset[str]:
        """The accounts that settings and rules name, as servers spell them."""
        named = {rule.account.text for rule in self._facts.grants.policy.rules if not rule.account.names}
        names = {self._settings.nats_account, *self._accounts.signers, *named}
        return frozenset(self._accounts.landing(name) for name in names if name)

    def fetched(self, kids: Collection[str]) -> None:
        """Take in which keys the issuer has."""
        self._kids.fetched({of_kid(kid) for kid in kids}, self._clock())

    def taken(self) -> None:
        """Take in that another policy is in force."""
        self.policies.have(self._facts.grants.policy_mark, self._clock())

    def synced(self, namespace: str) -> bool:
        return self._workloads.in_sync(namespace)

    def is_ahead_of(self, session: Session) -> bool:
        """Say whether its ServiceAccount was listed or looked up since a session began, and have it looked up if not."""
        if session.seen < max(self._workloads.listed_at, self.proofs.of(session.workload)):
            return True
        self.proofs.want(session.workload, self._clock())
        return False

    def looked_up(self, workload: _Workload, found: ServiceAccount | None, asked: float) -> None:
        """Take in what the cluster, asked at `asked` (Unix seconds), says of a ServiceAccount.

        When that is what we have, we are not behind. Else the watch will tell, or a list, and its sessions are judged anew.
        """
        held = self.account_of(*workload)
        if held is not None and found is not None and not self._facts.accounts.is_whole(workload[0]):
            # Its annotations count for nobody's end.
            found = ServiceAccount(found.uid, held.annotations)
        if found == held:
            self.proofs.same(workload, asked)
        elif self.proofs.other(workload, asked):
            self._workloads.list_again()

    def account_of(self, namespace: str, name: str) -> ServiceAccount | None:
        return self._facts.accounts.find(namespace, name)

    def today(self, namespace: str, name: str) -> Today | None:
        if not self._facts.accounts.is_whole(namespace):
            # Its annotations are too heavy for now, or not listed again yet.
            return None
        made = self._made(self._facts.grants, (namespace, name), self.account_of(namespace, name))
        # Whoever cannot be placed at present, since a key file is bad, stays where he is.
        if made is None or not made.mark or self._facts.placeable(made.account):
            return None
        return Today(self._accounts.landing(made.account), made.mark)

    def denied(self, session: Session) -> bool:
        if not self._facts.grants.policy.digest:
            return False
        made = self._made(self._facts.grants, session.workload, self.account_of(*session.workload))
        if made is None:
            return False
        if isinstance(made.by, Turned):
            return made.by.reason is not Reason.NO_ACCOUNT
        if not made.encoded:
            return True
        # Of a row alone a pod cannot be told: it is taken for granted.
        kind = ConnectionKind(session.kind) if session.kind else None
        return kind is not None and conditions.problem(made.by, (kind, session.host), pod="?") is not None

    def change(self, workload: _Workload, old: ServiceAccount | None) -> None:
        """Take in that a ServiceAccount with sessions was this before: what only grew takes nothing away."""
        new, grants = self.account_of(*workload), self._facts.grants
        same = old is not None and new is not None and old.uid == new.uid
        self._grow(workload, self._made(grants, workload, old) if same else None, self._made(grants, workload, new))

    def regrant(self, workload: _Workload, old: Grants) -> None:
        """Take in that the grants of a workload with sessions were made by another policy before."""
        account = self.account_of(*workload)
        self._grow(workload, self._made(old, workload, account), self._made(self._facts.grants, workload, account))

    def session_of(self, row: Row, now: float) -> Session | None:
        """Return the session that a connection is; None when it is not ours."""
        # We may hear of it late, from a list: what counts is when it was let in, at most 2 s after its begin.
        seen = min(now, now - (row.now - row.start) + _LOGIN_SECONDS)
        session = session_of(row, seen, by_name=not self._settings.session_label)
        if session is None or session.label.release not in ("", self.release):
            return None
        if self.namespaces is not None and session.label.namespace not in self.namespaces:
            return None
        # In config mode the account's name, of whoever came by the callout; none of a configured user.
        is_ours = row.issuer_key in self._keys() if self._settings.mode is Mode.OPERATOR else bool(row.issuer_key)
        return session if is_ours else None

    def appeared(self, namespace: str, name: str) -> None:
        """Take in that a ServiceAccount is new: it may be the first in its account."""
        if self._found is not None and len(self._new) < ACCOUNTS_MAX:
            self._new[namespace, name] = None

    @property
    def has_new(self) -> bool:
        """Whether `accounts` may have more than it had."""
        return bool(self._new)

    async def accounts(self, seen: Collection[str] = ()) -> Collection[str]:
        """Return the accounts that have sessions or may get some, as the servers spell them; `seen` are those that have."""
        grants = self._facts.grants
        found = {*self.literal_accounts, *seen}
        if any(rule.account.names for rule in grants.policy.rules):
            found |= await self._templated(grants)
        return sorted(found)[:ACCOUNTS_MAX]

    async def _templated(self, grants: Grants) -> set[str]:
        """Return the accounts that rules make of names: all ServiceAccounts once, and then the new ones."""
        if self._found is None or self._found[0] is not grants:
            self._new = dict.fromkeys(self._facts.accounts.names())
            self._found = grants, set()
        found = self._found[1]
        ends = time.monotonic() + _SLICE_SECONDS
        while self._new and len(found) < ACCOUNTS_MAX:
            workload, _ = self._new.popitem()
            terms = grants.policy.terms_of(*workload, self._facts.labels(workload[0]))
            if isinstance(terms, Terms):
                found.add(self._accounts.landing(terms.account))
            if time.monotonic() > ends:
                await asyncio.sleep(_PAUSE_SECONDS)
                ends = time.monotonic() + _SLICE_SECONDS
        self._new.clear()
        return found

    def _made(self, grants: Grants, workload: _Workload, account: ServiceAccount | None) -> Made | None:
        if account is None:
            return None
        labels = self._facts.labels(workload[0]) if grants.policy.label_keys else None
        key = workload, account, labels
        if self._last is None or self._last[0] is not grants or self._last[1] != key:
            self._last = grants, key, grants.peek(*workload, account.annotations, labels)
        return self._last[2]

    def _grow(self, workload: _Workload, old: Made | None, new: Made | None) -> None:
        before = (old.mark, old) if old is not None and old.mark else None
        after = (new.mark, new) if new is not None and new.mark else None
        if before != after:
            self.grown.change(workload, before, after)

    def _keys(self) -> Container[str]:
        """Return the public keys that have signed users of ours; those of before a rotation still count."""
        signers = self._signers()
        if signers is not self._signers_seen and signers is not None:
            self._signers_seen = signers
            self._had_keys |= {signer.key.public for signer in signers.users.values()}
        return self._had_keys
