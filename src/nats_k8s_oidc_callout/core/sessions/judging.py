"""Whether a live session may go on: what its label says, against what holds today."""

import math
from collections.abc import Collection, Container
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from nats_k8s_oidc_callout.core.grants.revoked import Revocation, Revoked
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.core.sessions.grown import Contained
from nats_k8s_oidc_callout.core.sessions.label import Label, digest, of_uid
from nats_k8s_oidc_callout.core.sessions.table import Session

NEW_SECONDS = 2.0
"""A session that appears and does not fit is judged again so much later: our watch may be behind another replica's."""
PROOF_SECONDS = 1.0
"""How often we look whether we know by now what is newer than a session."""
STRANGE_SECONDS = 180.0
"""Policy files reach nodes up to 90 s apart, and new versions of us as far as a rollout takes."""
KEY_SECONDS = 60.0
"""A key is gone when two fetches that far apart lack it."""
_STRANGE = 64


class Reason(StrEnum):
    """Why a session is ended."""

    REVOKED = "revoked"
    DELETED = "deleted"
    RECREATED = "recreated"
    REFUSED = "refused"
    ACCOUNT = "account"
    NARROWED = "narrowed"
    KEY = "key"
    MANUAL = "manual"
    RENEWAL = "renewal"


@dataclass(frozen=True, slots=True)
class Keep:
    """It fits, or it is none of our business."""


@dataclass(frozen=True, slots=True)
class Revoke:
    """It is to end now."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Later:
    """It does not fit, but we may be the one that is behind: judge again in so many seconds."""

    seconds: float


# By what a watch of ServiceAccounts tells, alone or with policy.
_BY_ACCOUNT = (Reason.DELETED, Reason.RECREATED, Reason.REFUSED, Reason.ACCOUNT, Reason.NARROWED)

Verdict = Keep | Revoke | Later
KEEP = Keep()


class Today(NamedTuple):
    """What a login of a workload would get now."""

    account: str
    """As the server spells it in rows and events."""
    mark: str
    """What its label would say of the grant."""


class Listed:
    """Who is revoked, as far as labels tell."""

    def __init__(self, revoked: Revoked) -> None:
        self._found: dict[tuple[str, str], list[Revocation]] = {}
        for entry in revoked.entries:
            by_uid = ("uid", of_uid(entry.uid)) if entry.uid else ("", entry.workload)
            self._found.setdefault(("jti", digest(entry.jti, 8)) if entry.jti else by_uid, []).append(entry)

    def holds(self, label: Label, now: float) -> bool:
        """Say whether an entry holds for the token of this session (`now` in Unix seconds)."""
        workload = f"{label.namespace}/{label.name}"
        return any(
            (not entry.jti or digest(entry.jti, 8) == label.jti)
            and (not entry.uid or of_uid(entry.uid) == label.uid)
            and entry.workload in ("", workload)
            and (entry.issued_before is None or label.issued < entry.issued_before)
            and (entry.until is None or now < entry.until)
            for key in (("jti", label.jti), ("uid", label.uid), ("", workload))
            for entry in self._found.get(key, ())
        )


class Kids:
    """The issuers' keys of late, by what labels say of them."""

    def __init__(self) -> None:
        self._sets: list[tuple[float, frozenset[str]]] = []

    def fetched(self, kids: Collection[str], now: float) -> None:
        """Take in what a fetch brought; nothing is no key set."""
        if not kids:
            return
        self._sets.append((now, frozenset(kids)))
        while len(self._sets) > 1 and self._sets[1][0] <= now - KEY_SECONDS:
            del self._sets[0]

    @property
    def known(self) -> frozenset[str] | None:
        """All that are not gone, None while no two fetches are far enough apart to tell."""
        if not self._sets or self._sets[-1][0] - self._sets[0][0] < KEY_SECONDS:
            return None
        return frozenset().union(*(kids for _, kids in self._sets))


class Policies:
    """Which policies this replica has had, and since when. Another one may be ahead of us, or behind."""

    def __init__(self) -> None:
        self._had: set[str] = set()
        self._current, self._since = "", -math.inf
        self._strange: dict[str, float] = {}

    def have(self, policy: str, now: float) -> None:
        """Remember the policy that we have from now on."""
        self._had.add(policy)
        self._current, self._since = policy, now
        self._strange.pop(policy, None)

    def meet(self, session: Session, now: float) -> None:
        """Remember when the last session of a policy that we never had began; its server's clock may be ahead."""
        policy = session.label.policy
        if policy in self._had:
            return
        self._strange[policy] = max(self._strange.get(policy, -math.inf), min(session.start, now))
        if len(self._strange) > _STRANGE:
            del self._strange[min(self._strange, key=lambda known: self._strange[known])]

    def wait(self, session: Session, now: float, *, shall_return: bool = True) -> float:
        """Return in how many seconds a session is judged by its grant.

        One of a policy that we never had: its replica may be ahead of us. One that began by an older policy after we had
        a newer: its replica is behind, and ends it itself when it has ours. In between a kick would bring the same again,
        which matters not for whoever shall not return.
        """
        policy = session.label.policy
        if policy not in self._had:
            return max(0.0, self._strange.get(policy, now) + STRANGE_SECONDS - now)
        if policy == self._current or session.seen < self._since or not shall_return:
            return 0.0
        return max(0.0, self._since + STRANGE_SECONDS - now)


class View(Protocol):
    """What holds today, as far as this replica knows."""

    @property
    def release(self) -> str: ...
    @property
    def namespaces(self) -> Container[str] | None:
        """Those we serve, None for all."""

    @property
    def listed(self) -> Listed: ...
    @property
    def kids(self) -> Container[str] | None:
        """`Kids.known`."""

    @property
    def policies(self) -> Policies: ...
    @property
    def policy_taken(self) -> bool:
        """False while the policy file is refused: then an older one is in force."""

    @property
    def grown(self) -> Contained: ...
    def synced(self, namespace: str) -> bool:
        """Say whether the watch is in sync, after a whole list."""

    def is_ahead_of(self, session: Session) -> bool:
        """Say whether what we know of ServiceAccounts is surely newer than a session; a watch may hang, and not know it."""

    def account_of(self, namespace: str, name: str) -> ServiceAccount | None: ...
    def today(self, namespace: str, name: str) -> Today | None:
        """None when it cannot be told yet, or the workload would be refused."""

    def denied(self, session: Session) -> bool:
        """Say whether policy would refuse it, by all that its row tells; False when it cannot be told."""


def judge(session: Session, view: View, now: float, changed_at: float) -> Verdict:
    """Judge a session at `now`; what we know of its workload last changed at `changed_at` (Unix seconds, our clock).

    One that we knew before the change is judged at once. One that came after it, and does not fit, may come from a
    replica that is ahead of us: it has time, and then what we know must be newer. Of a session without a label `changed_at` is when we saw its ServiceAccount deleted.
    """
    label = session.label
    if not label.release:
        return _judge_by_name(session, view, now, changed_at)
    if label.release != view.release or (view.namespaces is not None and label.namespace not in view.namespaces):
        return KEEP
    found = _judge(session, view, now)
    wait = session.seen + NEW_SECONDS - now
    if found == KEEP or session.seen < changed_at:
        return found
    if wait > 0:
        return Later(max(wait, found.seconds)) if isinstance(found, Later) else Later(wait)
    if isinstance(found, Revoke) and found.reason in _BY_ACCOUNT and not view.is_ahead_of(session):
        return Later(PROOF_SECONDS)
    return found


def _judge_by_name(session: Session, view: View, now: float, deleted_at: float) -> Verdict:
    """Judge a session of which only the name is known: it may be another cluster's, so that it is not enough to be unknown."""
    if view.listed.holds(session.label, now):
        return Revoke(Reason.REVOKED)
    is_deleted = session.seen < deleted_at and view.account_of(*session.workload) is None
    return Revoke(Reason.DELETED) if is_deleted else KEEP


def _judge(session: Session, view: View, now: float) -> Verdict:
    label = session.label
    if view.listed.holds(label, now):
        return Revoke(Reason.REVOKED)
    found = _compare(session, view, now)
    # What is not there may not have been listed yet, and what is there may be old. Of what fits the change will be told.
    return found if found == KEEP or view.synced(label.namespace) else Later(NEW_SECONDS)


def _compare(session: Session, view: View, now: float) -> Verdict:
    """Judge by what we know, whether or not it is old."""
    label = session.label
    account = view.account_of(*session.workload)
    if account is None:
        return Revoke(Reason.DELETED)
    if account.uid and of_uid(account.uid) != label.uid:
        return Revoke(Reason.RECREATED)
    reason = _unfit(session, view)
    wait = 0.0 if reason is None else view.policies.wait(session, now, shall_return=reason is not Reason.REFUSED)
    if reason is not None and not wait:
        return Revoke(reason)
    if view.kids is not None and label.kid not in view.kids:
        return Revoke(Reason.KEY)
    return Later(wait) if wait else KEEP


def _unfit(session: Session, view: View) -> Reason | None:
    """Return what policy and annotations of today have against a session."""
    if not view.policy_taken:
        return None
    if view.denied(session):
        return Reason.REFUSED
    today = view.today(*session.workload)
    if today is None:
        return None
    if today.account != session.account:
        return Reason.ACCOUNT
    mark = session.label.grant
    return None if mark == today.mark or view.grown.holds(session.workload, mark) else Reason.NARROWED
