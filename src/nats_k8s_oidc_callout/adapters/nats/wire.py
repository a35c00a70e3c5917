"""What a NATS server says to a client: INFO, the words of a refusal, messages, complaints."""

from typing import NamedTuple

import msgspec

from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import Unreachable, Unreadable


class Refused(Unreachable):
    """The server turned the login away: in its own `words` (empty: it only closed), `seconds` after it was sent."""

    def __init__(self, words: str, seconds: float) -> None:
        super().__init__(words or "the server closed the connection")
        self.words = words
        self.seconds = seconds


class Untrusted(Unreachable):
    """No TLS connection that both sides accept; the message says which check failed."""


class ServerInfo(msgspec.Struct):
    """What a server says of itself before anybody has proven anything."""

    server_id: str = ""
    server_name: str = ""
    version: str = ""
    auth_required: bool = False
    tls_required: bool = False
    nonce: str = ""
    max_payload: int = 0
    # From 2.12 on, in the INFO that answers a login.
    connect_info: bool = False
    remote_account: str = ""


class Message(NamedTuple):
    """What a subscription brought."""

    subject: str
    reply: str
    """Empty where there is none that could be answered. A character is one byte: `Connection.answer` knows that."""
    headers: dict[str, str]
    payload: bytes


class _Client(msgspec.Struct):
    name: str = ""


class Complaint(msgspec.Struct):
    """What a server says of a login that failed (core.nats.names.COMPLAINTS)."""

    reason: str = ""
    """In the server's words; empty when the callout did not answer in time."""
    client: _Client = msgspec.field(default_factory=_Client)


_read = reader(ServerInfo)
read_complaint = reader(Complaint)


def read_headers(raw: bytes) -> dict[str, str]:
    """Return the headers of a message by their names as written; lines that are none, and the status, are left out.

    Never raises: whoever may publish on a subject chooses every byte after the length.
    """
    found = {}
    for line in raw.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            found[name.decode("latin-1")] = value.strip().decode("latin-1")
    return found


def read_info(text: bytes) -> ServerInfo:
    """Return what stands behind `INFO `; raise Unreachable when it cannot be read."""
    try:
        return _read(text)
    except Unreadable:
        raise Unreachable("the server's INFO cannot be read") from None
