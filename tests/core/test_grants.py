"""The cache of encoded grants: made once, by workload, bounded by weight."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from nats_k8s_oidc_callout.core.grants import grants as cache
from nats_k8s_oidc_callout.core.grants.annotations import Grant
from nats_k8s_oidc_callout.core.grants.entries import Reader
from nats_k8s_oidc_callout.core.grants.grants import Grants, Made, mark_of
from nats_k8s_oidc_callout.core.grants.policy import NO_RULE
from nats_k8s_oidc_callout.core.model import Permissions
from nats_k8s_oidc_callout.core.nats.user import encode
from tests.fakes.policies import rule
from tests.fakes.rules import fresh_grants

PUB = "nats.io/allowed-pub-subjects"


def made(grants: Grants, name: str, account: str, annotations: Mapping[str, str] | None) -> Made:
    found = grants.of(name, account, annotations)
    assert found is not None
    return found


def test_grants_are_made_once() -> None:
    """The refusals of a workload's annotations are told when its grant is made, and not again until they change."""
    grants = fresh_grants()
    first = made(grants, "shop", "web", {PUB: "a b"})

    assert 1 == len(first.refused)
    assert first._replace(refused=()) == made(grants, "shop", "web", {PUB: "a b"})
    changed = made(grants, "shop", "web", {PUB: "other"})
    assert first.encoded != changed.encoded
    assert () == changed.refused


def test_digest_of_a_grant() -> None:
    """Each grant has the first 12 hex digits of its SHA-256 beside it, of whoever has it."""
    grant = made(fresh_grants(), "shop", "web", None)

    assert hashlib.sha256(grant.encoded).hexdigest()[:12] == grant.digest
    assert grant.digest != made(fresh_grants(), "shop", "web", {PUB: "other"}).digest


PERMISSIONS = Permissions(("a", "b"), ("c", "d"), 1, 2.0, ("e", "f"), ("g", "h"))


@pytest.mark.parametrize(
    ("account", "changes", "same"),
    [
        pytest.param("APP", {}, True, id="itself"),
        pytest.param("APP", {"publish": ("b", "a"), "deny_subscribe": ("h", "g")}, True, id="in-another-order"),
        pytest.param("APQ", {}, False, id="account"),
        pytest.param("APP", {"publish": ("a", "b", "c")}, False, id="publish"),
        pytest.param("APP", {"publish": ("c", "d"), "subscribe": ("a", "b")}, False, id="sides"),
        pytest.param("APP", {"subscribe": ("c",)}, False, id="subscribe"),
        pytest.param("APP", {"deny_publish": ()}, False, id="deny-publish"),
        pytest.param("APP", {"deny_subscribe": ("g", "h", "i")}, False, id="deny-subscribe"),
        pytest.param("APP", {"replies_max": 2}, False, id="replies"),
        pytest.param("APP", {"replies_ttl_seconds": 2.5}, False, id="ttl"),
    ],
)
def test_mark_of_a_grant(account: str, changes: dict[str, Any], same: bool) -> None:
    """What labels say of a grant changes with all that a session may do, and not with the order of its entries."""
    assert same == (mark_of("APP", PERMISSIONS) == mark_of(account, replace(PERMISSIONS, **changes)))


def test_marks_are_made_for_labels_only() -> None:
    """
    A grant has its mark when there are labels; each replica of a version, and of the next, must find the same one.
    """
    marked = made(replace(fresh_grants(), policy_mark="a1b2c3"), "shop", "web", {PUB: "other"})

    assert "1d7460af" == marked.mark
    assert marked._replace(mark="") == made(fresh_grants(), "shop", "web", {PUB: "other"})


def test_a_grant_is_shown_without_keeping_it() -> None:
    """Whoever only asks gets the grant itself, or why there is none, and leaves nothing behind."""
    grants = fresh_grants(rule("shops", "shop"))
    shown, turned = grants.compile("shop", "web", {PUB: "other"}), grants.compile("pay", "web", None)

    assert isinstance(shown, Grant)
    assert made(grants, "shop", "web", {PUB: "other"}).encoded == encode(shown.permissions)
    assert NO_RULE is turned
    assert 1 == len(grants._kept)


def test_annotations_are_not_kept() -> None:
    """The cache tells a change by a digest: the annotations that the index dropped live on nowhere."""
    grants = fresh_grants()
    text = ",".join(f"refused..{number}" for number in range(8000))
    made(grants, "shop", "web", Reader("nats.io/").read({PUB: text}))

    assert grants.size < 2000
    assert "refused.." not in repr(grants._kept)


def test_grants_of_others_are_not_mixed_up() -> None:
    """Two workloads with equal annotations have each its own grant."""
    grants = fresh_grants()

    assert made(grants, "shop", "web", None) != made(grants, "shop", "api", None)
    assert made(grants, "shop", "web", None) != made(grants, "bank", "web", None)


def test_grants_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large grants push out old ones, never the newest."""
    monkeypatch.setattr(cache, "CACHE_BYTES", 10_000)
    grants = fresh_grants()
    for number in range(50):
        made(grants, "shop", f"web{number}", {PUB: ",".join(f"a.{i}" for i in range(200))})

    assert 0 < grants.size <= 10_000
    assert made(grants, "shop", "web49", {PUB: ",".join(f"a.{i}" for i in range(200))})[0]


def test_labels_of_one_grant_alone_count() -> None:
    """Labels that were looked up for one login are kept with its grant, so they weigh."""
    plain, labelled = fresh_grants(), fresh_grants()
    made(plain, "shop", "web", None)
    labelled.of("shop", "web", None, {f"key-{number}": "x" * 63 for number in range(20)})

    assert labelled.size >= plain.size + 20 * (63 + 49)


def test_a_peek_leaves_what_was_refused_to_the_next_login() -> None:
    """Whoever judges sessions looks at grants, too; the login that comes after tells what was left out, once."""
    grants, annotations = fresh_grants(), {PUB: "a b, fine"}

    peeked = grants.peek("team", "web", annotations)
    made = grants.of("team", "web", annotations)
    again = grants.peek("team", "web", annotations)
    assert peeked == made
    assert made is not None
    assert again is not None
    assert (len(made.refused), again.refused, again.encoded) == (1, (), made.encoded)
