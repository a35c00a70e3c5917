"""Who is turned away before any rule is asked."""

import pytest

from nats_k8s_oidc_callout.core.grants.revoked import Revocation, Revoked
from nats_k8s_oidc_callout.core.model import Workload

THIEF = Workload("shop", "web", "uid-1", jti="jti-1")


@pytest.mark.parametrize(
    ("entry", "holds"),
    [
        (Revocation(jti="jti-1"), True),
        (Revocation(jti="jti-2"), False),
        (Revocation(uid="uid-1"), True),
        (Revocation(workload="shop/web"), True),
        (Revocation(workload="shop/api"), False),
        (Revocation(jti="jti-1", workload="shop/api"), False),
        (Revocation(jti="jti-1", uid="uid-1", workload="shop/web"), True),
        (Revocation(uid="uid-1", workload="shop/api"), False),
        (Revocation(workload="shop/web", issued_before=101.0), True),
        (Revocation(workload="shop/web", issued_before=100.0), False),
        (Revocation(workload="shop/web", until=201.0), True),
        (Revocation(workload="shop/web", until=200.0), False),
    ],
)
def test_an_entry_holds_when_all_of_it_does(entry: Revocation, holds: bool) -> None:
    """All that an entry names must hold: for a token issued at 100, at 200."""
    others = [Revocation(jti="jti-9"), Revocation(uid="uid-9"), Revocation(workload="x/y")]

    assert (entry if holds else None) == Revoked([*others, entry]).entry_for(THIEF, 100.0, 200.0)


def test_no_jti_is_nobodys() -> None:
    """Clusters before 1.30 write no jti: entries with one hold for none of their tokens."""
    assert Revoked([Revocation(jti="jti-1")]).entry_for(Workload("shop", "web", "uid-1"), 0.0, 0.0) is None
    assert not Revoked()
    assert Revoked([Revocation(uid="uid-1"), Revocation(uid="uid-1", reason="again")])
