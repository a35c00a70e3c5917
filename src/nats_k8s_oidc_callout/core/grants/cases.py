"""One case of a policy's test table: a workload and how it connects, what is expected, and where that does not hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from nats_k8s_oidc_callout.core.grants import conditions
from nats_k8s_oidc_callout.core.grants.annotations import Grant, compile_grant
from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.reach import denied_of, may_all, may_some
from nats_k8s_oidc_callout.core.grants.rules import Turned
from nats_k8s_oidc_callout.core.grants.terms import ReplyMode, Terms
from nats_k8s_oidc_callout.core.model import ConnectionKind, Reason, Workload

ANSWERS_ITSELF = "may publish anywhere by answering itself"
REFUSALS = (
    *(Reason.REVOKED, Reason.NO_RULE, Reason.REFUSED_BY_RULE, Reason.BAD_CAPTURE, Reason.NOT_POD_BOUND),
    *(Reason.CONNECTION_KIND, Reason.SOURCE_NETWORK, Reason.NO_ACCOUNT),
)
"""All that a case can be refused for."""
Replies = ReplyMode | tuple[int, float]
"""How requests are answered; a number of answers and seconds is the reply permission of NATS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What must hold. None, and an empty side, is not looked at."""

    rule: str | None = None
    account: str | None = None
    session: int | None = None
    """Seconds."""
    replies: Replies | None = None
    refused: str | None = None
    publish: tuple[str, ...] = ()
    """All of each may be published."""
    no_publish: tuple[str, ...] = ()
    """Nothing of each may be published."""
    subscribe: tuple[str, ...] = ()
    """The server takes a subscription to each, and filters nothing out of it."""
    no_subscribe: tuple[str, ...] = ()
    """Nothing of each can be received, whatever is subscribed."""
    left_out: tuple[str, ...] | None = None
    """Just these entries of annotations do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A workload as it would log in. Without a pod its token is held by none."""

    workload: Workload
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    kind: ConnectionKind = ConnectionKind.NATS
    host: str = ""
    issued: float | None = None
    """When its token was, in Unix seconds; None is just now."""
    expect: Expect


class Result(NamedTuple):
    """What came of a case."""

    rule: str
    """The one that decided; empty when none did."""
    failures: tuple[str, ...]
    notes: tuple[str, ...]


def run(case: Case, policy: Policy, prefix: str, now: float, *, require_pod_bound: bool = False) -> Result:
    """Return what a login of this case comes to at `now` (Unix seconds); `prefix` is that of our annotations."""
    found = _outcome(case, policy, prefix, now, require_pod_bound=require_pod_bound)
    if isinstance(found, Turned):
        return Result(found.rule, tuple(_if_refused(case.expect, found)), ())
    by_answering = case.expect.no_publish and found.terms.reply_mode is ReplyMode.RESPONSES
    return Result(found.terms.rule, tuple(_if_let_in(case.expect, found)), (ANSWERS_ITSELF,) if by_answering else ())


def _outcome(case: Case, policy: Policy, prefix: str, now: float, *, require_pod_bound: bool) -> Grant | Turned:
    """Judge as `decide` does once a token has proved the workload. Which accounts exist is not known here."""
    workload = case.workload
    if require_pod_bound and not workload.pod:
        return Turned(Reason.NOT_POD_BOUND)
    issued = now if case.issued is None else case.issued
    if entry := policy.revoked.entry_for(workload, issued, now):
        return Turned(Reason.REVOKED, entry.reason)
    # Never None: the labels are known.
    terms = cast("Terms | Turned", policy.terms_of(workload.namespace, workload.name, case.labels))
    if isinstance(terms, Turned):
        return terms
    if reason := conditions.problem(terms, (case.kind, case.host), workload.pod):
        return Turned(reason, case.host, terms.rule)
    return compile_grant(workload.namespace, workload.name, case.annotations, terms, prefix)


def _if_refused(expect: Expect, found: Turned) -> Iterator[str]:
    if expect.refused is None:
        yield f"is refused as {found.reason}" + (f" ({found.detail})" if found.detail else "") + _by(found.rule)
        return
    if expect.refused != found.reason:
        yield f"refused {expect.refused}: it is {found.reason}" + _by(found.rule)
    if expect.rule not in (None, found.rule):
        yield f"rule {expect.rule}: " + (f"rule {found.rule} decides" if found.rule else "no rule decides")


def _by(rule: str) -> str:
    return f" by rule {rule}" if rule else ""


def _if_let_in(expect: Expect, found: Grant) -> Iterator[str]:
    terms = found.terms
    if expect.refused is not None:
        yield f"refused {expect.refused}: rule {terms.rule} lets it in"
        return
    replies = (terms.replies_max, terms.replies_ttl_seconds)
    for name, expected, actual in (
        ("rule", expect.rule, terms.rule),
        ("account", expect.account, terms.account),
        ("session", expect.session, terms.session_max_seconds),
        ("replies", expect.replies, replies if terms.reply_mode is ReplyMode.RESPONSES else terms.reply_mode),
    ):
        if expected not in (None, actual):
            yield f"{name} {_shown(expected)}: it is {_shown(actual)}"
    yield from _of_side(Side.PUBLISH, expect.publish, expect.no_publish, found)
    yield from _of_side(Side.SUBSCRIBE, expect.subscribe, expect.no_subscribe, found)
    if expect.left_out is not None:
        refused = {refusal.subject: refusal.why for refusal in found.refused if refusal.subject}
        for entry in expect.left_out:
            if entry not in refused:
                yield f'left_out "{entry}": rule {terms.rule} does not leave it out'
        for entry, why in refused.items():
            if entry not in expect.left_out:
                yield f'left_out: "{entry}" is left out, too: it {why}'


def _shown(value: object) -> str:
    return f"{{max: {value[0]}, ttl: {value[1]:g}s}}" if isinstance(value, tuple) else str(value)


def _of_side(side: Side, all_of: tuple[str, ...], none_of: tuple[str, ...], found: Grant) -> Iterator[str]:
    permissions, rule = found.permissions, f"rule {found.terms.rule}"
    allowed = permissions.publish if side is Side.PUBLISH else permissions.subscribe
    origins = found.publish_origins if side is Side.PUBLISH else found.subscribe_origins
    for pattern in all_of:
        if not may_all(permissions, side, pattern):
            denied = denied_of(permissions, side, pattern)
            yield f'{side} "{pattern}": {rule} ' + (f'denies "{denied[0]}"' if denied else "does not grant all of it")
    for pattern in none_of:
        for position in may_some(permissions, side, pattern)[:1]:
            yield f'no_{side} "{pattern}": {rule} grants "{allowed[position]}" by {origins[position].replace(":", " ", 1)}'
