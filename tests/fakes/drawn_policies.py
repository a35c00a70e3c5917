"""Random policies with a random workload, and what it is promised: told from the texts alone, without our matching."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from nats_k8s_oidc_callout.core.grants import intents
from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import CeilingTemplates, Given, Match, Rule
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode
from nats_k8s_oidc_callout.core.model import Reason
from tests.fakes.rules import PREFIX, RULE
from tests.fakes.universe import Universe

# `z` stands in no text. `a_b` is the value of the name `a.b`.
UNIVERSE = Universe(["a", "b", "a-b", "a_b", "z"], 4)

_Captured = Mapping[str, str] | None


def _team_and_part(name: str) -> _Captured:
    team, dash, part = name.partition("-")
    return {"team": team, "part": part} if team and dash and part else None


_GLOBS: Mapping[str, Callable[[str], _Captured]] = {
    "*": lambda _: {},
    "a": lambda name: {} if name == "a" else None,
    "a*": lambda name: {} if name.startswith("a") else None,
    "{team}": lambda name: {"team": name} if name else None,
    "{who}": lambda name: {"who": name.replace(".", "_")},
    "a-{team}": lambda name: {"team": name[2:]} if name.startswith("a-") else None,
    "{team}-{part}": _team_and_part,
}
"""Globs, and what each does as we would say it."""

_VARIABLES = ("namespace", "name", "team", "part", "who")
_OWN_INTENTS = ("kv-read:flags", "consume:{namespace}/c", "publish:{namespace}.b")
_CEILING_INTENTS = (
    "consume:*",
    "consume:{team}_*",
    "kv-write:{namespace}_*",
    "publish:{namespace}.>",
    "publish:{team}.*",
)
_ASKED_INTENTS = (
    *("consume:a_x", "consume:b_x", "consume:a_x/c", "kv-read:a_x", "kv-read:a-b_x", "kv-write:b_x", "nonsense"),
    *("publish:a.b", "publish:b.>", "publish:a.*", "publish:*", "publish:$KV.a.>"),
)
_RAW = ("$KV.a.>", "$KV.b.>")


@dataclass
class _Texts:
    """A rule as somebody writes it."""

    namespaces: str = "*"
    service_accounts: str = "*"
    label: str = ""
    refuse: bool = False
    account: str = "APP"
    root: str | None = None
    own: tuple[list[str], list[str], list[str]] = field(default_factory=lambda: ([], [], []))
    """To publish, to subscribe, intents."""
    denied: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    ceilings: tuple[list[str], list[str], list[str]] | None = None
    inbox: InboxMode = InboxMode.PRIVATE
    replies: ReplyMode = ReplyMode.INBOX


@dataclass
class Promise:
    """The most that a workload may do, and the least: what is allowed must be just this."""

    account: str
    publish: int
    """Subjects of UNIVERSE."""
    subscribe: int
    """The same, of what may be received; to subscribe, a last `*` is taken for `>`."""
    received: int
    """What is received by some subscription or other: a denial's last `*` is taken for `>` as well."""
    system: tuple[set[str], set[str]]
    """Patterns of each side that begin with `$` or `_`, which UNIVERSE has nothing of."""
    from_annotations: int
    """How many entries and intents of annotations are inside their ceilings."""
    left_out: int
    """How many are not."""


@dataclass
class Drawn:
    texts: list[_Texts]
    policy: Policy
    namespace: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    promised: Promise | Reason


def draw(chance: random.Random) -> Drawn:
    """Return a policy of up to three rules, somebody who logs in, and what comes of it."""
    texts = [_texts(chance) for _ in range(chance.randint(1, 3))]
    accounts = chance.choice([["T-*"], ["T-a*", "T-b"]])
    rules = [_rule(number, text) for number, text in enumerate(texts)]
    namespace, name = chance.choice(["a", "b", "a-b", "b-a"]), chance.choice(["a", "b", "a.b"])
    label = chance.choice([None, "a", "b", "a-b", "a_b", "a.b", ""])
    labels = {} if label is None else {"team": label}
    asked: tuple[list[str], list[str], list[str]] = (
        [*(_pattern(chance, ()) for _ in range(chance.randrange(6))), *chance.sample(_RAW, chance.randrange(3))],
        [_pattern(chance, ()) for _ in range(chance.randrange(6))],
        chance.sample(_ASKED_INTENTS, chance.randrange(6)),
    )
    keys = ("allowed-pub-subjects", "allowed-sub-subjects", "jetstream")
    annotations = {f"{PREFIX}{key}": ",".join(entries) for key, entries in zip(keys, asked, strict=True) if entries}
    promised = _promised(texts, accounts, namespace, name, labels, asked)
    return Drawn(
        texts, Policy(rules, [Glob.of(glob) for glob in accounts]), namespace, name, labels, annotations, promised
    )


def _pattern(chance: random.Random, variables: tuple[str, ...]) -> str:
    tokens = chance.choices(["a", "b", "a-b", "*", *(f"{{{one}}}" for one in variables)], k=chance.randint(1, 3))
    if chance.random() < 0.4:
        tokens[-1] = ">"
    return ".".join(tokens)


def _texts(chance: random.Random) -> _Texts:
    namespaces = chance.choice([glob for glob in _GLOBS if glob != "{who}"])
    accounts = chance.choice(["*", "a", "a*", "{who}"])
    label = chance.choice(["", "", "*", "a"] if "{" in namespaces else ["", "*", "{team}", "{team}"])
    captured = [one for one in _VARIABLES if f"{{{one}}}" in namespaces + accounts + label]
    variables = ("namespace", "name", *captured)

    def patterns(most: int, more: tuple[str, ...] = ()) -> list[str]:
        return [_pattern(chance, (*variables, *more)) for _ in range(chance.randrange(most + 1))]

    def known(texts: tuple[str, ...]) -> list[str]:
        able = [text for text in texts if all(f"{{{one}}}" not in text or one in captured for one in ("team", "who"))]
        return chance.sample(able, chance.randrange(3))

    root = chance.choice([None, "{namespace}", "{name}.{namespace}", "a", *(["{team}"] if "team" in captured else [])])
    more = () if root is None else ("root",)
    ceilings = (
        [*patterns(4, more=more), *chance.sample(_RAW, chance.randrange(2))],
        patterns(4, more=more),
        known(_CEILING_INTENTS),
    )
    return _Texts(
        namespaces,
        accounts,
        label,
        refuse=chance.random() < 0.05,
        account=chance.choice(["APP", "T-{namespace}"]),
        root=root,
        own=(patterns(2, more=more), patterns(2, more=more), known(_OWN_INTENTS)),
        denied=(patterns(1, more=more), patterns(1, more=more)),
        ceilings=chance.choice([None, ceilings, ceilings, ceilings]),
        inbox=chance.choice(list(InboxMode)),
        replies=chance.choice([ReplyMode.INBOX, ReplyMode.NONE]),
    )


def _rule(number: int, texts: _Texts) -> Rule:
    def templates(found: list[str]) -> tuple[Template, ...]:
        return tuple(Template.of(text) for text in found)

    def given(found: list[str]) -> tuple[Given, ...]:
        return tuple(Given(template, "rule") for template in templates(found))

    labels = (("team", (Glob.of(texts.label),)),) if texts.label else ()
    publish, subscribe, jetstream = map(given, texts.own)
    return replace(
        RULE,
        name=f"rule-{number}",
        match=Match((Glob.of(texts.namespaces),), (Glob.of(texts.service_accounts),), labels),
        refuse="because" if texts.refuse else None,
        account=Template.of(texts.account),
        root=None if texts.root is None else Template.of(texts.root),
        publish=publish,
        subscribe=subscribe,
        jetstream=jetstream,
        deny_publish=templates(texts.denied[0]),
        deny_subscribe=templates(texts.denied[1]),
        ceilings=None if texts.ceilings is None else CeilingTemplates(*map(templates, texts.ceilings)),
        inbox_mode=texts.inbox,
        reply_mode=texts.replies,
    )


def _promised(
    rules: list[_Texts],
    accounts: list[str],
    namespace: str,
    name: str,
    labels: Mapping[str, str],
    asked: tuple[list[str], list[str], list[str]],
) -> Promise | Reason:
    for rule in rules:
        captured, of_name = _GLOBS[rule.namespaces](namespace), _GLOBS[rule.service_accounts](name)
        if captured is None or of_name is None:
            continue
        from_label: _Captured = {}
        if rule.label:
            from_label = _GLOBS[rule.label](labels["team"]) if "team" in labels else None
        if from_label is None:
            continue
        if rule.refuse:
            return Reason.REFUSED_BY_RULE
        if any("." in value for value in from_label.values()):
            return Reason.BAD_CAPTURE
        values = {"namespace": namespace, "name": name.replace(".", "_"), **captured, **of_name, **from_label}
        open_names = [text for text in (rule.ceilings[2] if rule.ceilings else []) if "}_*" in text]
        if any("_" in values[one] for text in open_names for one in _VARIABLES if f"{{{one}}}" in text):
            return Reason.BAD_CAPTURE
        account = _fill(rule.account, values)
        if account != "APP" and not any(fnmatchcase(account, glob) for glob in accounts):
            return Reason.NO_ACCOUNT
        return _promise(rule, account, values, asked)
    return Reason.NO_RULE


def _fill(text: str, values: Mapping[str, str]) -> str:
    for variable, value in values.items():
        text = text.replace(f"{{{variable}}}", value)
    return text


def _promise(
    rule: _Texts, account: str, values: dict[str, str], asked: tuple[list[str], list[str], list[str]]
) -> Promise:
    roots: list[str] = []
    if rule.root is not None:
        values["root"] = _fill(rule.root, values)
        roots = [f"{values['root']}.>"]
    own_publish, own_subscribe, own_intents = ([_fill(text, values) for text in side] for side in rule.own)
    publish, subscribe = roots + own_publish, roots + own_subscribe
    for text in own_intents:
        publish += _entries(text)
    if rule.replies is ReplyMode.INBOX:
        publish += ["_INBOX.>", "_INBOX_SA.>"]
    subscribe += ["_INBOX.>"] if rule.inbox is InboxMode.SHARED else []
    who = f"{values['namespace']}.{values['name']}"
    subscribe += [f"_INBOX_SA.{who}.>", f"_INBOX_{who.replace('.', '_')}.>"]
    ceilings = None if rule.ceilings is None else [[_fill(text, values) for text in side] for side in rule.ceilings]
    taken = left_out = 0
    for entry in dict.fromkeys(asked[0]):
        if _may_ask(entry) and (ceilings is None or _inside(entry, ceilings[0])):
            publish, taken = [*publish, entry], taken + 1
        else:
            left_out += entry not in publish
    for entry in dict.fromkeys(asked[1]):
        if _may_ask(entry) and (ceilings is None or _inside(_reach(entry), ceilings[1])):
            subscribe, taken = [*subscribe, entry], taken + 1
        else:
            left_out += entry not in subscribe
    for text in dict.fromkeys(asked[2]):
        if _may_want(text) and (ceilings is None or any(_admits(ceiling, text) for ceiling in ceilings[2])):
            publish, taken = [*publish, *_entries(text)], taken + 1
        else:
            left_out += 1
    denied = [[_fill(text, values) for text in side] for side in rule.denied]
    return Promise(
        account,
        UNIVERSE.union(publish) & ~UNIVERSE.union(denied[0]),
        UNIVERSE.union(map(_reach, subscribe)) & ~UNIVERSE.union(denied[1]),
        UNIVERSE.union(subscribe) & ~UNIVERSE.union(map(_reach, denied[1])),
        ({entry for entry in publish if entry[0] in "$_"}, {entry for entry in subscribe if entry[0] in "$_"}),
        taken,
        left_out,
    )


def _reach(pattern: str) -> str:
    return f"{pattern[:-1]}>" if pattern.endswith("*") else pattern


def _may_ask(entry: str) -> bool:
    return entry[0] not in "*>"


def _inside(entry: str, ceilings: list[str]) -> bool:
    if entry.startswith("$"):
        return entry in ceilings
    return not UNIVERSE.matched(entry) & ~UNIVERSE.union(ceilings)


def _may_want(text: str) -> bool:
    verb, _, wanted = text.partition(":")
    return verb != "nonsense" and (verb != "publish" or _may_ask(wanted))


def _admits(ceiling: str, text: str) -> bool:
    (above, _, most), (verb, _, wanted) = ceiling.partition(":"), text.partition(":")
    if verb == above == "publish":
        return _inside(wanted, [most])
    covers = {above, "kv-read"} if above == "kv-write" else {above}
    return verb in covers and fnmatchcase(wanted.partition("/")[0], most)


def _entries(text: str) -> tuple[str, ...]:
    intent = intents.parse(text)
    assert isinstance(intent, intents.Intent)
    return intents.entries(intent)
