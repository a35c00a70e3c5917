"""Who of all ServiceAccounts may publish or subscribe something: each judged as a login would be, none of them kept but the hits."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from nats_k8s_oidc_callout.app.census import Counted
from nats_k8s_oidc_callout.core.grants.annotations import Grant, compile_grant
from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.holders import Hold, hold, may_aim, may_answer_itself
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import Labels, Rule
from nats_k8s_oidc_callout.core.grants.terms import ReplyMode, Terms
from nats_k8s_oidc_callout.core.grants.upto import might_aim, might_have


class Question(NamedTuple):
    """Who may do this."""

    side: Side
    subject: str
    whole: bool = False
    """All of the subject, else any of it."""
    account: str = ""
    """Only whoever lands there; empty for every account."""
    namespaces: Glob | None = None


class Holder(NamedTuple):
    """A workload that may. Sorted as it is shown."""

    account: str
    namespace: str
    name: str
    rule: str
    hold: Hold | None
    """None for one that has no permission, but a way around."""
    ways: tuple[str, ...] = ()
    """`replies`: by answering itself; `jetstream`: by aiming an answer of JetStream's."""


@dataclass(slots=True)
class Answer:
    """Who may, of how many."""

    holders: list[Holder] = field(default_factory=list)
    around: list[Holder] = field(default_factory=list)
    """Who has no permission but a way around; of the publish side only."""
    asked: int = 0
    unknown: int = 0
    """Of those asked about: ServiceAccounts whose namespace has no labels that are known."""


async def holders(
    everybody: AsyncIterator[Counted],
    question: Question,
    policy: Policy,
    prefix: str,
    labels_of: Callable[[str], Labels | None],
) -> Answer:
    """Return who may. How somebody connects, and whether a token is revoked, is left out."""
    answer = Answer()
    # Nearly always few rules can give anybody any of it: whoever has another needs no grant made.
    out_of_reach = {rule.name for rule in policy.rules if _is_out_of_reach(rule, question)}
    async for counted in everybody:
        namespace, name = counted.namespace, counted.name
        answer.asked += 1
        if question.namespaces is not None and question.namespaces.match(namespace) is None:
            continue
        terms = policy.terms_of(namespace, name, labels_of(namespace))
        answer.unknown += terms is None
        if not isinstance(terms, Terms) or question.account not in ("", terms.account):
            continue
        if terms.rule in out_of_reach:
            continue
        grant = compile_grant(namespace, name, counted.annotations, terms, prefix)
        found = hold(grant, question.side, question.subject)
        who = (terms.account, namespace, name, terms.rule)
        if found is not None and (found.whole or not question.whole):
            answer.holders.append(Holder(*who, found))
        elif question.side is Side.PUBLISH and (ways := _around(grant)):
            answer.around.append(Holder(*who, None, ways))
    answer.holders.sort(key=lambda holder: holder[:3])
    answer.around.sort(key=lambda holder: holder[:3])
    return answer


def _is_out_of_reach(rule: Rule, question: Question) -> bool:
    """Say whether this rule surely gives nobody any of it, nor a way around."""
    if might_have(rule, question.side, question.subject, whole=False):
        return False
    return question.side is Side.SUBSCRIBE or not (rule.reply_mode is ReplyMode.RESPONSES or might_aim(rule))


def _around(grant: Grant) -> tuple[str, ...]:
    return (*(("replies",) if may_answer_itself(grant) else ()), *(("jetstream",) if may_aim(grant) else ()))
