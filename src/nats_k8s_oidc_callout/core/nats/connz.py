"""What servers say of connections: answers to CONNZ, and events when one begins or ends (NATS_FACTS 8).

All texts are a client's or an administrator's, and may be kilobytes: they are cut here.
"""

import re
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import msgspec

from nats_k8s_oidc_callout.core.spelling import cut
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import Unreadable

LEAFNODE = "Leafnode"
"""The `kind` of a leaf node's connection."""
USER_LONGEST = 600
"""A user's name that is longer is cut, and is no label of ours."""

# An id becomes part of a subject.
_ID = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_NO_CLIENT = "no such client"
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d{1,9})?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)


_Count = Annotated[int, msgspec.Meta(ge=0)]


class Row(msgspec.Struct, frozen=True, gc=False):
    """A connection, as a server lists it or tells of its begin."""

    server: str
    """The server's id, new at each of its starts."""
    server_name: str
    cid: int
    account: str
    """As the server spells it: a name in config mode, a public key in operator mode."""
    user: str
    """The `name` of the user JWT, or of a configured user."""
    host: str
    connection: str
    """Its name, as the client chose it."""
    lang: str
    version: str
    kind: str
    type: str
    start: float
    """When it began, by the server's clock (Unix seconds)."""
    now: float
    """The server's clock when it said so (Unix seconds)."""
    issuer_key: str
    """Whose key signed the user JWT; empty in config mode."""


class Left(NamedTuple):
    """A connection that ended."""

    server: str
    cid: int
    reason: str


class Page(NamedTuple):
    """A part of a server's list: rows from `offset` on, of `total`."""

    server: str
    rows: Iterator[Row]
    """Made one by one: there may be thousands. Those whose times cannot be read are left out."""
    listed: int
    total: int


class _Server(msgspec.Struct):
    id: str
    name: str = ""
    time: str = ""


class _Listed(msgspec.Struct, rename={"user": "authorized_user", "host": "ip", "connection": "name"}):
    cid: _Count
    start: str
    account: str = ""
    user: str = ""
    host: str = ""
    connection: str = ""
    lang: str = ""
    version: str = ""
    kind: str = ""
    type: str = ""
    issuer_key: str = ""


class _Told(
    msgspec.Struct,
    rename={"cid": "id", "account": "acc", "connection": "name", "version": "ver", "type": "client_type"},
):
    """The same in an event. A struct does not rename what it inherits."""

    cid: _Count
    start: str
    account: str = ""
    user: str = ""
    host: str = ""
    connection: str = ""
    lang: str = ""
    version: str = ""
    kind: str = ""
    type: str = ""
    issuer_key: str = ""


class _Data(msgspec.Struct):
    now: str
    total: _Count
    connections: list[_Listed] | None


class _Problem(msgspec.Struct):
    description: str = ""


class _List(msgspec.Struct):
    server: _Server
    data: _Data


class _Answer(msgspec.Struct):
    server: _Server
    error: _Problem | None = None


class _Event(msgspec.Struct):
    server: _Server
    client: _Told
    timestamp: str = ""
    reason: str | None = None


_list, _answer, _event = reader(_List), reader(_Answer), reader(_Event)


def read_page(data: bytes) -> Page:
    """Return what a server answered to CONNZ; raise Unreadable for anything else, such as an error."""
    found = _list(data)
    rows = _rows(found, _seconds(found.data.now))
    return Page(_id(found.server), rows, len(found.data.connections or ()), found.data.total)


def _rows(found: _List, now: float) -> Iterator[Row]:
    server, name = found.server.id, cut(found.server.name)
    for one in found.data.connections or ():
        try:
            start = _seconds(one.start)
        except Unreadable:
            continue
        yield _row(server, name, one, start, now)


def read_event(data: bytes) -> Row | Left:
    """Return the connection that a server says has begun or ended; raise Unreadable for anything else."""
    found = _event(data)
    client, server = found.client, _id(found.server)
    if found.reason is not None:
        return Left(server, client.cid, cut(found.reason))
    start = _seconds(client.start)
    now = _seconds(found.timestamp) if found.timestamp else start
    return _row(server, cut(found.server.name), client, start, now)


def _row(server: str, name: str, one: _Listed | _Told, start: float, now: float) -> Row:
    return Row(
        server,
        name,
        one.cid,
        one.account,
        one.user[:USER_LONGEST],
        cut(one.host),
        cut(one.connection),
        cut(one.lang),
        cut(one.version),
        cut(one.kind),
        cut(one.type),
        start,
        now,
        cut(one.issuer_key),
    )


def read_kick(data: bytes) -> bool:
    """Say whether a server ended a connection, False when it has none of this number; raise Unreadable for all else."""
    found = _answer(data)
    _id(found.server)
    if found.error is None:
        return True
    if not found.error.description.startswith(_NO_CLIENT):
        raise Unreadable("is another error than expected")
    return False


def _id(server: _Server) -> str:
    if not _ID.fullmatch(server.id):
        raise Unreadable("has no server id")
    return server.id


def _seconds(text: str) -> float:
    """Return a time of Go's (RFC 3339, up to nanoseconds, any zone) in Unix seconds."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise Unreadable("is no time")
    year, month, day, hours, minutes, seconds = map(int, found.groups()[:6])
    fraction, sign, zone_hours, zone_minutes = found.groups()[6:]
    zone = (int(zone_hours) * 60 + int(zone_minutes)) * 60 * (-1 if sign == "-" else 1) if sign else 0
    # Days since 1970, the year counted from March: its last day is then the leap day.
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719_469
    return days * 86400 + hours * 3600 + minutes * 60 + seconds + float(fraction or 0) - zone
