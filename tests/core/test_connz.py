"""What servers say of connections."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.nats.connz import Left, Row, read_event, read_kick, read_page
from nats_k8s_oidc_callout.errors import Unreadable

SERVER = {"id": "NA", "name": "n1", "time": "2026-11-26T21:00:00Z"}
AT = datetime(2026, 11, 26, 21, 0, 0, 123456, UTC)
CLIENT = {
    "id": 7, "start": "2026-11-26T22:00:00.123456789+01:00", "host": "10.0.0.1", "acc": "APP", "user": "u", "name": "n" * 4000,
    "lang": "go", "ver": "1.55", "kind": "Client", "client_type": "nats", "issuer_key": "APP", "jwt": "x", "rtt": 5,
}  # fmt: skip
LISTED = {
    "cid": 7, "start": "2026-11-26T21:00:00.123456789Z", "kind": "Client", "type": "nats", "ip": "10.0.0.1", "name": "ü" * 4000,
    "lang": "go", "version": "1.55", "authorized_user": "u", "account": "APP", "issuer_key": "APP",
}  # fmt: skip


def event(**changes: Any) -> bytes:  # any JSON
    return json.dumps(
        {"type": "io…", "server": SERVER, "timestamp": "2026-11-26T21:00:01Z", "client": CLIENT} | changes
    ).encode()


def page(*rows: dict[str, Any], **data: Any) -> bytes:
    inner = {"now": "2026-11-26T21:00:02Z", "total": len(rows), "offset": 0, "connections": rows} | data
    return json.dumps({"server": SERVER, "data": inner}).encode()


def test_a_row_and_an_event_tell_the_same() -> None:
    heard, told = read_event(event()), read_page(page(LISTED, {**LISTED, "start": "soon"}, total=9))
    (row,) = told.rows
    assert isinstance(heard, Row)
    assert (told.server, told.listed, told.total) == ("NA", 2, 9)
    assert heard.start == pytest.approx(AT.timestamp(), abs=1e-6)
    assert heard == Row(
        "NA", "n1", 7, "APP", "u", "10.0.0.1", "n" * 128, "go", "1.55", "Client", "nats",
        heard.start, AT.timestamp() // 1 + 1, "APP",
    )  # fmt: skip
    assert (row.start, row.connection, row.now) == (heard.start, "ü" * 64, heard.now + 1)
    assert (row.user, row.account, row.type, row.version) == (heard.user, heard.account, heard.type, heard.version)
    assert read_event(event(timestamp="")).now == heard.start  # type: ignore[union-attr]


def test_the_end_of_a_connection_has_a_reason() -> None:
    assert read_event(event(reason="Kicked")) == Left("NA", 7, "Kicked")


def test_answers_to_a_kick() -> None:
    """A connection has ended, or there is none of this number; any other error is neither."""
    error = {"code": 500, "description": "no such client or leafnode id"}
    assert read_kick(json.dumps({"server": SERVER}).encode())
    assert not read_kick(json.dumps({"server": SERVER, "error": error}).encode())
    for strange in ({"server": SERVER, "error": {"code": 400}}, {"server": {"id": ""}}, {}):
        with pytest.raises(Unreadable):
            read_kick(json.dumps(strange).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        event(client={}),
        event(server={"id": "N.>"}),
        event(client={**CLIENT, "id": -1}),
        event(timestamp="2026"),
        event(client={**CLIENT, "start": ""}),
        page({**LISTED, "cid": -1}),
        page(total=-1),
        page(now="now"),
        page().replace(b'"NA"', b'"N A"'),
        json.dumps({"server": SERVER, "error": {"code": 400}}).encode(),
    ],
)
def test_what_is_none_is_unreadable(data: bytes) -> None:
    """Neither numbers below zero, nor a server's id that is more than a part of a subject."""
    for read in (read_event, read_page):
        with pytest.raises(Unreadable):
            read(data)


def test_an_empty_list() -> None:
    told = read_page(page(total=0, connections=None))
    assert ([], 0, 0) == ([*told.rows], told.listed, told.total)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for read in (read_event, read_page, read_kick):
        with pytest.raises(Unreadable):
            read(data)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)), st.integers(-720, 720))  # noqa: DTZ001  # the zone comes
def test_times_are_read_in_every_zone(naive: datetime, minutes: int) -> None:
    at = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    found = read_event(event(client={**CLIENT, "start": at.isoformat()}))
    assert isinstance(found, Row)
    assert found.start == pytest.approx(at.timestamp(), abs=1e-5)
