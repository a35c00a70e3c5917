"""All that the platform decides about one workload."""

from dataclasses import dataclass
from enum import StrEnum

from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants


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


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a workload is let in. What it asks for in annotations can never change them."""

    account: str
    """Where its clients land."""
    require_pod_bound: bool
    """Refuse tokens that no pod holds."""
    session_max_seconds: int
    inbox_mode: InboxMode
    jetstream_grants: JetStreamGrants
    reply_mode: ReplyMode
    # Of ReplyMode.RESPONSES.
    replies_max: int
    replies_ttl_seconds: float
