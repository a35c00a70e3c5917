"""Every live session there is, as the servers tell it, judged by what the cluster says at this moment."""

from collections.abc import Container
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from nats_k8s_oidc_callout.adapters.nats.system import Kicked, Listing, Take
from nats_k8s_oidc_callout.app.sessions.today import Census
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.core.nats.connz import Row
from nats_k8s_oidc_callout.core.sessions import label as labels
from nats_k8s_oidc_callout.core.sessions.grown import Grown
from nats_k8s_oidc_callout.core.sessions.judging import Listed, Policies, Reason, Revoke, Today, judge
from nats_k8s_oidc_callout.core.sessions.label import Label
from nats_k8s_oidc_callout.core.sessions.table import Connection, Session
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import SessionControl, Settings

LIVE, DUE, OVER = "live", "renewal due", "past its end"
NO_LABEL, OTHER_RELEASE, OUT_OF_SCOPE = "no label", "another release", "namespace not served"
_STATES = {Reason.NARROWED: "grant changed", Reason.ACCOUNT: "account changed"}


class Servers(Protocol):
    """What is asked of the system side; `System` is one."""

    async def list(self, account: str, take: Take) -> Listing: ...
    async def kick(self, server: str, cid: int) -> Kicked: ...


class Question(NamedTuple):
    """Which sessions: an empty text is any."""

    namespace: str = ""
    name: str = ""

    def takes(self, namespace: str, name: str) -> bool:
        return self.namespace in ("", namespace) and self.name in ("", name)


class Found(NamedTuple):
    """One live session."""

    row: Row
    label: Label
    """Its names alone for one without a label of ours."""
    account: str
    """As the policy calls it."""
    current: bool | None
    """Whether a login would get the same grant now; None when that cannot be told."""
    state: str

    @property
    def is_labelled(self) -> bool:
        return bool(self.label.release)


@dataclass(slots=True)
class Answer:
    """The sessions, and what could not be told."""

    found: list[Found] = field(default_factory=list)
    unlabelled: int = 0
    """Connections in these accounts that nobody can tell a ServiceAccount of."""
    servers: dict[str, str] = field(default_factory=dict)
    """Those that answered, by id; each name, as far as a session told it."""
    silent: set[str] = field(default_factory=set)
    """Ids of those that should have answered, and did not."""
    refused: dict[str, str] = field(default_factory=dict)
    """Accounts that could not be asked, and why."""

    @property
    def is_whole(self) -> bool:
        return not self.silent and not self.refused and bool(self.servers)


async def ask(servers: Servers, settings: Settings, census: Census, question: Question, now: float) -> Answer:
    """Ask for the sessions of all accounts, one account after the other; `now` in Unix seconds."""
    answer, judged = Answer(), _Judge(settings, census, now)
    gone: set[str] = set()
    for account in sorted(census.accounts):
        rows: dict[Connection, Row] = {}

        def take(row: Row, rows: dict[Connection, Row] = rows) -> None:
            rows[row.server, row.cid] = row

        try:
            listing = await servers.list(account, take)
        except Unreachable as error:
            answer.refused[census.name_of(account)] = str(error)
            continue
        answer.servers |= {server: answer.servers.get(server, "") for server in listing.servers}
        answer.silent |= listing.silent
        gone |= listing.gone
        for row in rows.values():
            answer.servers[row.server] = row.server_name
            label = labels.parse(row.user) or labels.named(row.user, row.start)
            if label is None:
                answer.unlabelled += 1
            elif question.takes(label.namespace, label.name):
                answer.found.append(judged.found(row, label))
    answer.silent -= gone
    for server in gone:
        answer.servers.pop(server, None)
    answer.found.sort(key=lambda one: (one.label.namespace, one.label.name, one.row.start, one.row.server, one.row.cid))
    return answer


class _Judge:
    """Judges sessions as a responder does, by what the cluster says now: a `judging.View`."""

    def __init__(self, settings: Settings, census: Census, now: float) -> None:
        self._census, self._now = census, now
        self._renews = settings.session_control is SessionControl.ON
        self.release = settings.session_release
        self.namespaces: Container[str] | None = frozenset(settings.k8s_namespaces) or None
        self.listed = Listed(census.policy.revoked)
        self.kids = None
        self.policies = Policies()
        self.policy_taken = True
        self.grown: Grown[str] = Grown(lambda _, __: False)

    def synced(self, _: str) -> bool:
        return not self._census.trouble

    def is_ahead_of(self, _: Session) -> bool:
        return True

    def account_of(self, namespace: str, name: str) -> ServiceAccount | None:
        known = self._census.of.get((namespace, name))
        return None if known is None else ServiceAccount(known.uid, None)

    def today(self, namespace: str, name: str) -> Today | None:
        known = self._census.of.get((namespace, name))
        return None if known is None else known.today

    def denied(self, session: Session) -> bool:
        known = self._census.of.get(session.workload)
        return known is not None and known.refused

    def found(self, row: Row, label: Label) -> Found:
        today = self.today(label.namespace, label.name)
        known = bool(label.release) and today is not None and not self._census.trouble
        current = (today.account, today.mark) == (row.account, label.grant) if known and today else None
        return Found(row, label, self._census.name_of(row.account), current, self._state(row, label))

    def _state(self, row: Row, label: Label) -> str:
        if not label.release:
            return NO_LABEL
        if label.release != self.release:
            return OTHER_RELEASE
        if self.namespaces is not None and label.namespace not in self.namespaces:
            return OUT_OF_SCOPE
        session = Session(row.server, row.cid, row.account, label, row.start)
        # A policy file that others had first is no reason to wait: this is about what holds here and now.
        self.policies.have(label.policy, self._now)
        verdict = judge(session, self, self._now, changed_at=self._now + 1)
        if isinstance(verdict, Revoke):
            return _STATES.get(verdict.reason, verdict.reason.value)
        if label.expires < self._now:
            return OVER
        due = session.due
        return DUE if self._renews and due is not None and due <= self._now else LIVE
