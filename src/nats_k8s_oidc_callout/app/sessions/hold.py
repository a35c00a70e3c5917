"""An operator's word to stop all kicks, and to go on. Every replica hears it; it lasts while one of them lives."""

import asyncio
import math

import msgspec
import nats.errors
import structlog

from nats_k8s_oidc_callout.adapters.nats import Ear, Message
from nats_k8s_oidc_callout.adapters.nats.client import Connection, Hear
from nats_k8s_oidc_callout.core.sessions.kicks import Kicks

log = structlog.get_logger("sessions")

HOLD, RESUME, STATE = b"hold", b"resume", b"state"
_ASK_SECONDS = 0.2
_ANSWER_SECONDS = 0.5


class Hold:
    """Hears the word on one subject of the callout account, where only responders and their operators may publish.

    `hold` and `resume` are obeyed and answered. On each connect we ask for the `state`: a replica that holds says `hold`
    again, so that those who were not there hold, too. An operator's word has a reply subject, and overrules that.
    """

    def __init__(self, subject: str, kicks: Kicks, replica: str) -> None:
        self._subject, self._kicks, self._replica = subject, kicks, replica
        self._resumed_at = -math.inf
        self.ear = Ear(subject, "", self._hear)
        self.asked = asyncio.Event()
        """The others had the time to say that they hold. Before that nobody is kicked."""

    def _hear(self, connection: Connection) -> Hear:
        # Not before the subscription: what is said in answer would be missed.
        loop = asyncio.get_running_loop()
        loop.call_later(_ASK_SECONDS, self._say, connection, self._subject, STATE)
        loop.call_later(_ASK_SECONDS + _ANSWER_SECONDS, self.asked.set)

        def receive(message: Message) -> None:
            if message.payload == STATE:
                if self._kicks.held:
                    self._say(connection, self._subject, HOLD)
                return
            if message.payload not in (HOLD, RESUME):
                return
            held = message.payload == HOLD
            if not held:
                self._resumed_at = loop.time()
            elif not message.reply and loop.time() - self._resumed_at < _ANSWER_SECONDS:
                # Said by a replica that had not heard of the end yet.
                return
            if held != self._kicks.held:
                self._kicks.held = held
                log.warning("sessions held" if held else "sessions resumed")
            if message.reply:
                self._say(connection, message.reply, msgspec.json.encode({"replica": self._replica, "held": held}))

        return receive

    def _say(self, connection: Connection, subject: str, payload: bytes) -> None:
        if connection.is_connected:
            try:
                connection.answer([(subject, payload)])
            except nats.errors.Error as error:
                log.debug("session control message not sent", reason=str(error))
