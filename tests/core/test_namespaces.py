"""The labels of namespaces, fed with the API server's bytes."""

import gc
import json
import tracemalloc

import pytest

from nats_k8s_oidc_callout.core.kubernetes import namespaces
from nats_k8s_oidc_callout.core.kubernetes.namespaces import ENTRY_BYTES, Namespaces
from nats_k8s_oidc_callout.core.kubernetes.wire import Event, EventKind, Page
from nats_k8s_oidc_callout.errors import Unreachable
from tests.fakes.namespaces import STAGE, TEAM, item, listed, page
from tests.fakes.serviceaccounts import line

NO_LABELS: dict[str, object] = {"metadata": {"name": "bare", "uid": "u1", "resourceVersion": "7"}}


def test_only_labels_that_rules_use_are_held() -> None:
    """
    Of a namespace's labels those that rules use are held, an empty value included; unknown is not the same as none.
    """
    held = listed(item("shop", team="retail", owner="x"), item("pay", team="", stage="prod"), NO_LABELS)

    assert {TEAM: "retail"} == held.find("shop")
    assert {TEAM: "", STAGE: "prod"} == held.find("pay")
    assert {} == held.find("bare")
    assert held.find("other") is None
    assert (3, 0) == (len(held), held.skipped)


def test_events_change_what_is_held() -> None:
    """ADDED and MODIFIED put the labels, a deletion that has only begun too; DELETED forgets the namespace."""
    held = listed(item("shop", team="retail"))
    events, seen = [], []
    dying = item("shop", team="retail", stage="prod")
    dying["metadata"]["deletionTimestamp"] = "2026-11-24T00:00:00Z"
    for kind, entry in (
        ("ADDED", item("pay", team="money")),
        ("MODIFIED", item("shop", stage="prod")),
        ("MODIFIED", dying),
        ("DELETED", dying),
        ("BOOKMARK", {"metadata": {"resourceVersion": "50"}}),
        ("ADDED", item("shop", "u2", team="other")),
    ):
        events.append(held.apply(line(kind, entry)))
        seen.append(held.find("shop"))

    assert [Event(EventKind.BOOKMARK, "50"), Event(EventKind.ADDED, "7")] == events[-2:]
    assert [{TEAM: "retail"}, {STAGE: "prod"}, {TEAM: "retail", STAGE: "prod"}, None, None, {TEAM: "other"}] == seen
    assert {TEAM: "money"} == held.find("pay")


def test_a_relist_removes_what_it_lacks() -> None:
    """A namespace that went while nobody watched is gone after the next list, of all or of itself; others stay."""
    held = listed(item("shop"), item("pay"), item("old"))
    relist = held.begin("pay")
    assert Page("", "9") == relist.page(page())
    assert 1 == relist.commit()
    relist = held.begin()
    relist.page(page(item("shop")))

    assert held.find("old") is not None
    assert 1 == relist.commit()
    assert (1, None, False) == (len(held), held.find("old"), held.wants_list())


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"metadata": {"uid": "u"}}, id="no name"),
        pytest.param({"metadata": {"name": "shop"}}, id="no uid"),
        pytest.param({"metadata": {"name": "a/b", "uid": "u"}}, id="slash"),
        pytest.param(item("shop", team=None), id="null"),
        pytest.param(item("shop", team="x" * 64), id="too long"),
        pytest.param(item("shop", team="a.>\n"), id="no label value"),
        pytest.param(item("shop", team="-a"), id="bad begin"),
    ],
)
def test_a_namespace_that_cannot_be_read_is_unknown(bad: dict[str, object]) -> None:
    """
    What cannot be read is no namespace without labels: in a list it is skipped, counted and forgotten, else an error.
    """
    held = listed(item("shop", team="retail"), item("pay"))
    relist = held.begin()
    relist.page(page(bad, item("pay")))
    relist.commit()

    assert (1, 1, None) == (held.skipped, len(held), held.find("shop"))
    with pytest.raises(Unreachable):
        held.read(json.dumps({"kind": "Namespace", **bad}).encode())
    with pytest.raises(Unreachable):
        held.apply(line("MODIFIED", {"metadata": {**bad["metadata"], "resourceVersion": "9"}}))  # type: ignore[dict-item]


def test_a_list_of_serviceaccounts_is_no_list_of_namespaces() -> None:
    """Each kind reads its own lists and objects only."""
    held = listed(item("shop"))
    with pytest.raises(Unreachable, match="not a list of Namespaces"):
        held.begin().page(page(kind="ServiceAccountList"))
    with pytest.raises(Unreachable, match="not a Namespace"):
        held.read(b'{"kind":"ServiceAccount","metadata":{"name":"shop","uid":"u"}}')


def test_a_single_answer_gives_the_labels_and_leaves_the_index() -> None:
    """The body of a GET gives the labels that rules use, and which these are; the index stays as it was."""
    held = listed()
    found = held.read(json.dumps({"kind": "Namespace", **item("shop", team="retail")}).encode())

    assert ({TEAM: "retail"}, (STAGE, TEAM), 0) == (found, found.keys_read, len(held))


def test_a_manifest_is_taken_in_like_an_item() -> None:
    """A namespace that was read elsewhere is held as one of a list is, and stays when the list ends."""
    held = listed(item("shop"))
    relist = held.begin()
    relist.put("shop", held.labels_of({TEAM: "retail", "other": "x"}))

    assert (0, {TEAM: "retail"}) == (relist.commit(), held.find("shop"))


def test_each_change_of_labels_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What comes, goes or is another now is told by its namespace, what stays the same is not; nor what finds no room.
    """
    held = listed(item("shop", team="retail"), item("pay"))
    told: list[str] = []
    held.on_change = told.append
    seen = []
    for kind, entry in (
        ("ADDED", item("late", team="a")),
        ("MODIFIED", item("shop", team="retail", owner="x")),
        ("MODIFIED", item("shop", team="b")),
        ("DELETED", item("pay")),
        ("DELETED", item("pay")),
    ):
        held.apply(line(kind, entry))
        seen.append(len(told))
    relist = held.begin()
    relist.page(page(item("late", team="a")))
    relist.commit()
    monkeypatch.setattr(namespaces, "BYTES_MAX", 0)
    held.apply(line("ADDED", item("more", team="a")))
    held.apply(line("MODIFIED", item("late", team="c")))

    assert (["late", "shop", "pay", "shop", "late"], [1, 1, 2, 3, 3]) == (told, seen)


def test_equal_sets_of_labels_are_one_object() -> None:
    """Namespaces of one team share their labels, and labels that nobody has any more are forgotten."""
    held = listed(item("shop", team="retail", owner="a"), item("pay", team="retail", owner="b"), item("bare"))

    assert held.find("shop") is held.find("pay")
    before = held.find("shop")
    held.apply(line("MODIFIED", item("shop", team="retail")))
    assert before is held.find("shop")
    held.remove(["shop", "pay", "bare", "unknown"])
    assert ({}, 0) == (held._sets, held._weight)


def test_past_the_top_nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room is unknown, also one that was known with other labels; what goes makes room."""
    monkeypatch.setattr(namespaces, "BYTES_MAX", 2 * ENTRY_BYTES + 600)
    held = listed(item("shop", team="retail"), item("pay", team="retail"), item("late", team="retail"))
    assert (2, None) == (len(held), held.find("late"))
    held.apply(line("MODIFIED", item("shop", team="a", stage="b")))
    assert held.find("shop") is None
    held.apply(line("ADDED", item("late", team="retail")))

    assert held.find("late") == {TEAM: "retail"}


@pytest.mark.parametrize("shared", [True, False])
def test_the_weight_is_at_least_what_is_held(shared: bool) -> None:
    """What the index says it weighs is no less than what it takes, and with shared labels under 300 B a namespace."""
    bodies = [
        page(*(item(f"{n:05}{'n' * 58}", team="t" * 63 if shared else f"{n:05}{'t' * 58}", stage="prod") for n in some))
        for some in (range(begin, begin + 500) for begin in range(0, 6000, 500))
    ]
    held = Namespaces([TEAM, STAGE])
    gc.collect()
    tracemalloc.start()
    relist = held.begin()
    for body in bodies:
        relist.page(body)
    relist.commit()
    gc.collect()
    traced, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 6000 == len(held)
    assert traced <= held._weight
    assert not shared or held._weight / 6000 < 300
