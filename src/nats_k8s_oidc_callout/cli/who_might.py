"""`who-can --rules-only`: which rules of a policy might give something to anybody. It asks no cluster."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from nats_k8s_oidc_callout.app.holders import Question
from nats_k8s_oidc_callout.cli.output import say
from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import Rule
from nats_k8s_oidc_callout.core.grants.terms import ReplyMode
from nats_k8s_oidc_callout.core.grants.upto import may_be, might_aim, might_have

WAYS = {
    "replies": "could by answering themselves (replies on)",
    "jetstream": "could by aiming JetStream's answers",
}
"""What lets somebody publish without a permission for it."""
NOTE = (
    "too many rather than too few: a variable stands for any value, annotations ask for all that they may, a rule is looked "
    "at without those before it, and only denials without variables count"
)


class Might(NamedTuple):
    """A rule that might give it to somebody."""

    rule: Rule
    entries: tuple[str, ...]
    """As the rule spells them, each with its origin."""
    around: tuple[str, ...]
    """`replies`, `jetstream`: what might do without an entry."""

    @property
    def account(self) -> str:
        return self.rule.account.text


def tell_rules(policy: Policy, question: Question, *, as_json: bool) -> int:
    """Print which rules might, and return the exit code: 1 when none does."""
    found = [might for rule in policy.rules if (might := _might(rule, question)) is not None]
    granting = [might for might in found if might.entries]
    if as_json:
        for might in found:
            say(json.dumps(_as_json(might)))
        say(
            json.dumps(
                {"summary": {"rules": len(granting), "of": len(policy.rules), "policy": policy.digest, "note": NOTE}}
            )
        )
    else:
        for account in sorted({might.account for might in found}):
            say(account, *_rows([might for might in found if might.account == account]))
        say(f"{len(granting)} of {len(policy.rules)} rules might; policy {policy.digest[:8]}", NOTE)
    return 0 if granting else 1


def _might(rule: Rule, question: Question) -> Might | None:
    if rule.refuse is not None or (question.account and not may_be(rule.account.text, question.account)):
        return None
    given = might_have(rule, question.side, question.subject, whole=question.whole)
    entries = tuple(dict.fromkeys(f"{entry.subject}  {entry.origin}" for entry in given))
    around: tuple[str, ...] = ()
    if question.side is Side.PUBLISH and not entries:
        by_answering = ("replies",) if rule.reply_mode is ReplyMode.RESPONSES else ()
        around = (*by_answering, *(("jetstream",) if might_aim(rule) else ()))
    return Might(rule, entries, around) if entries or around else None


def _as_json(might: Might) -> dict[str, Any]:
    entries = [dict(zip(("subject", "from"), entry.split("  "), strict=True)) for entry in might.entries]
    return {"account": might.account, "rule": might.rule.name, "up_to": entries, "around": might.around}


def _rows(found: list[Might]) -> Iterator[str]:
    for might in found:
        yield from (f"  rule {might.rule.name}: up to {entry}" for entry in might.entries)
        for way in might.around:
            yield f"  rule {might.rule.name}: none, but {WAYS[way]}"
