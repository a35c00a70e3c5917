"""What servers say of connections, fuzzed: texts in it are any client's."""

from contextlib import suppress

from nats_k8s_oidc_callout.bounded.compressed import gunzip
from nats_k8s_oidc_callout.core.nats import connz
from nats_k8s_oidc_callout.core.nats.connz import Left, Row
from nats_k8s_oidc_callout.core.sessions import label
from nats_k8s_oidc_callout.errors import Unreadable

_MOST = 1 << 16


def connections(data: bytes) -> None:
    """`e` and an event · `p` and a page · `z` and a packed page · `k` and the answer to a kick."""
    kind, rest = data[:1], data[1:]
    with suppress(Unreadable):
        if kind == b"k":
            assert connz.read_kick(rest) in (True, False)
        elif kind == b"e":
            event = connz.read_event(rest)
            if isinstance(event, Left):
                _check_id(event.server, event.cid)
                assert len(event.reason.encode()) <= 128
            else:
                _check(event)
        else:
            text = gunzip(rest, _MOST) if kind == b"z" else rest
            assert len(text) <= _MOST + 1 or kind != b"z"
            page = connz.read_page(text)
            rows = list(page.rows)
            assert len(rows) <= page.listed
            for row in rows:
                _check(row)


def _check(row: Row) -> None:
    _check_id(row.server, row.cid)
    chosen = (row.server_name, row.host, row.connection, row.lang, row.version, row.kind, row.type, row.issuer_key)
    assert all(len(text.encode()) <= 128 for text in chosen), row
    assert len(row.user) <= connz.USER_LONGEST
    read = label.parse(row.user)
    assert read is None or label.plain(row.user) == f"system:serviceaccount:{read.namespace}:{read.name}", row.user


def _check_id(server: str, cid: int) -> None:
    """It becomes a part of a subject."""
    assert server.isalnum() and server.isascii() and len(server) <= 64, server
    assert cid >= 0
