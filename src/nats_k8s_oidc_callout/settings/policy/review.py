"""What is odd about a file that is right: warnings, each where a reader would look. Pure, but for the time it is told."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from nats_k8s_oidc_callout.core.grants.globs import VARIABLE, Glob
from nats_k8s_oidc_callout.core.grants.rules import Match, Rule
from nats_k8s_oidc_callout.core.grants.terms import ReplyMode
from nats_k8s_oidc_callout.core.nats.subjects import covered, overlaps, subscribed
from nats_k8s_oidc_callout.settings.policy.findings import Finding, Findings
from nats_k8s_oidc_callout.settings.policy.grants import entries_of, intent_of
from nats_k8s_oidc_callout.settings.policy.loading import PolicyFile
from nats_k8s_oidc_callout.settings.policy.neighbours import Neighbours, Patterns
from nats_k8s_oidc_callout.settings.policy.rules import Draft
from nats_k8s_oidc_callout.settings.sessions import SHORT_SECONDS

APPLY_BYTES_MAX = 200 * 1024
"""What client-side `kubectl apply` keeps of a ConfigMap in an annotation has 256 KiB, all else included."""

_WIDE = ("$JS.API.>", "_INBOX.>", "$SYS.>")
_MAKES_CONSUMERS = frozenset({"consume", "kv-watch", "object-read", "object-write"})

Warnings = Iterator[tuple[int, str]]
"""Lines and texts of one code about one rule."""


def review(file: PolicyFile, now: float) -> tuple[Finding, ...]:
    """Return the warnings about a file, by line; `now` (Unix seconds) tells which entries of `revoked` are over."""
    found = Findings()
    if file.size > APPLY_BYTES_MAX:
        found.add(1, "W13", f"{file.size} bytes: kubectl apply needs --server-side above {APPLY_BYTES_MAX}")
    for name in file.unused:
        found.add(file.roles[name], "W01", f"no rule takes role {name}")
    for entry, line in zip(file.policy.revoked.entries, file.revoked, strict=True):
        if entry.until is not None and entry.until <= now:
            found.add(line, "W08", "it is past its `until`, and holds for nobody")
    giving = [draft for draft in file.drafts if draft.rule.refuse is None]
    accounts: dict[str, list[Rule]] = defaultdict(list)
    for draft in giving:
        accounts[draft.rule.account.text].append(draft.rule)
    neighbours = {account: Neighbours(rules) for account, rules in accounts.items()}
    _unreachable(file.drafts, found)
    _last(file.drafts, found)
    for draft in giving:
        found.rule = draft.rule.name
        for code, look in _LOOKS.items():
            for line, text in look(draft, neighbours[draft.rule.account.text]):
                found.add(line, code, text)
    return found.sorted()


def _unreachable(drafts: Sequence[Draft], found: Findings) -> None:
    earlier: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        # Whatever covers a glob begins as it does.
        prefix = draft.rule.match.namespaces[0].prefix if draft.rule.match.namespaces else ""
        candidates = (other for end in range(len(prefix) + 1) for other in earlier.get(prefix[:end], ()))
        wider = next((other for other in candidates if _is_wider(other.rule.match, draft.rule.match)), None)
        if wider is not None:
            found.rule = draft.rule.name
            found.add(draft.line, "W01", f"nobody reaches it: rule {wider.rule.name} takes all that it matches")
            continue
        for begin in {glob.prefix for glob in draft.rule.match.namespaces} or {""}:
            earlier[begin].append(draft)
    found.rule = ""


def _is_wider(one: Match, other: Match) -> bool:
    """Say whether one certainly matches whatever the other does."""
    labels = dict(other.labels)
    return (
        _all_covered(one.namespaces, other.namespaces)
        and _all_covered(one.service_accounts, other.service_accounts)
        and all(key in labels and _all_covered(globs, labels[key]) for key, globs in one.labels)
    )


def _all_covered(wider: Sequence[Glob], narrower: Sequence[Glob]) -> bool:
    if not wider:
        return True
    return bool(narrower) and all(any(glob.covers(item) for glob in wider) for item in narrower)


def _last(drafts: Sequence[Draft], found: Findings) -> None:
    last = drafts[-1]
    if last.rule.match != Match():
        found.add(
            last.line, "W12", "no rule is for everybody: whom none matches is refused as no_rule, if that is meant"
        )
    elif last.rule.refuse is None and last.rule.ceilings is None:
        found.rule = last.rule.name
        found.add(
            last.line, "W12", "it is for everybody, and with `annotations: any` tenants decide how far they reach"
        )
        found.rule = ""


def _sharers(draft: Draft, neighbours: Neighbours) -> str:
    """Return who else is in the account of a rule under another root, in words; empty for nobody."""
    rule = draft.rule
    others, one = neighbours.under_other_roots(rule)
    if others:
        return f"with rule {one}" + (f" and {others - 1} more" if others > 1 else "")
    roots = rule.root.names - rule.account.names if rule.root else ()
    return "among its own workloads, whose roots differ" if roots else ""


def _replies(draft: Draft, neighbours: Neighbours) -> Warnings:
    rule = draft.rule
    if rule.reply_mode is not ReplyMode.RESPONSES:
        return
    void = ["deny.publish"] if rule.deny_publish else []
    void += ["annotations.publish"] if rule.ceilings and rule.ceilings.publish + rule.ceilings.jetstream else []
    shared = _sharers(draft, neighbours)
    line = draft.lines.get("replies", draft.line)
    on = f"replies is on (max {rule.replies_max}): whoever answers itself publishes anywhere in {rule.account.text}"
    if void:
        yield line, f"{' and '.join(void)} {'are' if len(void) > 1 else 'is'} void while {on}"
    elif shared:
        yield line, f"{on}, an account shared {shared}"


def _leaks(draft: Draft, _: Neighbours) -> Warnings:
    if draft.rule.deny_subscribe:
        why = "older servers deliver what is denied to a subscription with a wildcard elsewhere"
        yield draft.entries["deny_subscribe"][0], f"deny.subscribe needs nats-server 2.11.16, 2.12.7 or 2.14: {why}"


def _dead(draft: Draft, _: Neighbours) -> Warnings:
    rule, lines = draft.rule, draft.entries
    root = [(f"{rule.root.text}.>", draft.lines.get("root", draft.line))] if rule.root else []
    for side, given, denied, more in (
        ("publish", rule.publish, rule.deny_publish, rule.jetstream),
        ("subscribe", rule.subscribe, rule.deny_subscribe, ()),
    ):
        if not denied:
            continue
        granted = [*root, *((item.text.text, line) for item, line in zip(given, lines[side], strict=True))]
        denials = Patterns(template.text for template in denied)
        for text, line in granted:
            reach = subscribed(text) if side == "subscribe" else text
            if covered(reach, denials.near(reach)):
                yield line, f'{side} "{text}" is denied whole'
        if rule.ceilings is None:
            continue
        asked = rule.ceilings.publish if side == "publish" else rule.ceilings.subscribe
        intents = rule.ceilings.jetstream if side == "publish" else ()
        allowed = [*(text for text, _ in granted), *(text.text for text in asked)]
        allowed += [entry for item in more for entry in entries_of(item.text)]
        reached = Patterns(_any(subscribed(text) if side == "subscribe" else text) for text in allowed)
        for template, line in zip(denied, lines[f"deny_{side}"], strict=True):
            # Inboxes are always granted, and below `$` a ceiling may name streams by a glob.
            if template.text.startswith("_") or (intents and template.text.startswith("$")):
                continue
            pattern = _any(template.text)
            if not any(overlaps(pattern, near) for near in reached.near(pattern)):
                yield line, f'deny.{side} "{template.text}" meets nothing that is granted'


def _any(text: str) -> str:
    """Return a pattern for whatever values the variables have."""
    return VARIABLE.sub("*", text)


def _taken_root(draft: Draft, neighbours: Neighbours) -> Warnings:
    rule = draft.rule
    first = VARIABLE.fullmatch(rule.root.text.split(".")[0]) if rule.root else None
    if rule.root is None or first is None or not _is_chosen(first[1], rule.match):
        return
    globs = rule.match.namespaces if first[1] == "namespace" else ()
    variables = (other for token, other in neighbours.variables(rule) if token != first[0])
    names = (found for prefix in {glob.prefix for glob in globs} or {""} for found in neighbours.labels(rule, prefix))
    called = (
        (token, other) for token, other in names if not globs or any(glob.match(token) is not None for glob in globs)
    )
    for token, other in (*(("", other) for other in islice(variables, 1)), *islice(called, 1)):
        namespace = f'a namespace called "{token}"' if token else "a namespace of that name"
        where = f'root "{rule.root.text}" in account {rule.account.text}'
        grants = f'rule {other.rule} grants "{other.text}"'
        yield draft.lines.get("root", draft.line), f"{where}, where {grants}: {namespace} would own it"
        return


def _is_chosen(variable: str, match: Match) -> bool:
    """Say whether whoever makes a namespace or a ServiceAccount chooses the value of a variable."""
    if variable == "name":
        return _many(match.service_accounts)
    if variable == "namespace":
        return _many(match.namespaces, literal_is_many=False)
    return any(variable in glob.captures for glob in (*match.namespaces, *match.service_accounts))


def _many(globs: Sequence[Glob], *, literal_is_many: bool = True) -> bool:
    """Say whether these match more names than they list; with `literal_is_many` also more than one."""
    return not globs or (literal_is_many and len(globs) > 1) or any(glob.prefix != glob.text for glob in globs)


def _creates(draft: Draft, neighbours: Neighbours) -> Warnings:
    shared = _sharers(draft, neighbours)
    for item, line in zip(draft.rule.jetstream, draft.entries["jetstream"], strict=True) if shared else ():
        intent = intent_of(item.text)
        if intent is not None and intent.verb in _MAKES_CONSUMERS and not intent.consumer:
            why = "it may make consumers that deliver to others' subjects, and change others' consumers"
            tight = f"; {item.text.text}/CONSUMER may not" if intent.verb == "consume" else ""
            yield (
                line,
                f'jetstream "{item.text.text}" in account {draft.rule.account.text}, shared {shared}: {why}{tight}',
            )


def _names_alone(draft: Draft, _: Neighbours) -> Warnings:
    rule = draft.rule
    if "namespace" in rule.account.names or not _many(rule.match.namespaces):
        return
    texts = [("root", rule.root, draft.lines.get("root", draft.line))] if rule.root else []
    for side, given in (("publish", rule.publish), ("subscribe", rule.subscribe), ("jetstream", rule.jetstream)):
        texts += [(side, item.text, line) for item, line in zip(given, draft.entries[side], strict=True)]
    for where, template, line in texts:
        names = template.names | (rule.root.names if rule.root and "root" in template.names else frozenset())
        if "name" in names and "namespace" not in names:
            yield (
                line,
                f'{where} "{template.text}" has {{name}} without {{namespace}}: several namespaces may have the same name',
            )


def _made_accounts(draft: Draft, _: Neighbours) -> Warnings:
    if draft.rule.account.names:
        why = (
            "each account that comes of it must be in the servers' configuration, or have its key file in operator mode"
        )
        yield draft.lines.get("account", draft.line), f'account "{draft.rule.account.text}": {why}'


def _starred(draft: Draft, _: Neighbours) -> Warnings:
    for item, line in zip(draft.rule.subscribe, draft.entries["subscribe"], strict=True):
        if (reach := subscribed(item.text.text)) != item.text.text:
            yield line, f'subscribe "{item.text.text}" works as "{reach}": a client may subscribe that under it'


def _wide(draft: Draft, _: Neighbours) -> Warnings:
    for side, given in (("publish", draft.rule.publish), ("subscribe", draft.rule.subscribe)):
        for item, line in zip(given, draft.entries[side], strict=True):
            text = subscribed(item.text.text) if side == "subscribe" else item.text.text
            if text.split(".")[0] in ("*", ">") or any(covered(wide, [text]) for wide in _WIDE):
                yield line, f"{side} \"{item.text.text}\" reaches far: others' subjects, inboxes or the system's"


def _split_names(draft: Draft, _: Neighbours) -> Warnings:
    rule = draft.rule
    used = {*rule.account.names, *(rule.root.names if rule.root else ())}
    used.update(name for item in (*rule.publish, *rule.subscribe, *rule.jetstream) for name in item.text.names)
    if rule.ceilings:
        asked = (*rule.ceilings.publish, *rule.ceilings.subscribe, *rule.ceilings.jetstream)
        used.update(name for template in asked for name in template.names)
    for glob in (*rule.match.namespaces, *rule.match.service_accounts):
        if len(glob.captures) > 1 and used.intersection(glob.captures):
            first = glob.captures[0]
            yield (
                draft.lines["match"],
                f'"{glob.text}" splits a name in two: whoever may choose one also chooses {{{first}}}, if not by label',
            )
            return


def _short(draft: Draft, _: Neighbours) -> Warnings:
    seconds = draft.rule.session_max_seconds
    if seconds < SHORT_SECONDS:
        why = "too short to be renewed (SESSION_CONTROL=on), and nats-py closes for good when its session ends"
        yield draft.lines.get("session", draft.line), f"session of {seconds} s: {why}"


_LOOKS: Mapping[str, Callable[[Draft, Neighbours], Warnings]] = {
    "W02": _replies,
    "W03": _leaks,
    "W04": _dead,
    "W05": _taken_root,
    "W06": _creates,
    "W07": _names_alone,
    "W09": _made_accounts,
    "W10": _starred,
    "W11": _wide,
    "W14": _split_names,
    "W15": _short,
}
