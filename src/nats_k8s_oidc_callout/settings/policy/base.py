"""What the settings say where a policy file is silent."""

from dataclasses import dataclass
from typing import Protocol

from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from nats_k8s_oidc_callout.core.grants.rules import Rule
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode

NO_ACCOUNT = "NATS_ACCOUNT"
"""Stands for the settings' account where a file is looked at alone."""
SILENT = (
    *("session_max_seconds", "inbox_mode", "reply_mode", "replies_max", "replies_ttl_seconds", "jetstream_grants"),
)
"""Fields of a rule that the settings have, too."""


class Says(Protocol):
    """The settings, as far as a file may be silent about them."""

    @property
    def nats_account(self) -> str: ...

    @property
    def nats_auth_account(self) -> str: ...

    @property
    def inbox_mode(self) -> InboxMode: ...

    @property
    def reply_mode(self) -> ReplyMode: ...

    @property
    def allow_responses_max(self) -> int: ...

    @property
    def allow_responses_ttl_seconds(self) -> float: ...

    @property
    def session_max_seconds(self) -> int: ...

    @property
    def jetstream_grants(self) -> JetStreamGrants: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Without arguments: the product's defaults, for a file that is looked at alone."""

    account: str = ""
    """NATS_ACCOUNT; empty when it is not known."""
    callout_account: str = ""
    inbox_mode: InboxMode = InboxMode.SHARED
    reply_mode: ReplyMode = ReplyMode.INBOX
    replies_max: int = 1
    replies_ttl_seconds: float = 120.0
    session_max_seconds: int = 3600
    jetstream_grants: JetStreamGrants = JetStreamGrants.DATA

    @classmethod
    def of(cls, settings: Says) -> "Base":
        """Return what these settings say."""
        return cls(
            account=settings.nats_account,
            callout_account=settings.nats_auth_account,
            inbox_mode=settings.inbox_mode,
            reply_mode=settings.reply_mode,
            replies_max=settings.allow_responses_max,
            replies_ttl_seconds=settings.allow_responses_ttl_seconds,
            session_max_seconds=settings.session_max_seconds,
            jetstream_grants=settings.jetstream_grants,
        )

    def rule(self) -> Rule:
        """Return what holds for everybody where there is no file."""
        account = Template(self.account or NO_ACCOUNT, ())
        said = {one: getattr(self, one) for one in SILENT}
        return Rule(name="", account=account, root=Template.of("{namespace}"), ceilings=None, **said)
