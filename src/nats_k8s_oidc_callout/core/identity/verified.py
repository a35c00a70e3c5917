"""What tokens proved before, so that a reconnect storm pays for each signature once. Holds no token's text."""

import hashlib
from collections import deque

from nats_k8s_oidc_callout.core.identity.issuers import Proved
from nats_k8s_oidc_callout.core.identity.tokens import MAX_BYTES
from nats_k8s_oidc_callout.core.model import Token
from nats_k8s_oidc_callout.core.weight import text_weight

BYTES_MAX = 16 << 20
"""Some 20,000 usual tokens."""
# What a place takes when its token has expired, and what the objects of one that has not take beside their texts.
_PLACE_BYTES = 200
_HEADS_BYTES = 650


class VerifiedTokens:
    """Accepted tokens by digest, under the key generation that they were proved in, until their `exp`.

    At most `bytes_max` bytes; the oldest go first, so that no request pays for more than it brings.
    """

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._generation = -1
        # The order is kept apart: taking the first key of a dict over and over walks its removed ones each time.
        self._order: deque[bytes] = deque()
        self._proved: dict[bytes, Proved | None] = {}
        self.weight = 0
        """What is held, in bytes; at least."""

    def __len__(self) -> int:
        return len(self._order)

    def find(self, place: bytes, generation: int, now: float) -> Proved | None:
        """Return what was proved earlier under this key generation, unless it has expired at `now`."""
        if generation != self._generation:
            return None
        proved = self._proved.get(place)
        if proved is not None and now >= proved.exp:
            # The place stays until its turn, so that one expired token, sent again and again, pushes nobody out.
            self._proved[place] = None
            self.weight -= _weight(proved) - _PLACE_BYTES
            return None
        return proved

    def keep(self, place: bytes, generation: int, proved: Proved) -> None:
        """Remember what `issuers.accept` returned for this token."""
        if generation != self._generation:
            # Nothing that other keys proved is ever asked for again.
            self._order.clear()
            self._proved.clear()
            self.weight, self._generation = 0, generation
        if place in self._proved:
            return
        self._order.append(place)
        self._proved[place] = proved
        self.weight += _weight(proved)
        while self.weight > self._bytes_max:
            gone = self._proved.pop(self._order.popleft())
            self.weight -= _PLACE_BYTES if gone is None else _weight(gone)


def place_of(token: Token) -> bytes:
    """Return where a token stands, of whatever form it is. Longer ones may share a place: none of them is ever kept."""
    return hashlib.sha256(token.reveal()[: MAX_BYTES + 1].encode(errors="surrogatepass")).digest()


def _weight(proved: Proved) -> int:
    workload = proved.workload
    # As one text, which is quicker: this is done for every new token.
    weight = _HEADS_BYTES + text_weight(
        f"{workload.namespace}{workload.name}{workload.uid}{workload.pod}{workload.jti}"
    )
    if proved.other_audiences:
        # Each has a head of its own, and a place in the tuple.
        weight += 60 * len(proved.other_audiences) + text_weight("".join(proved.other_audiences))
    return weight
