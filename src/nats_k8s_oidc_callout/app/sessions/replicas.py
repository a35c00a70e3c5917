"""A word to all replicas, said with the responder's own login."""

import asyncio
import os
from contextlib import suppress

import msgspec

from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.adapters.nats import Message, Probe, open_probe
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import Unreachable, Unreadable
from nats_k8s_oidc_callout.settings import Settings

_STEP_SECONDS = 4.0
_ANSWER_SECONDS = 1.0
_MOST = 1000
"""Answers, each of at most so many bytes."""
# The second is what a responder without imports may hear.
_INBOXES = ("_INBOX_sess", "_INBOX")


class Replica(msgspec.Struct, frozen=True):
    """What a responder answers."""

    replica: str
    held: bool


_read = reader(Replica)


async def tell(settings: Settings, word: str) -> list[Replica]:
    """Say `hold` or `resume` to every replica, and return what they answer within a second.

    Raises Unreachable when no server lets us say it.
    """
    keyring = Keyring(settings, FileWatch().watch)
    troubles: list[str] = []
    for address in settings.nats_url.servers:
        try:
            async with open_probe(address, keyring.tls(), _STEP_SECONDS) as probe:
                await probe.log_in(keyring.login(), f"{PROGRAM} sessions", _STEP_SECONDS)
                return await _tell(probe, f"{settings.session_subjects}.control", word)
        except Unreachable as error:
            troubles.append(f"{address}: {error}")
    raise Unreachable("; ".join(troubles))


async def _tell(probe: Probe, subject: str, word: str) -> list[Replica]:
    answers: list[Replica] = []

    def take(message: Message) -> None:
        with suppress(Unreadable):
            if len(message.payload) <= _MOST and len(answers) < _MOST:
                answers.append(_read(message.payload))

    inbox, refused = "", "no inbox"
    for prefix in _INBOXES:
        if refused:
            inbox = f"{prefix}.{os.urandom(8).hex()}.1"
            refused = await probe.subscribe(inbox, take, _STEP_SECONDS)
    if refused:
        raise Unreachable(f"it lets us hear no answer: {refused}")
    line = f"PUB {subject} {inbox} {len(word)}\r\n{word}".encode()
    if said := await probe.say(line, timeout=_STEP_SECONDS):
        raise Unreachable(said[0])
    await asyncio.sleep(_ANSWER_SECONDS)
    return sorted(answers, key=lambda answer: answer.replica)
