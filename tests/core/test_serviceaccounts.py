"""The index of ServiceAccounts, fed with the API server's bytes."""

import gc
import json
import tracemalloc

import pytest

from nats_k8s_oidc_callout.core.grants.entries import weight_of
from nats_k8s_oidc_callout.core.kubernetes import serviceaccounts
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
from tests.fakes.serviceaccounts import index, item, line, listed, page


def test_a_listed_serviceaccount_is_found_by_namespace_and_name() -> None:
    """A ServiceAccount is found by namespace and name, with its uid."""
    held = listed(item("team", "app", "u1"))

    assert ServiceAccount("u1", None) == held.find("team", "app")
    assert held.find("app", "team") is None
    assert len(held) == 1
    assert [("team", "app")] == list(held.names())


def test_only_annotations_under_the_prefix_are_held() -> None:
    """Of the annotations only those that mean something are held, with their full names."""
    annotations = {"nats.io/allowed-pub-subjects": "a", "helm.sh/chart": "x", "nats.io.evil": "y", "nats.io/z": "z"}

    held = listed(item("team", "app", annotations=annotations), item("team", "bare", annotations={"x": "y"}))

    assert held.find("team", "app") == ServiceAccount("u1", {"nats.io/allowed-pub-subjects": "a"})
    assert held.find("team", "bare") == ServiceAccount("u1", None)


def test_a_relist_removes_what_it_lacks() -> None:
    """A ServiceAccount that was deleted while nobody watched is gone after the next list, and not before its commit."""
    held = listed(item("team", "app"), item("team", "old"))
    relist = held.begin()
    relist.page(page(item("team", "app")))

    assert held.find("team", "old") is not None
    assert 1 == relist.commit()
    assert held.find("team", "old") is None
    assert held.find("team", "app") is not None


def test_a_relist_that_is_given_up_removes_nothing() -> None:
    """A list that broke off removes nothing, and the next whole one still removes what is gone."""
    held = listed(item("team", "app"), item("team", "old"), item("team", "older"))
    held.begin().page(page(item("team", "old")))
    relist = held.begin()
    relist.page(page(item("team", "app")))

    assert 2 == relist.commit()
    assert len(held) == 1


def test_a_relist_of_one_namespace_leaves_the_others_alone() -> None:
    """Each reflector of a scoped release sweeps its own namespace only, also beside one whose name begins alike."""
    held = listed(item("team", "app"), item("team-b", "app"), item("other", "app"))
    relist = held.begin("team")
    relist.page(page())

    assert 1 == relist.commit()
    assert held.find("team-b", "app") is not None
    assert held.find("other", "app") is not None


def test_an_unchanged_serviceaccount_keeps_its_object() -> None:
    """A relist that changes nothing keeps the very objects, so that caches may compare by identity."""
    entry = item("team", "app", annotations={"nats.io/jetstream": "b"})
    held = listed(entry)
    before = held.find("team", "app")
    held.begin().page(page(entry))
    held.apply(line("MODIFIED", entry))

    assert before is held.find("team", "app")


@pytest.mark.parametrize(
    "bad",
    [
        {"metadata": {"namespace": "team", "name": "bad"}},
        {"metadata": {"namespace": "team", "name": "", "uid": "u"}},
        {"metadata": {"name": "bad", "uid": "u"}},
        {"metadata": {"namespace": "team", "name": "a/b", "uid": "u"}},
        {"metadata": {"namespace": "team", "name": "bad", "uid": 5}},
        {"metadata": {"namespace": "team", "name": "bad", "uid": "u", "annotations": {"a": {}}}},
        {"metadata": None},
        "text",
        None,
    ],
    ids=["no uid", "empty name", "no namespace", "slash", "uid number", "annotation object", "null", "text", "none"],
)
def test_an_item_that_cannot_be_read_is_skipped_and_counted(bad: object) -> None:
    """One bad item of a list is skipped and counted; the good ones beside it count."""
    held = listed(item("team", "a"), bad, item("team", "z"))

    assert held.skipped == 1
    assert len(held) == 2


def test_huge_annotations_do_not_break_the_index() -> None:
    """Annotations beyond what a server allows are cut where an entry ends, like all."""
    held = listed(item("team", "app", annotations={"nats.io/jetstream": "x," * 1_000_000, "y": "z" * 1_000_000}))
    account = held.find("team", "app")

    assert account is not None
    assert account.annotations is not None
    assert len(account.annotations["nats.io/jetstream"]) <= 72 * 1024


def test_a_single_answer_gives_the_serviceaccount_and_leaves_the_index() -> None:
    """The body of a GET gives the same entry that a list would, to askers of its uid; the index stays as it was."""
    held = index()
    entry = item("team", "app", annotations={"nats.io/jetstream": "b", "c": "d"})

    body = json.dumps({"kind": "ServiceAccount", **entry}).encode()
    found = held.read(body, "u1")

    assert ServiceAccount("u1", {"nats.io/jetstream": "b"}) == found == held.read(body)
    assert (ServiceAccount("u1", None), 0) == (held.read(body, "u2"), len(held))
    assert held.weigh(found) == weight_of(found.annotations) > 0


PUB = "nats.io/allowed-pub-subjects"


def crowded(monkeypatch: pytest.MonkeyPatch) -> tuple[Index, list[tuple[str, bool]]]:
    """Return an index with room for 100 kB of annotations, in which two namespaces have 40 kB each."""
    monkeypatch.setattr(serviceaccounts, "_ROOM_LEAST", 100_000)
    monkeypatch.setattr(serviceaccounts, "BYTES_MAX", 0)
    told: list[tuple[str, bool]] = []
    held = Index("nats.io/", lambda namespace, counts: told.append((namespace, counts)))
    relist = held.begin()
    for namespace in ("a", "b"):
        for number in range(4):
            relist.put(namespace, f"app-{number}", held.entry("u1", {PUB: "x" * 9_400}))
    assert [] == told
    return held, told


def counting(held: Index, namespace: str) -> list[bool]:
    accounts = (held.find(namespace, f"app-{number}") for number in range(4))
    return [account.annotations is not None for account in accounts if account is not None]


def test_the_heaviest_namespace_has_its_defaults_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When annotations are too heavy those of the heaviest namespace no longer count, and nobody else's; it still exists.
    """
    held, told = crowded(monkeypatch)
    held.apply(line("ADDED", item("b", "more", annotations={PUB: "x" * 40_000})))

    assert [("b", False)] == told
    assert ("b",) == held.ignored
    assert ([True] * 4, [False] * 4) == (counting(held, "a"), counting(held, "b"))
    assert ServiceAccount("u1", None) == held.find("b", "more")
    assert len(held) == 9


def test_what_is_ignored_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a namespace that is left out adds, the others keep theirs."""
    held, told = crowded(monkeypatch)
    for number in range(50):
        held.apply(line("ADDED", item("b", f"more-{number}", annotations={PUB: "x" * 60_000})))

    assert [("b", False)] == told
    assert [True] * 4 == counting(held, "a")


@pytest.mark.parametrize("way", ["deleted", "made smaller", "without", "a list that lacks it"])
def test_it_comes_back_when_the_weight_falls(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Once a namespace fits again it asks for a list, and that brings its annotations back."""
    held, told = crowded(monkeypatch)
    heavy = item("b", "more", annotations={PUB: "x" * 40_000})
    held.apply(line("ADDED", heavy))
    assert not held.wants_list()
    if way == "a list that lacks it":
        relist = held.begin("b")
        relist.page(page(*(item("b", f"app-{number}", annotations={PUB: "x" * 9_400}) for number in range(4))))
        relist.commit()
    else:
        now = {"made smaller": item("b", "more", annotations={PUB: "x"}), "without": item("b", "more")}.get(way, heavy)
        held.apply(line("DELETED" if way == "deleted" else "MODIFIED", now))

    assert [("b", False), ("b", True)] == told
    assert (True, True, False) == (held.wants_list(), held.wants_list("b"), held.wants_list("a"))
    held.begin("b").page(page(*(item("b", f"app-{number}", annotations={PUB: "x" * 9_400}) for number in range(4))))
    assert [True] * 4 == counting(held, "b")
    assert not held.wants_list()
    assert ((), {}) == (held.ignored, held._claims)


def whole(held: Index, **sizes: int) -> None:
    """Have the index hear a whole list: four ServiceAccounts of so many bytes in each namespace."""
    relist = held.begin()
    for namespace, size in sizes.items():
        for number in range(4):
            relist.put(namespace, f"app-{number}", held.entry("u1", {PUB: "x" * size} if size else None))
    relist.commit()


def test_nobody_pays_for_one_that_has_become_heavier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was the heaviest for a moment comes back once a heavier one is left out, also while nothing else changes."""
    held, told = crowded(monkeypatch)
    held.apply(line("ADDED", item("c", "app-0", annotations={PUB: "x" * 30_000})))
    assert ("a",) == held.ignored
    for number in range(1, 4):
        held.apply(line("ADDED", item("c", f"app-{number}", annotations={PUB: "x" * 30_000})))

    assert [("a", False), ("c", False), ("a", True)] == told
    whole(held, a=9_400, b=9_400, c=30_000)
    assert ([True] * 4, [True] * 4, [False] * 4) == tuple(counting(held, namespace) for namespace in "abc")


@pytest.mark.parametrize("gone", ["by a list", "by the watch"])
def test_room_that_entries_without_annotations_leave_is_used(monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    """
    When thousands of ServiceAccounts without annotations are gone, there is room for the annotations of others again.
    """
    held, told = crowded(monkeypatch)
    monkeypatch.setattr(serviceaccounts, "BYTES_MAX", 130_000)
    for number in range(120):
        held.apply(line("ADDED", item("z", f"app-{number}")))
    held.apply(line("ADDED", item("b", "more", annotations={PUB: "x" * 22_000})))
    assert [("b", False)] == told
    if gone == "by a list":
        held.begin("z").commit()
    for number in range(120):
        held.apply(line("DELETED", item("z", f"app-{number}")))

    assert [("b", False), ("b", True)] == told


def test_one_that_has_no_annotations_any_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a namespace that would not fit comes back when it has nothing to fit in, and asks for no list."""
    held, told = crowded(monkeypatch)
    held.apply(line("ADDED", item("b", "more", annotations={PUB: "x" * 19_000})))
    whole(held, a=22_000, b=0)

    assert ([("b", False), ("b", True)], ()) == (told, held.ignored)
    assert not held.wants_list()


def test_weights_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After any number of changes the index weighs what its entries do."""
    held, _ = crowded(monkeypatch)
    for number in range(300):
        size = number * 7919 % 30_000
        kind = "DELETED" if number % 5 == 0 else "MODIFIED"
        held.apply(line(kind, item("ab"[number % 2], f"app-{number % 7}", annotations={PUB: "x" * size})))

    assert held._shares.weight == sum(weight_of(entry.annotations) for entry in held._entries.values())
    assert held._shares.weight <= 100_000


def test_an_entry_costs_at_most_330_bytes() -> None:
    """50,000 ServiceAccounts fit in the guide's memory request: 330 bytes each at most."""
    count = 10_000
    for_all = [item(f"team-{n // 5:05}", f"app-{n % 5}", f"01234567-89ab-cdef-0123-{n:012}") for n in range(count)]
    body = page(*for_all)
    del for_all
    held = index()
    tracemalloc.start()
    try:
        relist = held.begin()
        relist.page(body)
        relist.commit()
        del relist
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert used / count <= 330
