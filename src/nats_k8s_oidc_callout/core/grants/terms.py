"""All that the platform decides about one workload."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from nats_k8s_oidc_callout.core.model import ConnectionKind


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


Network = IPv4Network | IPv6Network


class Entry(NamedTuple):
    """A subject, and what gives it: `rule`, `role:NAME` or `jetstream:INTENT`."""

    subject: str
    origin: str


@dataclass(frozen=True, slots=True)
class Ceilings:
    """How far annotations may go on each side. What lies in none of its patterns is left out."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    jetstream: tuple[str, ...] = ()


NO_ANNOTATIONS = Ceilings()
"""They count for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the platform decides alike for all whom one rule matches."""

    require_pod_bound: bool = False
    """Refuse tokens that no pod holds."""
    session_max_seconds: int
    inbox_mode: InboxMode
    jetstream_grants: JetStreamGrants
    reply_mode: ReplyMode
    # Of ReplyMode.RESPONSES.
    replies_max: int
    replies_ttl_seconds: float
    kinds: frozenset[ConnectionKind] = frozenset(ConnectionKind)
    networks: tuple[Network, ...] = ()
    """Where a client may connect from; empty is anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms(Conditions):
    """On what terms a workload is let in. What it asks for in annotations can never change them."""

    rule: str = ""
    """The name of the rule that gives them; empty without a policy file."""
    account: str
    """Where its clients land."""
    root: str | None
    """`<root>.>` may be published and subscribed; None gives neither."""
    publish: tuple[Entry, ...] = ()
    subscribe: tuple[Entry, ...] = ()
    deny_publish: tuple[str, ...] = ()
    deny_subscribe: tuple[str, ...] = ()
    ceilings: Ceilings | None = None
    """None: annotations may ask for whatever `filter` lets through."""
