"""The cache of encoded grants: made once, by workload, bounded by weight."""

import pytest

from nats_k8s_oidc_callout.core import grants as cache
from nats_k8s_oidc_callout.core.annotations import PermissionRules
from nats_k8s_oidc_callout.core.grants import Grants

RULES = PermissionRules()
PUB = "nats.io/allowed-pub-subjects"


def test_grants_are_made_once() -> None:
    """
    The refusals of a workload's annotations are told when its grant is made, and not again until they change.
    """
    grants = Grants(RULES)
    first, refused = grants.of("shop", "web", {PUB: "a b"})

    assert 1 == len(refused)
    assert (first, ()) == grants.of("shop", "web", {PUB: "a b"})
    changed, refused = grants.of("shop", "web", {PUB: "other"})
    assert first != changed
    assert () == refused


def test_grants_of_others_are_not_mixed_up() -> None:
    """
    Two workloads with equal annotations have each its own grant.
    """
    grants = Grants(RULES)

    assert grants.of("shop", "web", None) != grants.of("shop", "api", None)
    assert grants.of("shop", "web", None) != grants.of("bank", "web", None)


def test_grants_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Large grants push out old ones, never the newest.
    """
    monkeypatch.setattr(cache, "CACHE_BYTES", 10_000)
    grants = Grants(RULES)
    for number in range(50):
        grants.of("shop", f"web{number}", {PUB: ",".join(f"a.{i}" for i in range(200))})

    assert 0 < grants.size <= 10_000
    assert grants.of("shop", "web49", {PUB: ",".join(f"a.{i}" for i in range(200))})[0]
