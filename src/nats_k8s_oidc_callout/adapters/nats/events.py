"""Events of the servers, kept until somebody reads them: at most so many bytes."""

import asyncio
from collections import deque

import structlog

from nats_k8s_oidc_callout.adapters.nats.client import Connection, Hear
from nats_k8s_oidc_callout.adapters.nats.wire import Message
from nats_k8s_oidc_callout.core.nats import connz
from nats_k8s_oidc_callout.core.nats.connz import Left, Row
from nats_k8s_oidc_callout.errors import Unreadable

log = structlog.get_logger("sessions")

EVENTS_BYTES = 4 << 20
"""What events may take until they are read; past it the oldest are lost, and a list is needed."""
# What one takes beside its bytes. It has 750 bytes, and up to 30 KB where a tenant wants it so.
_HEAD_BYTES = 100


class Events:
    """What was heard and not read yet."""

    def __init__(self) -> None:
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self.overflowed = False
        """Some were lost, or never came."""
        self.heard = asyncio.Event()
        """Set while there are events to take."""

    def hear(self, _: Connection) -> Hear:
        """Return the callback for the events of a connection."""

        def receive(message: Message) -> None:
            self._queue.append(message.payload)
            self._bytes += len(message.payload) + _HEAD_BYTES
            while self._bytes > EVENTS_BYTES:
                self.overflowed = True
                self._bytes -= len(self._queue.popleft()) + _HEAD_BYTES
            self.heard.set()

        return receive

    def lost(self) -> None:
        """Take in that there is something of which no event told."""
        self.overflowed = True
        self.heard.set()

    def take(self, most: int) -> tuple[list[Row | Left], bool]:
        """Return so many at the most, in their order, and whether some were lost before them."""
        overflowed, self.overflowed = self.overflowed, False
        found: list[Row | Left] = []
        while self._queue and len(found) < most:
            data = self._queue.popleft()
            self._bytes -= len(data) + _HEAD_BYTES
            try:
                found.append(connz.read_event(data))
            except Unreadable:
                log.debug("nats event not readable")
        if not self._queue:
            self.heard.clear()
        return found, overflowed
