"""What the index tells of changes."""

from collections.abc import Callable
from typing import Any

import pytest

from nats_k8s_oidc_callout.core.kubernetes import serviceaccounts
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
from tests.fakes.serviceaccounts import index, item, line, page

PUB = "nats.io/allowed-pub-subjects"
BARE, WITH, MORE = ServiceAccount("u1", None), ServiceAccount("u1", {PUB: "x"}), ServiceAccount("u1", {PUB: "x,y"})
Told = list[tuple[str, str, ServiceAccount | None, ServiceAccount | None]]


def followed(*items: object) -> tuple[Index, Told]:
    """Return an index that holds these, and what it tells from now on."""
    held, told = index(), Told()
    relist = held.begin()
    relist.page(page(*items))
    relist.commit()
    held.on_change = lambda *change: told.append(change)
    return held, told


def event(kind: str, uid: str = "u1", annotations: dict[str, str] | None = None) -> Callable[[Index], object]:
    return lambda held: held.apply(line(kind, item("team", "app", uid, annotations=annotations)))


def whole_list(*items: object) -> Callable[[Index], object]:
    def act(held: Index) -> None:
        relist = held.begin()
        relist.page(page(*items))
        relist.commit()

    return act


@pytest.mark.parametrize(
    ("before", "act", "change"),
    [
        (None, event("ADDED"), (None, BARE)),
        (None, event("ADDED", annotations={PUB: "x"}), (None, WITH)),
        (BARE, event("MODIFIED", annotations={PUB: "x"}), (BARE, WITH)),
        (WITH, event("MODIFIED", annotations={PUB: "x,y"}), (WITH, MORE)),
        (WITH, event("MODIFIED"), (WITH, BARE)),
        (BARE, event("MODIFIED", "u2"), (BARE, ServiceAccount("u2", None))),
        (BARE, event("DELETED"), (BARE, None)),
        (WITH, event("DELETED"), (WITH, None)),
        (WITH, whole_list(), (WITH, None)),
        (WITH, whole_list(item("team", "app", "u1", annotations={PUB: "x,y"})), (WITH, MORE)),
        (None, whole_list(item("team", "app")), (None, BARE)),
        # Nothing has changed.
        (BARE, event("MODIFIED", annotations={"else": "x"}), None),
        (WITH, event("MODIFIED", annotations={PUB: "x"}), None),
        (BARE, whole_list(item("team", "app")), None),
        (WITH, whole_list(item("team", "app", annotations={PUB: "x"})), None),
        (BARE, event("DELETED", "u0"), None),
        (None, event("DELETED"), None),
    ],
)
def test_each_change_is_told_once(
    before: ServiceAccount | None,
    act: Callable[[Index], object],
    change: tuple[ServiceAccount | None, ServiceAccount | None] | None,
) -> None:
    """Whatever brings a change, it is told after it holds; what stays the same is not told."""
    items = [] if before is None else [item("team", "app", before.uid, annotations=dict(before.annotations or {}))]
    held, told = followed(*items)
    found: list[ServiceAccount | None] = []

    def tell(*change: Any) -> None:
        told.append(change)
        found.append(held.find("team", "app"))

    held.on_change = tell
    act(held)

    assert told == ([] if change is None else [("team", "app", *change)])
    assert found == ([] if change is None else [change[1]])


def test_what_no_longer_counts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When annotations of a namespace are ignored, and when a list brings them back: each as a change, and of nobody else.
    """
    monkeypatch.setattr(serviceaccounts, "_ROOM_LEAST", 50_000)
    monkeypatch.setattr(serviceaccounts, "BYTES_MAX", 0)
    heavy, light = {PUB: "x" * 20_000}, item("other", "app", annotations={PUB: "x"})
    held, told = followed(item("team", "a", annotations=heavy), item("team", "b", annotations=heavy), light)
    full = held.find("team", "a")
    held.apply(line("ADDED", item("team", "c", annotations=heavy)))

    changes = [(name, old, new) for _, name, old, new in told]
    assert changes[0] == ("c", None, full)
    assert sorted(changes[1:]) == [("a", full, BARE), ("b", full, BARE), ("c", full, BARE)]
    assert ([False, True], {"team"}) == ([held.is_whole("team"), held.is_whole("other")], {ns for ns, *_ in told})
    told.clear()
    held.apply(line("MODIFIED", item("team", "a", annotations={PUB: "y" * 20_000})))
    assert not told
    held.apply(line("DELETED", item("team", "c")))
    assert (told, held.is_whole("team"), held.wants_list()) == ([("team", "c", BARE, None)], False, True)
    whole_list(item("team", "a", annotations=heavy), item("team", "b", annotations=heavy), light)(held)
    assert [("team", "a", BARE, full), ("team", "b", BARE, full)] == told[1:]
    assert held.is_whole("team")
