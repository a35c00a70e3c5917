"""One question on its way through the responder: its bytes, then what was read in them."""

from typing import NamedTuple

import msgspec

from nats_k8s_oidc_callout.core.model import Request
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from nats_k8s_oidc_callout.core.weight import text_weight
from nats_k8s_oidc_callout.responder.ports import Keys

# What the objects take beside the texts: tuples, places, and the heads of strings; measured on 3.13.
_MESSAGE_BYTES = 500
_LOGIN_BYTES = 1800


class Message(NamedTuple):
    """A question as it came in, and when on the monotonic clock."""

    data: bytes
    reply: str
    xkey: str
    received: float

    @property
    def weight(self) -> int:
        """What it takes in memory, in bytes."""
        return _MESSAGE_BYTES + len(self.data) + text_weight(self.reply) + text_weight(self.xkey)


class Login(msgspec.Struct, frozen=True, gc=False):
    """A question that was opened, with the keys that will answer it. Its bytes are gone."""

    reply: str
    received: float
    request: Request
    keys: Keys
    opened_by: CurveKey | None

    @property
    def weight(self) -> int:
        """What it takes in memory, in bytes: one emoji in it makes every character of a text four bytes long."""
        asked = self.request
        texts = (self.reply, asked.server_name, asked.client_host, asked.client_name)
        token = 0 if asked.token is None else text_weight(asked.token.reveal())
        return _LOGIN_BYTES + sum(map(text_weight, texts)) + token
