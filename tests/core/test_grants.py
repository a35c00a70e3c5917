"""The cache of encoded grants: made once, by workload, bounded by weight."""

import hashlib

import pytest

from nats_k8s_oidc_callout.core.grants import grants as cache
from nats_k8s_oidc_callout.core.grants.entries import Reader
from tests.fakes.rules import fresh_grants

PUB = "nats.io/allowed-pub-subjects"


def test_grants_are_made_once() -> None:
    """
    The refusals of a workload's annotations are told when its grant is made, and not again until they change.
    """
    grants = fresh_grants()
    first = grants.of("shop", "web", {PUB: "a b"})

    assert 1 == len(first.refused)
    assert first._replace(refused=()) == grants.of("shop", "web", {PUB: "a b"})
    changed = grants.of("shop", "web", {PUB: "other"})
    assert first.encoded != changed.encoded
    assert () == changed.refused


def test_digest_of_a_grant() -> None:
    """
    Each grant has the first 12 hex digits of its SHA-256 beside it, of whoever has it.
    """
    made = fresh_grants().of("shop", "web", None)

    assert hashlib.sha256(made.encoded).hexdigest()[:12] == made.digest
    assert made.digest != fresh_grants().of("shop", "web", {PUB: "other"}).digest


def test_annotations_are_not_kept() -> None:
    """
    The cache tells a change by a digest: the annotations that the index dropped live on nowhere.
    """
    grants = fresh_grants()
    text = ",".join(f"refused..{number}" for number in range(8000))
    grants.of("shop", "web", Reader("nats.io/").read({PUB: text}))

    assert grants.size < 2000
    assert "refused.." not in repr(grants._kept)


def test_grants_of_others_are_not_mixed_up() -> None:
    """
    Two workloads with equal annotations have each its own grant.
    """
    grants = fresh_grants()

    assert grants.of("shop", "web", None) != grants.of("shop", "api", None)
    assert grants.of("shop", "web", None) != grants.of("bank", "web", None)


def test_grants_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Large grants push out old ones, never the newest.
    """
    monkeypatch.setattr(cache, "CACHE_BYTES", 10_000)
    grants = fresh_grants()
    for number in range(50):
        grants.of("shop", f"web{number}", {PUB: ",".join(f"a.{i}" for i in range(200))})

    assert 0 < grants.size <= 10_000
    assert grants.of("shop", "web49", {PUB: ",".join(f"a.{i}" for i in range(200))})[0]
