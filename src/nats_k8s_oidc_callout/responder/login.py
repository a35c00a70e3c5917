"""One question on its way through the responder: its bytes, then what was read in them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from nats_k8s_oidc_callout.core import callout, xkey
from nats_k8s_oidc_callout.core.model import Allow, Deny, Request
from nats_k8s_oidc_callout.core.xkey import CurveKey
from nats_k8s_oidc_callout.responder.ports import Keys


class Message(NamedTuple):
    data: bytes
    reply: str
    xkey: str
    received: float


@dataclass(frozen=True, slots=True)
class Login:
    """A question that was opened, with the keys that will answer it."""

    message: Message
    request: Request
    keys: Keys
    opened_by: CurveKey | None

    def encode(self, verdict: Allow | Deny, iat: int, nonce: Callable[[int], bytes]) -> bytes:
        """Return the answer's bytes, sealed when the question was."""
        signers = self.keys.placement[self.request.subject]
        if isinstance(verdict, Allow):
            response = callout.allow(self.request, verdict, signers, iat)
        else:
            response = callout.deny(self.request, signers, iat)
        if self.opened_by is None:
            return response
        return self.opened_by.seal(self.request.server_xkey, nonce(xkey.NONCE_BYTES), response)
