"""Whether a live session may go on."""

import math
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from nats_k8s_oidc_callout.core.grants.revoked import Revocation, Revoked
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.core.sessions.grown import Grown
from nats_k8s_oidc_callout.core.sessions.judging import (
    KEEP,
    Kids,
    Later,
    Listed,
    Policies,
    Reason,
    Revoke,
    Today,
    Verdict,
    judge,
)
from nats_k8s_oidc_callout.core.sessions.label import digest, named, of_uid
from nats_k8s_oidc_callout.core.sessions.table import Session
from tests.core.test_label import LABEL

NOW = 1_789_000_000.0
UID = "0f3b9c1e-aaaa-bbbb-cccc-ddddeeeeffff"
FITS = msgspec.structs.replace(LABEL, uid=of_uid(UID), jti=digest("j1", 8), issued=int(NOW) - 100)
WORKLOAD = (FITS.namespace, FITS.name)


def within(one: int, other: int) -> bool:
    return one & other == one


@dataclass
class Holds:
    """What holds today; as it stands the session fits."""

    release: str = FITS.release
    namespaces: set[str] | None = None
    listed: Listed = field(default_factory=lambda: Listed(Revoked()))
    kids: set[str] | None = None
    policies: Policies = field(default_factory=Policies)
    policy_taken: bool = True
    grown: Grown[int] = field(default_factory=lambda: Grown(within))
    in_sync: bool = True
    ahead: bool = True
    account: ServiceAccount | None = ServiceAccount(UID, None)  # noqa: RUF009
    grant: Today | None = Today("APP", FITS.grant)  # noqa: RUF009
    refused: bool = False

    def is_ahead_of(self, session: Session) -> bool:
        return self.ahead and session.workload == WORKLOAD

    def synced(self, namespace: str) -> bool:
        return self.in_sync and namespace == FITS.namespace

    def account_of(self, namespace: str, name: str) -> ServiceAccount | None:
        return self.account if (namespace, name) == WORKLOAD else None

    def today(self, namespace: str, name: str) -> Today | None:
        return self.grant if (namespace, name) == WORKLOAD else None

    def denied(self, session: Session) -> bool:
        return self.refused and session.workload == WORKLOAD


def verdict(holds: Holds, *, seen: float = 0.0, changed_at: float = NOW, strange: bool = False) -> Verdict:
    if not strange:
        holds.policies.have(FITS.policy, NOW - 1000)
    return judge(Session("S1", 1, "APP", FITS, NOW - 50, seen=seen), holds, NOW, changed_at)


def listed(**entry: Any) -> Listed:
    return Listed(Revoked([Revocation(**entry)]))


OTHER = Today("APP", "00000000")
RENAMED = Today("BPP", FITS.grant)


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        ({}, None),
        ({"account": None}, "deleted"),
        ({"account": ServiceAccount("other", None)}, "recreated"),
        ({"account": ServiceAccount("", None)}, None),
        ({"refused": True}, "refused"),
        ({"grant": OTHER}, "narrowed"),
        ({"grant": RENAMED}, "account"),
        ({"grant": None}, None),
        ({"kids": {"000000"}}, "key"),
        ({"kids": {FITS.kid}}, None),
        # A file that is refused condemns nobody, and does not shield those of a key that is gone.
        ({"policy_taken": False, "grant": OTHER, "refused": True}, None),
        ({"policy_taken": False, "grant": OTHER, "kids": {"000000"}}, "key"),
        ({"policy_taken": False, "account": None}, "deleted"),
        # Others' sessions are never touched.
        ({"account": None, "release": "other"}, None),
        ({"account": None, "namespaces": {"else"}}, None),
        ({"account": None, "namespaces": {FITS.namespace}}, "deleted"),
        ({"listed": listed(jti="j1"), "release": "other"}, None),
        # What is revoked ends whether or not we are in sync.
        ({"listed": listed(jti="j1"), "in_sync": False}, "revoked"),
        ({"listed": listed(uid=UID), "account": None}, "revoked"),
        ({"listed": listed(workload="/".join(WORKLOAD))}, "revoked"),
        ({"listed": listed(jti="j2")}, None),
        ({"listed": listed(uid="other")}, None),
        ({"listed": listed(workload="else/web")}, None),
        ({"listed": listed(jti="j1", uid=UID, workload="else/web")}, None),
        ({"listed": listed(jti="j1", uid="other")}, None),
        ({"listed": listed(uid=UID, issued_before=NOW - 100)}, None),
        ({"listed": listed(uid=UID, issued_before=NOW - 99)}, "revoked"),
        ({"listed": listed(uid=UID, until=NOW)}, None),
        ({"listed": listed(uid=UID, until=NOW + 1)}, "revoked"),
    ],
)
def test_a_session_ends_for_what_holds_today(today: dict[str, Any], expected: str | None) -> None:
    """A session that we knew before the change is judged at once, by the gravest of what is against it."""
    found = verdict(Holds(**today))

    assert found == (KEEP if expected is None else Revoke(Reason(expected)))


@pytest.mark.parametrize(
    "today", [{"account": None}, {"grant": OTHER}, {"refused": True}, {"listed": listed(jti="j1")}]
)
@pytest.mark.parametrize(
    ("seen", "changed_at", "wait"),
    [(NOW - 1, NOW - 2, 1.0), (NOW - 1, NOW, None), (NOW - 2, NOW - 3, None), (NOW, 0.0, 2.0), (NOW, NOW, 2.0)],
)
def test_one_that_appears_is_judged_two_seconds_later(
    today: dict[str, Any], seen: float, changed_at: float, wait: float | None
) -> None:
    """A session that came after our last change may come from a replica that is ahead of us."""
    found = verdict(Holds(**today), seen=seen, changed_at=changed_at)

    assert isinstance(found, Revoke) if wait is None else found == Later(wait)


def test_nothing_is_absent_while_the_watch_is_behind() -> None:
    """A ServiceAccount that is not there may not have been listed yet. Of what fits a change will be told."""
    assert (
        Later(2.0)
        == verdict(Holds(in_sync=False, account=None))
        == verdict(Holds(in_sync=False, grant=OTHER), seen=NOW)
    )
    assert KEEP == verdict(Holds(in_sync=False))


@pytest.mark.parametrize(
    ("today", "proves"),
    [
        ({"account": None}, True),
        ({"account": ServiceAccount("other", None)}, True),
        ({"refused": True}, True),
        ({"grant": OTHER}, True),
        ({"grant": RENAMED}, True),
        ({"listed": listed(jti="j1")}, False),
        ({"kids": {"000000"}}, False),
    ],
)
def test_a_watch_that_hangs_condemns_nobody_who_came_later(today: dict[str, Any], proves: bool) -> None:
    """One that came after our last change ends when all were listed since; nobody needs a list for what is revoked."""
    holds = Holds(**today, ahead=False)
    found = verdict(holds, seen=NOW - 50, changed_at=NOW - 60)
    assert found == Later(1.0) if proves else isinstance(found, Revoke)
    assert isinstance(verdict(holds, seen=NOW - 50, changed_at=NOW), Revoke)
    holds.ahead = True
    assert isinstance(verdict(holds, seen=NOW - 50, changed_at=NOW - 60), Revoke)


@pytest.mark.parametrize("today", [{"refused": True}, {"grant": OTHER}, {"grant": RENAMED}])
@pytest.mark.parametrize(("began", "wait"), [(-181.0, 0.0), (-180.0, 0.0), (-20.0, 160.0), (3600.0, 180.0)])
def test_sessions_of_a_policy_that_we_never_had_wait(today: dict[str, Any], began: float, wait: float) -> None:
    """They are judged three minutes after the last of them began, those of our own policies at once."""
    holds = Holds(**today)
    for start in (NOW - 500, NOW + began, NOW - 400):
        holds.policies.meet(Session("S1", 2, "APP", FITS, start), NOW)

    found = verdict(holds, strange=True)
    assert found == Later(wait) if wait else isinstance(found, Revoke)
    holds.kids = {"000000"}
    assert isinstance(verdict(holds, strange=True), Revoke)
    assert isinstance(verdict(holds), Revoke)
    holds.policies.meet(Session("S1", 2, "APP", FITS, NOW), NOW)
    assert holds.policies.wait(Session("S1", 2, "APP", FITS, NOW), NOW) == 0


@pytest.mark.parametrize(
    ("today", "seen", "found"),
    [
        ({"grant": OTHER}, NOW - 31, Revoke(Reason.NARROWED)),
        ({"grant": OTHER}, NOW - 29, Later(150.0)),
        ({"grant": RENAMED}, NOW - 29, Later(150.0)),
        ({"refused": True}, NOW - 29, Revoke(Reason.REFUSED)),
        ({}, NOW - 29, KEEP),
    ],
)
def test_sessions_of_a_replica_that_is_behind_wait(today: dict[str, Any], seen: float, found: Verdict) -> None:
    """
    Its policy is the one that we had before: it ends them itself when it has ours, and a kick brings the same again. Whoever
    is refused shall not come back.
    """
    holds = Holds(**today)
    holds.policies.have(FITS.policy, NOW - 1000)
    holds.policies.have("ffffff", NOW - 30)

    assert found == judge(Session("S1", 1, "APP", FITS, NOW - 50, seen=seen), holds, NOW, NOW)


NAMED = named(f"system:serviceaccount:{WORKLOAD[0]}:{WORKLOAD[1]}", NOW - 50)


@pytest.mark.parametrize(
    ("holds", "deleted_at", "found"),
    [
        (Holds(account=None), NOW, Revoke(Reason.DELETED)),
        (Holds(account=None), NOW - 60, KEEP),
        (Holds(account=None), -math.inf, KEEP),
        (Holds(), NOW, KEEP),
        (Holds(grant=OTHER, refused=True, kids=set()), NOW, KEEP),
        (Holds(listed=listed(workload="/".join(WORKLOAD))), -math.inf, Revoke(Reason.REVOKED)),
        (
            Holds(listed=listed(workload="/".join(WORKLOAD), issued_before=int(NOW) - 40)),
            -math.inf,
            Revoke(Reason.REVOKED),
        ),
        (Holds(listed=listed(workload="/".join(WORKLOAD), issued_before=int(NOW) - 60)), -math.inf, KEEP),
        (Holds(listed=listed(uid=UID)), -math.inf, KEEP),
    ],
)
def test_without_labels_only_what_is_certain_counts(holds: Holds, deleted_at: float, found: Verdict) -> None:
    """
    A plain name may be another cluster's: it counts that we saw its ServiceAccount deleted, or that the name is revoked.
    """
    assert NAMED is not None
    assert found == judge(Session("S1", 1, "APP", NAMED, NOW - 50, seen=NOW - 50), holds, NOW, deleted_at)


def test_what_strangers_call_policies_is_bounded() -> None:
    """Of 64 strange policies the last start is known; of the rest it is taken to be now."""
    policies = Policies()
    for number in range(100):
        label = msgspec.structs.replace(FITS, policy=f"{number:06x}")
        policies.meet(Session("S1", number, "APP", label, NOW - 200 + number), NOW)

    assert [180.0, 180.0, 16.0, 79.0] == [
        policies.wait(Session("S1", 1, "APP", msgspec.structs.replace(FITS, policy=f"{number:06x}"), NOW), NOW)
        for number in (0, 35, 36, 99)
    ]


@pytest.mark.parametrize(
    ("fetches", "known"),
    [
        ([], None),
        ([(0, "a")], None),
        ([(0, "a"), (59, "b")], None),
        ([(0, "a"), (60, "b")], {"a", "b"}),
        ([(0, "a"), (60, "b"), (119, "b")], {"a", "b"}),
        ([(0, "a"), (60, "b"), (120, "b")], {"b"}),
        ([(0, "a"), (60, "b"), (100, ""), (130, "")], {"a", "b"}),
        ([(0, "a"), (3600, "b")], {"a", "b"}),
        ([(0, "a"), (3600, "b"), (7200, "c")], {"b", "c"}),
    ],
)
def test_a_key_is_gone_when_two_fetches_a_minute_apart_lack_it(
    fetches: list[tuple[float, str]], known: set[str] | None
) -> None:
    """An empty key set says nothing."""
    kids = Kids()
    for at, names in fetches:
        kids.fetched(list(names), at)

    assert known == kids.known


@pytest.mark.parametrize(
    ("grants", "kept", "narrowed"),
    [
        ([1, 3], [1], [2]),
        ([1, 3, 7], [1, 3], []),
        # Compared anew: the first is within the second, not within the third.
        ([1, 3, 2], [], [1, 3]),
        ([3, 1, 3], [1], []),
        ([1, 3, None], [], [1, 3]),
        ([1, 3, None, 3], [], [1]),
        ([1, 3, 7, 15, 31, 63], [3, 7, 15, 31], [1]),
    ],
)
def test_grown_grants_are_kept(grants: list[int | None], kept: list[int], narrowed: list[int]) -> None:
    """Who began with less than today stays; the last four such grants are remembered."""
    grown = Grown(within)
    for old, new in zip([None, *grants], grants, strict=False):
        grown.change(WORKLOAD, (f"{old:08x}", old) if old else None, (f"{new:08x}", new) if new else None)

    holds = Holds(grown=grown, grant=Today("APP", "ffffffff"))
    for number in (*kept, *narrowed):
        label = msgspec.structs.replace(FITS, grant=f"{number:08x}")
        holds.policies.have(FITS.policy, NOW - 1000)
        found = judge(Session("S1", 1, "APP", label, NOW), holds, NOW, NOW)
        assert found == (KEEP if number in kept else Revoke(Reason.NARROWED))
