"""Rules of a policy in few words, closed unless they say otherwise."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.rules import Given, Match, Rule
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode
from tests.fakes.rules import RULE

CLOSED = replace(RULE, inbox_mode=InboxMode.PRIVATE, reply_mode=ReplyMode.NONE)
Labels = Mapping[str, str] | None


def rule(name: str, namespaces: str = "", accounts: str = "", labels: Labels = None, **more: Any) -> Rule:
    match = Match(
        tuple(map(Glob.of, namespaces.split())),
        tuple(map(Glob.of, accounts.split())),
        tuple((key, (Glob.of(glob),)) for key, glob in (labels or {}).items()),
    )
    return replace(CLOSED, name=name, match=match, **more)


def texts(text: str) -> tuple[Template, ...]:
    return tuple(map(Template.of, text.split()))


def given(text: str, origin: str = "rule") -> tuple[Given, ...]:
    return tuple(Given(template, origin) for template in texts(text))
