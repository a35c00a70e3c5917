"""What a rule could give to somebody, whoever that may be: too much perhaps, never too little.

A variable stands for any value, annotations are taken to ask for all that they may, and of the denials those alone count
that are the same for everybody.
"""

import re
from collections.abc import Iterator, Sequence

from nats_k8s_oidc_callout.core.grants import intents
from nats_k8s_oidc_callout.core.grants.filter import MAY_PUBLISH, MAY_SUBSCRIBE, JetStreamGrants, Side
from nats_k8s_oidc_callout.core.grants.globs import VARIABLE
from nats_k8s_oidc_callout.core.grants.holders import AIMED
from nats_k8s_oidc_callout.core.grants.intents import Intent
from nats_k8s_oidc_callout.core.grants.rules import Given, Rule
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.grants.terms import Entry, InboxMode, ReplyMode
from nats_k8s_oidc_callout.core.names import is_label
from nats_k8s_oidc_callout.core.nats.subjects import (
    PRIVATE_INBOXES,
    SHARED_INBOX,
    covered,
    guide_inbox,
    overlaps,
    private_inbox,
    subscribed,
)

# A name that a variable or a glob stands for while the entries of an intent are written down.
_ANY_NAME = "-any-"
# What a variable can be: never a system subject.
_VALUE = "[A-Za-z0-9_-]+"


def might_have(rule: Rule, side: Side, pattern: str, *, whole: bool) -> list[Entry]:
    """Return the entries by which a rule might give some of `pattern`, or all of it if `whole`; none if it cannot.

    Each is as the rule spells it, variables and all.
    """
    denied = rule.deny_publish if side is Side.PUBLISH else rule.deny_subscribe
    if rule.refuse is not None or covered(pattern, [deny.text for deny in denied if not deny.variables]):
        return []
    found = [entry for entry in _entries(rule, side, pattern) if _may_meet(_heard(entry.subject, side), pattern, rule)]
    if whole and not covered(pattern, [_widened(_heard(entry.subject, side), pattern) for entry in found]):
        return []
    return found


def might_aim(rule: Rule) -> bool:
    """Say whether a rule might give somebody what `holders.may_aim` looks for."""
    return any(might_have(rule, Side.PUBLISH, aimed, whole=False) for aimed in AIMED)


def _heard(subject: str, side: Side) -> str:
    return subject if side is Side.PUBLISH else subscribed(subject)


def _entries(rule: Rule, side: Side, pattern: str) -> Iterator[Entry]:
    """Yield all that a rule might give on one side; what annotations may ask for without a ceiling is `pattern` itself."""
    root = "" if rule.root is None else rule.root.text
    if root:
        yield Entry(f"{root}.>", "root")
    if side is Side.PUBLISH:
        if rule.reply_mode is ReplyMode.INBOX:
            yield from (Entry(SHARED_INBOX, "replies"), Entry(PRIVATE_INBOXES, "replies"))
        yield from (Entry(_with(root, given.text), given.origin) for given in rule.publish)
        yield from (entry for given in rule.jetstream for entry in _of_intent(given))
    else:
        inboxes = private_inbox("{namespace}", "{name}"), guide_inbox("{namespace}", "{name}")
        shared = (SHARED_INBOX,) if rule.inbox_mode is InboxMode.SHARED else ()
        yield from (Entry(inbox, "inbox") for inbox in (*shared, *inboxes))
        yield from (Entry(_with(root, given.text), given.origin) for given in rule.subscribe)
    if not _may_be_asked(pattern, side, rule.jetstream_grants):
        return
    if rule.ceilings is None:
        yield Entry(pattern, "annotation")
        return
    first = pattern.partition(".")[0]
    for ceiling in rule.ceilings.publish if side is Side.PUBLISH else rule.ceilings.subscribe:
        # Below `$` a ceiling counts only if it names that token.
        if not first.startswith("$") or ceiling.text.split(".")[0] == first:
            yield Entry(_with(root, ceiling), "annotation")
    if side is Side.PUBLISH:
        for ceiling in rule.ceilings.jetstream:
            yield from (Entry(entry.subject, "annotation") for entry in _of_intent(Given(ceiling, "")))


def _with(root: str, text: Template) -> str:
    return text.text.replace("{root}", root)


def _of_intent(given: Given) -> Iterator[Entry]:
    """Yield the entries of an intent or ceiling; a token that a variable or glob has a part in is `*`."""
    text = given.text.text
    verb, _, rest = text.partition(":")
    if verb == intents.PUBLISH:
        yield Entry(rest, given.origin)
        return
    name, *more = rest.split("/", 2)
    consumer, subject = VARIABLE.sub(_ANY_NAME, more[0]) if more else "", VARIABLE.sub("*", more[1]) if more[1:] else ""
    named = Intent(verb, re.sub(r"\*", _ANY_NAME, VARIABLE.sub(_ANY_NAME, name)), consumer, subject)
    for entry in intents.entries(named):
        yield Entry(".".join("*" if _ANY_NAME in token else token for token in entry.split(".")), f"jetstream:{text}")


def _may_be_asked(pattern: str, side: Side, grants: JetStreamGrants) -> bool:
    """Say whether an annotation without a ceiling may ask for a part of `pattern`."""
    first = pattern.partition(".")[0]
    if first in ("*", ">"):
        return True
    if not first.startswith("$"):
        return not first.startswith("_")
    if side is Side.PUBLISH and grants is JetStreamGrants.ADMIN:
        return first in ("$JS", "$KV", "$O")
    verbs = MAY_PUBLISH if side is Side.PUBLISH else MAY_SUBSCRIBE
    return any(overlaps(verb, pattern) or overlaps(f"{verb}.>", pattern) for verb in verbs)


def _may_meet(entry: str, pattern: str, rule: Rule) -> bool:
    """Say whether an entry, for some values of its variables, shares a subject with a pattern."""
    mine, theirs = entry.split("."), pattern.split(".")
    for one, other in zip(mine, theirs, strict=False):
        if ">" in (one, other):
            return True
        if other != "*" and not _may_stand_for(one, other, rule):
            return False
    return len(mine) == len(theirs)


def _may_stand_for(token: str, literal: str, rule: Rule) -> bool:
    if token == "{namespace}":
        globs = rule.match.namespaces
        return is_label(literal) and (not globs or any(glob.match(literal) is not None for glob in globs))
    return may_be(token, literal)


def may_be(text: str, literal: str) -> bool:
    """Say whether a text of a rule, a `*` or some with variables, comes to `literal` for some values."""
    if text == "*":
        return True
    pieces: Sequence[str] = VARIABLE.split(text)[::2]
    return re.fullmatch(_VALUE.join(map(re.escape, pieces)), literal) is not None


def _widened(entry: str, pattern: str) -> str:
    """Return the pattern that an entry comes to: a whole variable is `*`, part of a token what the pattern says there."""
    asked = pattern.split(".")
    tokens = entry.split(".")
    for place, token in enumerate(tokens):
        if VARIABLE.fullmatch(token):
            tokens[place] = "*"
        elif VARIABLE.search(token) and place < len(asked) and may_be(token, asked[place]):
            tokens[place] = asked[place]
    return ".".join(tokens)
