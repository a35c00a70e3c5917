"""Requests and their answers over whichever connection a link has at the moment."""

import asyncio
import secrets
from collections.abc import Callable
from typing import NamedTuple, Self

import nats.errors

from nats_k8s_oidc_callout.adapters.nats.client import Connection, Hear
from nats_k8s_oidc_callout.adapters.nats.service import Ear
from nats_k8s_oidc_callout.adapters.nats.wire import Message
from nats_k8s_oidc_callout.errors import Unreachable

INBOX = "_INBOX_sess"


class NotAllowed(Unreachable):
    """Our permissions lack the right to ask."""


class Answer(NamedTuple):
    """What came to our inbox. A server's answer is never empty: an empty one says that nobody listens (503)."""

    payload: bytes
    gzipped: bool


class Conversation:
    """Asks, and hears each answer of a question by itself. `ear` is what a link must hear for us."""

    def __init__(self) -> None:
        inbox = f"{INBOX}.{secrets.token_hex(8)}"
        self.ear = Ear(f"{inbox}.*", "", self._begin)
        self._inbox = inbox
        self._connection: Connection | None = None
        self._asked: dict[str, tuple[str, asyncio.Queue[Answer | None]]] = {}
        self._number = 0
        self.connects = 0
        """How many connections we have had."""
        self.on_begin: Callable[[], None] = lambda: None
        """Told of each new connection."""
        self.on_stray: Callable[[Answer], None] = lambda _: None
        """Told of an answer to a question that nobody waits for any more."""

    @property
    def connection(self) -> Connection | None:
        """The connection while it lives."""
        found = self._connection
        return found if found is not None and found.is_connected and not found.ended.is_set() else None

    def _begin(self, connection: Connection) -> Hear:
        self._connection = connection
        self.connects += 1
        self.on_begin()

        def receive(message: Message) -> None:
            answer = Answer(message.payload, message.headers.get("Content-Encoding") == "gzip")
            asked = self._asked.get(message.subject.rpartition(".")[2])
            if asked is not None:
                asked[1].put_nowait(answer)
            else:
                self.on_stray(answer)

        return receive

    def refuse(self, said: str) -> bool:
        """Take in that the server refused something, in its words in lower case; say whether it was a question."""
        found = [queue for subject, queue in self._asked.values() if f'publish to "{subject.lower()}"' in said]
        for queue in found:
            queue.put_nowait(None)
        return bool(found)

    def ask(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> "Question":
        """Ask; use the question as a context manager. Raises Unreachable without a connection."""
        connection = self.connection
        if connection is None:
            raise Unreachable("not connected")
        self._number += 1
        token = str(self._number)
        queue: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._asked[token] = subject, queue
        try:
            connection.post(subject, payload, f"{self._inbox}.{token}", headers)
        except nats.errors.Error as error:
            del self._asked[token]
            raise Unreachable(f"{subject}: {type(error).__name__}") from None
        return Question(subject, queue, connection, lambda: self._forget(token))

    def _forget(self, token: str) -> None:
        """End a question. Answers that nobody took have come too late."""
        _, queue = self._asked.pop(token)
        while not queue.empty():
            answer = queue.get_nowait()
            if answer is not None:
                self.on_stray(answer)


class Question:
    """A question that was asked, until its context ends."""

    def __init__(
        self,
        subject: str,
        queue: asyncio.Queue[Answer | None],
        connection: Connection,
        forget: Callable[[], object],
    ) -> None:
        self._subject, self._queue, self._connection, self._forget = subject, queue, connection, forget

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()

    async def answer(self, seconds: float) -> Answer | None:
        """Return the next answer, None when none comes within so many seconds.

        Raises NotAllowed when we may not ask, Unreachable when the connection has ended.
        """
        getting = asyncio.ensure_future(self._queue.get())
        ending = asyncio.ensure_future(self._connection.ended.wait())
        try:
            await asyncio.wait({getting, ending}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                answer = getting.result()
                if answer is None:
                    raise NotAllowed(f"the server refused {self._subject}")
                return answer
            if ending.done():
                raise Unreachable("the connection ended")
            return None
        finally:
            getting.cancel()
            ending.cancel()
