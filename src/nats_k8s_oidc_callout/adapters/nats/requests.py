"""The duty of the responder's own link: hear what the servers ask about logins, and what they say of our answers."""

from collections.abc import Callable, Sequence

import structlog

from nats_k8s_oidc_callout.adapters.nats.client import Connection, Hear
from nats_k8s_oidc_callout.adapters.nats.service import Duty, Ear, Reply
from nats_k8s_oidc_callout.adapters.nats.wire import Message
from nats_k8s_oidc_callout.core.nats.names import COMPLAINTS, REQUESTS, SERVER_XKEY

# A key has 56 characters. A header may have a megabyte of them, and would wait in our queue beside its message.
_XKEY_MAX = 64

log = structlog.get_logger("nats")


def answer_requests(
    queue_group: str,
    on_request: Callable[[bytes, str, str], None],
    on_complaint: Callable[[bytes], None],
    beside: Sequence[Ear] = (),
    refused: Callable[[str], bool] = lambda _: False,
) -> Duty:
    """Return the duty to hear requests in this queue group.

    `on_request` gets the message, its reply subject (give that very object to `Link.send`) and the server's xkey, or ""
    where there is none; it must not wait. `on_complaint` hears the server's complaints about our answers, if our
    permissions let us: one of the queue group hears each. `beside` and `refused` are as in Duty.
    """

    def hear_requests(connection: Connection) -> Hear:
        def receive(message: Message) -> None:
            reply = Reply(message.reply)
            reply.origin = connection
            on_request(message.payload, reply, message.headers.get(SERVER_XKEY, "")[:_XKEY_MAX])

        return receive

    def hear_complaints(_: Connection) -> Hear:
        def receive(message: Message) -> None:
            on_complaint(message.payload)

        return receive

    return Duty(
        Ear(REQUESTS, queue_group, hear_requests),
        started=lambda connection: log.info("nats subscribed", server=str(connection.address), queue_group=queue_group),
        stopped=lambda connection: log.info("nats unsubscribed", server=str(connection.address)),
        beside=(Ear(COMPLAINTS, queue_group, hear_complaints), *beside),
        refused=refused,
    )
