"""What a policy comes to for everybody there is: who is under which rule, and what changes for whom against another one."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from nats_k8s_oidc_callout.app.census import Counted
from nats_k8s_oidc_callout.core.grants.annotations import Grant, compile_grant
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import Labels, Turned
from nats_k8s_oidc_callout.core.grants.terms import Terms
from nats_k8s_oidc_callout.core.model import Reason

LabelsOf = Callable[[str], Labels | None]
"""The labels of a namespace, as far as rules go by them; None when it is not known."""

_UNKNOWN = Turned(Reason.INTERNAL, "the labels of its namespace are not known")


class Refused(NamedTuple):
    """A workload that the policy lets in nowhere."""

    workload: str
    reason: str
    rule: str
    detail: str


class LeftOut(NamedTuple):
    """An entry of an annotation that does not count."""

    workload: str
    annotation: str
    entry: str
    why: str


class Changed(NamedTuple):
    """A workload for which two policies are not the same, and what is not."""

    workload: str
    what: tuple[str, ...]


@dataclass(slots=True)
class Survey:
    """What was found, of how many."""

    asked: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    """How many are under each rule, those that it refuses included."""
    refused: list[Refused] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)


async def survey(
    everybody: AsyncIterator[Counted], labels_of: LabelsOf, policy: Policy, prefix: str, old: Policy | None
) -> Survey:
    """Judge everybody by a policy, and by the `old` one if there is any. How somebody connects is left out."""
    found = Survey()
    async for counted in everybody:
        workload = f"{counted.namespace}/{counted.name}"
        found.asked += 1
        now = _judged(counted, labels_of, policy, prefix)
        rule = now.rule if isinstance(now, Turned) else now.terms.rule
        if rule:
            found.rules[rule] += 1
        if isinstance(now, Turned):
            found.refused.append(Refused(workload, now.reason.value, now.rule, now.detail))
        else:
            found.left_out += [LeftOut(workload, item.annotation, item.subject, item.why) for item in now.refused]
        if old is not None and (what := tuple(_differences(_judged(counted, labels_of, old, prefix), now))):
            found.changed.append(Changed(workload, what))
    return found


def _judged(counted: Counted, labels_of: LabelsOf, policy: Policy, prefix: str) -> Grant | Turned:
    namespace, name = counted.namespace, counted.name
    terms = policy.terms_of(namespace, name, labels_of(namespace) if policy.label_keys else None)
    if terms is None:
        return _UNKNOWN
    return terms if isinstance(terms, Turned) else compile_grant(namespace, name, counted.annotations, terms, prefix)


def _differences(old: Grant | Turned, new: Grant | Turned) -> Iterator[str]:
    """Say what becomes different, the gravest first."""
    if isinstance(new, Turned):
        if not isinstance(old, Turned):
            yield f"refused now: {new.reason.value} ({new.detail})"
        return
    if isinstance(old, Turned):
        yield "let in now"
        return
    if old.terms.account != new.terms.account:
        yield f"account {old.terms.account} -> {new.terms.account}"
    before, after = old.permissions, new.permissions
    yield from _entries("publish", before.publish, after.publish)
    yield from _entries("subscribe", before.subscribe, after.subscribe)
    yield from _entries("deny publish", before.deny_publish, after.deny_publish)
    yield from _entries("deny subscribe", before.deny_subscribe, after.deny_subscribe)
    for what, was, becomes in zip(
        ("replies", "session", "kinds", "networks", "pod"), _rest(old), _rest(new), strict=True
    ):
        if was != becomes:
            yield f"{what} {was} -> {becomes}"


def _entries(side: str, old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[str]:
    before, after = set(old), set(new)
    yield from (f"loses {side} {entry}" for entry in old if entry not in after)
    yield from (f"gains {side} {entry}" for entry in new if entry not in before)


def _rest(grant: Grant) -> tuple[str, ...]:
    terms: Terms = grant.terms
    replies = grant.permissions.replies_max
    return (
        f"{replies} in {grant.permissions.replies_ttl_seconds:g} s" if replies else terms.reply_mode.value,
        f"{terms.session_max_seconds} s",
        ", ".join(sorted(terms.kinds)),
        ", ".join(map(str, terms.networks)) or "any",
        "required" if terms.require_pod_bound else "any",
    )
