"""The index of ServiceAccounts, fed with the lines of a watch."""

import json

import pytest

from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.core.kubernetes.wire import Event, EventKind
from tests.fakes.serviceaccounts import item, line, listed


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
def test_an_event_adds_or_replaces(kind: str) -> None:
    """ADDED and MODIFIED both put what they carry; the event carries the version to go on from."""
    held = listed(item("team", "app", "u1"))
    event = held.apply(
        line(kind, item("team", "app", "u2", resourceVersion="12", annotations={"nats.io/jetstream": "b"}))
    )

    assert Event(EventKind(kind), "12") == event
    assert ServiceAccount("u2", {"nats.io/jetstream": "b"}) == held.find("team", "app")


def test_a_delete_removes_the_entry() -> None:
    """DELETED removes the ServiceAccount with that uid."""
    held = listed(item("team", "app", "u1"))
    held.apply(line("DELETED", item("team", "app", "u1")))

    assert held.find("team", "app") is None


def test_a_delete_of_another_uid_removes_nothing() -> None:
    """A late DELETED of a predecessor leaves the re-created ServiceAccount."""
    held = listed(item("team", "app", "u2"))
    held.apply(line("DELETED", item("team", "app", "u1")))

    assert ServiceAccount("u2", None) == held.find("team", "app")


def test_a_serviceaccount_that_is_being_deleted_counts_as_gone() -> None:
    """
    One that only a finalizer still holds is gone, for lists, events and single reads alike: so the API server judges.
    """
    dying = item("team", "app", deletionTimestamp="2026-11-24T00:00:00Z")
    held = listed(item("team", "app"))
    held.apply(line("MODIFIED", dying))

    assert held.find("team", "app") is None
    assert listed(dying).find("team", "app") is None
    assert held.read(json.dumps({"kind": "ServiceAccount", **dying}).encode()) is None


def test_a_bookmark_only_moves_the_version() -> None:
    """A bookmark changes nothing but the version."""
    held = listed(item("team", "app"))

    assert Event(EventKind.BOOKMARK, "50") == held.apply(line("BOOKMARK", {"metadata": {"resourceVersion": "50"}}))
    assert len(held) == 1
