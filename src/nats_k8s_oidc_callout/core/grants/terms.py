"""What the platform decides about a workload."""

from enum import StrEnum


class InboxMode(StrEnum):
    """Whether every workload of an account may read `_INBOX.>` (the guide's default), or only its own inboxes."""

    SHARED = "shared"
    PRIVATE = "private"


class ReplyMode(StrEnum):
    """How whoever receives a request may answer it.

    RESPONSES is the reply permission of NATS. The server checks nothing but that a message with this reply subject came
    in, and a workload can send itself one: with it the publish side of every grant is void.
    """

    INBOX = "inbox"
    RESPONSES = "responses"
    NONE = "none"
