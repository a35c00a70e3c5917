"""The index of ServiceAccounts, fed with the API server's bytes."""

import gc
import json
import tracemalloc

import pytest

from nats_k8s_oidc_callout.core.serviceaccounts import ServiceAccount
from tests.fakes.serviceaccounts import index, item, line, listed, page


def test_a_listed_serviceaccount_is_found_by_namespace_and_name() -> None:
    """
    A ServiceAccount is found by namespace and name, with its uid.
    """
    held = listed(item("team", "app", "u1"))

    assert ServiceAccount("u1", None) == held.find("team", "app")
    assert held.find("app", "team") is None
    assert len(held) == 1


def test_only_annotations_under_the_prefix_are_held() -> None:
    """
    Of the annotations only those under the prefix are held, with their full names.
    """
    annotations = {"nats.io/allowed-pub-subjects": "a", "helm.sh/chart": "x", "nats.io.evil": "y"}

    held = listed(item("team", "app", annotations=annotations), item("team", "bare", annotations={"x": "y"}))

    assert held.find("team", "app") == ServiceAccount("u1", {"nats.io/allowed-pub-subjects": "a"})
    assert held.find("team", "bare") == ServiceAccount("u1", None)


def test_a_relist_removes_what_it_lacks() -> None:
    """
    A ServiceAccount that was deleted while nobody watched is gone after the next list, and not before its commit.
    """
    held = listed(item("team", "app"), item("team", "old"))
    relist = held.begin()
    relist.page(page(item("team", "app")))

    assert held.find("team", "old") is not None
    assert 1 == relist.commit()
    assert held.find("team", "old") is None
    assert held.find("team", "app") is not None


def test_a_relist_that_is_given_up_removes_nothing() -> None:
    """
    A list that broke off removes nothing, and the next whole one still removes what is gone.
    """
    held = listed(item("team", "app"), item("team", "old"), item("team", "older"))
    held.begin().page(page(item("team", "old")))
    relist = held.begin()
    relist.page(page(item("team", "app")))

    assert 2 == relist.commit()
    assert len(held) == 1


def test_a_relist_of_one_namespace_leaves_the_others_alone() -> None:
    """
    Each reflector of a scoped release sweeps its own namespace only, also beside one whose name begins alike.
    """
    held = listed(item("team", "app"), item("team-b", "app"), item("other", "app"))
    relist = held.begin("team")
    relist.page(page())

    assert 1 == relist.commit()
    assert held.find("team-b", "app") is not None
    assert held.find("other", "app") is not None


def test_an_unchanged_serviceaccount_keeps_its_object() -> None:
    """
    A relist that changes nothing keeps the very objects, so that caches may compare by identity.
    """
    entry = item("team", "app", annotations={"nats.io/a": "b"})
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
    """
    One bad item of a list is skipped and counted; the good ones beside it count.
    """
    held = listed(item("team", "a"), bad, item("team", "z"))

    assert held.skipped == 1
    assert len(held) == 2


def test_huge_annotations_do_not_break_the_index() -> None:
    """
    Annotations beyond what a server allows are held like others.
    """
    held = listed(item("team", "app", annotations={"nats.io/a": "x" * 1_000_000, "y": "z" * 1_000_000}))

    assert ServiceAccount("u1", {"nats.io/a": "x" * 1_000_000}) == held.find("team", "app")


def test_a_single_answer_gives_the_serviceaccount_and_leaves_the_index() -> None:
    """
    The body of a GET gives the same entry that a list would, and the index stays as it was.
    """
    held = index()
    entry = item("team", "app", annotations={"nats.io/a": "b", "c": "d"})

    assert ServiceAccount("u1", {"nats.io/a": "b"}) == held.read(
        json.dumps({"kind": "ServiceAccount", **entry}).encode()
    )
    assert len(held) == 0


def test_annotation_keys_are_shared_but_only_so_many() -> None:
    """
    Entries share their annotation keys; tenants who invent keys without end fill no table with them.
    """
    held = listed(*(item("team", f"app-{n}", annotations={f"nats.io/{n}": "", "nats.io/a": ""}) for n in range(300)))

    assert len(held._keys) == 64


def test_an_entry_costs_at_most_330_bytes() -> None:
    """
    50,000 ServiceAccounts fit in the guide's memory request: 330 bytes each at most.
    """
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
