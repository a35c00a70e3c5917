"""The API server's bytes: what a list, a watch and a get may say, and what never passes for one."""

import json

import pytest

from nats_k8s_oidc_callout.core.kubernetes import wire
from nats_k8s_oidc_callout.core.kubernetes.wire import SERVICE_ACCOUNTS, EventKind, Page
from nats_k8s_oidc_callout.errors import Unreachable
from tests.fakes.serviceaccounts import index, item, line, page


def test_a_page_tells_where_the_list_goes_on() -> None:
    """A page gives the continue token and the list's resource version."""
    assert Page("next", "9") == index().begin().page(page(token="next"))


NO_LISTS = [
    pytest.param(b"", id="empty"),
    pytest.param(b"{}", id="object"),
    pytest.param(b"<html>login</html>", id="html"),
    pytest.param(b'{"kind":"Status","metadata":{},"code":200}', id="status"),
    pytest.param(b'{"kind":"ServiceAccountList","metadata":{},"items":[]}', id="no version"),
    pytest.param(b'{"kind":"ServiceAccountList","metadata":{"resourceVersion":""},"items":[]}', id="empty version"),
    pytest.param(b'{"kind":"PodList","metadata":{"resourceVersion":"9"},"items":[]}', id="pods"),
    pytest.param(page(item("team", "app"))[:-4], id="half"),
    pytest.param(b"[" * 100_000, id="deep"),
    pytest.param(b'{"kind":"ServiceAccountList","x":' + b"[" * 100_000, id="deep inside"),
    pytest.param(b'{"kind":"\xff"}', id="no text"),
]


@pytest.mark.parametrize(
    "body",
    [*NO_LISTS, pytest.param(b'{"kind":"ServiceAccountList","metadata":{"resourceVersion":"9"}}', id="no items")],
)
def test_an_answer_that_is_no_list_never_passes_for_an_empty_cluster(body: bytes) -> None:
    """Whatever is not a whole ServiceAccountList is an error, so that it can never empty the index."""
    with pytest.raises(Unreachable):
        index().begin().page(body)


@pytest.mark.parametrize("body", NO_LISTS)
def test_an_answer_that_is_no_list_has_no_version(body: bytes) -> None:
    """No version is read from anything but a list."""
    with pytest.raises(Unreachable):
        SERVICE_ACCOUNTS.read_version(body)


def test_the_version_of_a_list_is_read_past_its_items() -> None:
    """Whatever the items are, the list says its version."""
    assert "12" == SERVICE_ACCOUNTS.read_version(page(item("team", "app"), {"metadata": 5}, version="12", token="more"))


def test_a_heavy_page_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is read item by item gives what it would give at once, what cannot be read included."""
    body = page(item("team", "a", annotations={"x": "y"}), {"metadata": None}, item("team", "b"), token="next")
    at_once = SERVICE_ACCOUNTS.read_page(body)
    monkeypatch.setattr(wire, "_AT_ONCE_BYTES", 0)
    one_by_one = SERVICE_ACCOUNTS.read_page(body)

    assert at_once[0] == one_by_one[0]
    assert [*at_once[1]] == [*one_by_one[1]]


def test_a_list_without_items_is_an_empty_cluster() -> None:
    """Go writes an empty list as null; that is a true list."""
    body = b'{"kind":"ServiceAccountList","metadata":{"resourceVersion":"9"},"items":null}'

    assert Page("", "9") == index().begin().page(body)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"<html>", json.dumps({"kind": "Pod", **item("team", "app")}).encode(),
     b'{"kind":"ServiceAccount","metadata":{"name":"app","namespace":"team"}}'],
    ids=["empty", "object", "html", "pod", "no uid"],
)  # fmt: skip
def test_a_single_answer_of_another_kind_is_an_error(body: bytes) -> None:
    """An answer that is no ServiceAccount is neither a yes nor a no."""
    with pytest.raises(Unreachable):
        index().read(body)


@pytest.mark.parametrize(
    ("code", "reason", "is_gone"),
    [(410, "", True), (410, "Expired", True), (0, "Gone", True), (500, "InternalError", False), (429, "", False)],
    ids=["410", "expired", "gone", "500", "429"],
)
def test_an_error_line_says_whether_the_history_is_gone(code: int, reason: str, is_gone: bool) -> None:
    """An ERROR line carries the status; 410, Expired and Gone mean that only a list can tell."""
    event = index().apply(line("ERROR", {"kind": "Status", "metadata": {}, "code": code, "reason": reason}))

    assert (EventKind.ERROR, code, reason, is_gone) == (event.kind, event.code, event.reason, event.is_gone)


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"null",
        b'{"type":"DELETED"}',
        line("RENAMED", item("team", "app")),
        line("DELETED", {"metadata": {"name": "app", "resourceVersion": "9"}}),
        line("DELETED", item("team", "app", resourceVersion="")),
        line("BOOKMARK", {"metadata": {}}),
        line("ADDED", item("team", "app", annotations={"a": 1})),
    ],
    ids=["half", "null", "no object", "new type", "nobody", "no version", "empty bookmark", "annotation number"],
)
def test_a_line_that_cannot_be_read_is_an_error_that_quotes_nothing(bad: bytes) -> None:
    """A watch line is never skipped, since it may have been a delete; the error does not quote it."""
    with pytest.raises(Unreachable, match=r"^a watch line [a-zA-Z ]*$"):
        index().apply(bad)
