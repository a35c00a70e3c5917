"""The grammar of NATS subjects: what one may look like, what patterns share, and the names of inboxes."""

import re
from collections.abc import Iterable

MAX_CHARACTERS = 256
# Printable ASCII without the space. The server takes more, but neither logs nor people can tell the rest apart.
_TOKEN = re.compile(r"[!-~]+")
_LITERAL = re.compile(r"[!-)+-=?-~]+")
# The same rules at once, for the subjects that keep to them: 256 of 128 tokens each take 1 ms, one by one 16.
_WELL_FORMED = re.compile(r"(?:>|(?:\*|[!-)+-\-/-=?-~]++)(?:\.(?:\*|[!-)+-\-/-=?-~]++))*+(?:\.>)?)")


def problem(subject: str) -> str:
    """Return why this cannot be a permission subject, or an empty string when it can.

    `*` and `>` count as wildcards only as whole tokens; inside one the server takes them for letters, which nobody
    means who writes them, so that is refused too.
    """
    if not subject:
        return "is empty"
    if len(subject) > MAX_CHARACTERS:
        return f"is longer than {MAX_CHARACTERS} characters"
    if _WELL_FORMED.fullmatch(subject):
        return ""
    # What breaks none of the rules at once has a token that breaks one; a `>` at the end, with none before it, does not.
    token = next(token for token in subject.split(".") if token != "*" and not _LITERAL.fullmatch(token))
    if not token:
        return "has an empty token"
    if not _TOKEN.fullmatch(token):
        return "has a character that is not printable ASCII, or a space"
    return "has > before its last token" if token == ">" else "has a wildcard inside a token"


def subscribed(pattern: str) -> str:
    """Return what a permission to subscribe this pattern comes to.

    nats-server checks a subscription as if it were a message's subject, and matches the token `>` with a last `*`: who may
    subscribe `a.*` may subscribe `a.>`, and with `*` alone everything (NATS_FACTS 3.3).
    """
    return f"{pattern[:-1]}>" if pattern == "*" or pattern.endswith(".*") else pattern


def is_literal(token: str) -> bool:
    """Say whether a token names exactly one thing."""
    return token not in ("*", ">")


_Node = dict[str, "_Node"]
"""What may follow, token by token."""
_HERE = ""
"""In a node of a Cover: a pattern ends. No token is empty."""


class Cover:
    """Patterns, to be asked whether together they match all, or some, of what another one matches; for many questions."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._root: _Node = {}
        for pattern in patterns:
            node = self._root
            for token in pattern.split("."):
                node = node.setdefault(token, {})
            node[_HERE] = {}

    def covers(self, pattern: str) -> bool:
        """Say whether every subject that `pattern` matches is matched by one of the patterns.

        Put a token that nobody names into each `*` of the pattern: what matches this subject has wildcards there, so it
        covers the whole pattern. Hence without a last `>` only a single pattern can cover. A last `>` is the union of
        `*`, `*.*` and so on, each of which must be covered, up to where a `>` of ours covers all the rest.
        """
        return _covers(pattern.split("."), [self._root])

    def covers_by_name(self, pattern: str) -> bool:
        """Say the same of those patterns alone that begin with the very first token of this one."""
        first, *rest = pattern.split(".")
        node = self._root.get(first)
        return node is not None and bool(rest) and _covers(rest, [node])

    def meets(self, pattern: str) -> bool:
        """Say whether one of the patterns and this one have a subject in common."""
        nodes = [self._root]
        for token in pattern.split("."):
            if any(">" in node for node in nodes):
                return True
            if token == ">":
                return any(node.keys() - {_HERE} for node in nodes)
            if token == "*":
                nodes = [node[key] for node in nodes for key in node if key != _HERE]
            else:
                nodes = [node[key] for node in nodes for key in (token, "*") if key in node]
        return any(_HERE in node for node in nodes)


def _covers(tokens: list[str], nodes: list[_Node]) -> bool:
    ends = tokens[-1] != ">"
    for token in tokens if ends else tokens[:-1]:
        if any(">" in node for node in nodes):
            return True
        nodes = [node[key] for node in nodes for key in {token, "*"} if key in node]
    if ends:
        return any(_HERE in node for node in nodes)
    while nodes and not any(">" in node for node in nodes):
        nodes = [node["*"] for node in nodes if "*" in node]
        if not any(_HERE in node for node in nodes):
            return False
    return bool(nodes)


def covered(pattern: str, by: Iterable[str]) -> bool:
    """Say whether every subject that `pattern` matches is matched by one of the patterns in `by`."""
    return Cover(by).covers(pattern)


def meet(one: str, other: str) -> str | None:
    """Return the pattern that matches just what both match, or None when they share no subject."""
    left, right = one.split("."), other.split(".")
    shared: list[str] = []
    for i, (mine, theirs) in enumerate(zip(left, right, strict=False)):
        if theirs == ">":
            return ".".join([*shared, *left[i:]])
        if mine == ">":
            return ".".join([*shared, *right[i:]])
        if mine not in ("*", theirs) and theirs != "*":
            return None
        shared.append(theirs if mine == "*" else mine)
    return ".".join(shared) if len(left) == len(right) else None


def overlaps(one: str, other: str) -> bool:
    """Say whether some subject matches both patterns."""
    return meet(one, other) is not None


# Inboxes that everybody may answer: the one that is shared, and below the other a private one for each workload.
SHARED_INBOX, PRIVATE_INBOXES = "_INBOX.>", "_INBOX_SA.>"


def private_inbox(namespace: str, name: str) -> str:
    """Return the inbox pattern that only this ServiceAccount may read, below what everybody may answer.

    Names may contain dots, which NATS would take for more tokens, so that `a` could cover `a.b`; none contains `_`.
    """
    return f"_INBOX_SA.{namespace}.{name.replace('.', '_')}.>"


def guide_inbox(namespace: str, name: str) -> str:
    """Return the private inbox of the deployment guide.

    Its first token is another one for each workload, so no permission covers all of them: only the reply permission
    of NATS can answer there.
    """
    return f"_INBOX_{namespace}_{name.replace('.', '_')}.>"
