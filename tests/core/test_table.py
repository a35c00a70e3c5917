"""All live sessions, and when each is due for renewal."""

import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.nats.connz import Row
from nats_k8s_oidc_callout.core.sessions.table import Session, Table, session_of, share
from nats_k8s_oidc_callout.core.spelling import cut
from tests.core.test_label import LABEL

START = 1_789_000_000.0


def session(cid: int = 1, server: str = "S1", name: str = "web", seconds: int = 3600, account: str = "APP") -> Session:
    label = msgspec.structs.replace(LABEL, name=name, expires=int(START) + seconds)
    return Session(server, cid, account, label, START, "10.0.0.1", "conn", "go", "1.55.0", "Client")


def test_sessions_are_found_by_connection_and_workload() -> None:
    """A session is taken in once, found by both, and forgotten by both."""
    table, one, other = Table(), session(1), session(2)

    assert [True, True, False] == [table.put(one), table.put(other), table.put(one)]
    assert {1, 2} == {found.cid for found in table.of(("shop", "web"))}
    assert one == table.remove(("S1", 1)) != table.remove(("S1", 1))
    assert [other] == table.of(("shop", "web")) == list(table)
    assert other == table.find(("S1", 2))
    table.remove(("S1", 2))
    assert ([], 0) == (table.of(("shop", "web")), len(table))


def test_a_server_that_is_gone_takes_its_sessions_along() -> None:
    """It sends no word of them."""
    table = Table()
    for one in (session(2), session(3, account="B"), session(1, "S2")):
        table.put(one)

    assert {2, 3} == {gone.cid for gone in table.forget_server("S1")}
    assert [("S2", 1)] == [left.key for left in table]


@pytest.mark.parametrize(
    ("seconds", "window"), [(600, 30.0), (3600, 120.0), (7200, 120.0), (60, 20.0), (41, 20.0), (40, None), (10, None)]
)
def test_renewal_comes_in_the_first_half_of_the_window(seconds: int, window: float | None) -> None:
    """The window is 5 % of a session, from 20 s to 2 minutes; one that is shorter than two of them is not renewed."""
    one = session(seconds=seconds)

    assert (window is None) == (one.due is None)
    if window is not None and one.due is not None:
        assert window == one.window
        assert 0 <= one.due - (one.label.expires - window) <= window / 2


@given(st.integers(30, 4000), st.integers(0, 30))
def test_renewal_never_loops(seconds: int, cid: int) -> None:
    """
    A client whose token does not move comes back to what is left, again and again: at most two more logins, whatever it is.
    """
    end, start, logins = int(START) + seconds, START, 0
    while True:
        one = Session("S1", cid, "APP", msgspec.structs.replace(LABEL, expires=end), start)
        if one.due is None:
            break
        assert start < one.due < end
        start, logins = one.due, logins + 1

    assert logins <= 2


def test_due_sessions_come_once_in_their_order() -> None:
    """What is due is handed out once, the earliest first; what has gone meanwhile is not."""
    table = Table()
    for number in range(400):
        table.put(session(number, seconds=600 + number))
    for number in range(0, 400, 2):
        table.remove(("S1", number))
    # Too short for a renewal.
    table.put(session(1000, seconds=30))
    due = table.take_due(START + 5000)

    assert {*range(1, 400, 2)} == {one.cid for one in due}
    assert sorted(due, key=lambda one: one.due or 0) == due
    assert [] == table.take_due(START + 5000)


def test_the_heap_forgets_what_is_gone() -> None:
    """Connections that come and go leave nothing behind until the hour is over."""
    table = Table()
    for number in range(5000):
        table.put(session(number))
        table.remove(("S1", number))

    assert len(table._due) <= 64


@pytest.mark.parametrize(
    ("text", "kept"), [("short", "short"), ("x" * 200, "x" * 128), ("é" * 100, "é" * 64), ("\ud800" * 10, "?" * 10)]
)
def test_long_texts_are_cut(text: str, kept: str) -> None:
    """Of what a client chose 128 bytes are kept, never half a character."""
    assert kept == cut(text)


def test_shares_spread() -> None:
    """Connections that came together are not due together."""
    assert len({share("S1", cid) for cid in range(1000)}) > 500
    assert all(0 <= share("S1", cid) < 1 for cid in range(1000))


def test_twenty_thousand_sessions_fit() -> None:
    """The table of 20,000 sessions takes less than 18 MB, in 300 accounts of 2,000 workloads."""
    table = Table()
    before = sys.getallocatedblocks()
    for number in range(20_000):
        label = msgspec.structs.replace(LABEL, name=f"web-{number % 2000}", jti=f"{number:08x}")
        table.put(
            Session(f"S{number % 3}", number, f"A{number % 300}", label, START, f"10.0.0.{number}", f"conn-{number}")
        )
    blocks = sys.getallocatedblocks() - before

    # Sizes are measured one by one: a process' memory on a busy machine says nothing.
    one = next(iter(table))
    texts = (*msgspec.structs.astuple(one.label)[:2], one.account, one.server, one.host, one.connection)
    size = sys.getsizeof(one) + sys.getsizeof(one.label) + sum(map(sys.getsizeof, (*texts, one.label.jti, one.start)))
    assert blocks < 20_000 * 20
    assert 20_000 * (size + 250) < 18 << 20


def test_a_connection_is_a_session_by_its_label_or_by_its_plain_name() -> None:
    """A plain name is taken only where there are no labels, and is never renewed; the kind is that of policies."""
    row = Row("S1", "n1", 7, "APP", str(LABEL), "10.0.0.1", "c", "go", "1", "Client", "websocket", START, START, "APP")
    plain = msgspec.structs.replace(row, user=f"system:serviceaccount:{LABEL.namespace}:{LABEL.name}")
    others = [
        msgspec.structs.replace(row, user=user)
        for user in ("bob", "system:serviceaccount:a:b:c", "system:serviceaccount:a")
    ]

    found, named = session_of(row, START + 1), session_of(plain, START + 1, by_name=True)
    assert found == Session("S1", 7, "APP", LABEL, START, "10.0.0.1", "c", "go", "1", "websocket", START + 1)
    assert named is not None
    assert (named.workload, named.label.release, named.due) == (found.workload, "", None)
    assert session_of(plain, START) is None
    assert [None] * 3 == [session_of(one, START, by_name=True) for one in others]
    for kind, type_, expected in (("Leafnode", "", "leafnode"), ("Client", "mqtt", "mqtt"), ("Client", "new", "")):
        one = session_of(msgspec.structs.replace(row, kind=kind, type=type_), START)
        assert one is not None
        assert one.kind == expected


def test_due_times_go_by_the_servers_clock() -> None:
    """A server that is a minute ahead ends its sessions a minute earlier, by our clock."""
    table, one = Table(), session(1)
    table.put(one, ahead=60.0)
    assert one.due is not None
    assert ([], [one]) == (table.take_due(one.due - 61), table.take_due(one.due - 59))
    assert table.has(one.workload)
    assert (one.workload,) == table.workloads()


def test_a_tenant_with_too_many_connections_hides_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the most that are held the fullest namespace loses one for another's; its own are not taken in."""
    monkeypatch.setattr("nats_k8s_oidc_callout.core.sessions.table.SESSIONS_MAX", 10)
    table = Table()

    def other(cid: int, namespace: str) -> Session:
        one = session(cid)
        return msgspec.structs.replace(one, label=msgspec.structs.replace(one.label, namespace=namespace))

    assert [True] * 10 + [False] * 5 == [table.put(other(cid, "hog")) for cid in range(15)]
    assert all(table.put(other(cid, "shop")) for cid in range(20, 24))
    assert (10, 4, 9) == (len(table), len(table.of(("shop", "web"))), table.left_out)
    for cid in range(30):
        table.remove(("S1", cid))
    assert (0, True) == (len(table), table.put(other(1, "hog")))
