"""Who is together in an account, found without trying every rule against every other: a file may have a thousand."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from nats_k8s_oidc_callout.core.grants.globs import VARIABLE
from nats_k8s_oidc_callout.core.grants.rules import Rule
from nats_k8s_oidc_callout.core.names import is_label


class Granted(NamedTuple):
    """A subject that a rule gives."""

    rule: str
    text: str


class Neighbours:
    """The rules of one account: their roots, and the first tokens of what they grant."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._roots: dict[str, list[str]] = {}
        self._firsts: dict[str, list[Granted]] = {}
        for rule in rules:
            self._roots.setdefault(_root(rule), []).append(rule.name)
            for text in _texts(rule):
                token = text.split(".")[0]
                seen = self._firsts.setdefault(token, [])
                # Two rules are enough for one of them to be another's neighbour.
                if len(seen) < 2 and all(one.rule != rule.name for one in seen):
                    seen.append(Granted(rule.name, text))
        self._labels = sorted(token for token in self._firsts if is_label(token))
        self._variables = [token for token in self._firsts if VARIABLE.fullmatch(token)]

    def under_other_roots(self, rule: Rule) -> tuple[int, str]:
        """Return how many rules have another root than this one, and the name of one of them."""
        others = [names for root, names in self._roots.items() if root != _root(rule)]
        return sum(map(len, others)), others[0][0] if others else ""

    def variables(self, rule: Rule) -> Iterator[tuple[str, Granted]]:
        """Yield the variables that subjects of others begin with."""
        return self._others(rule, self._variables)

    def labels(self, rule: Rule, prefix: str) -> Iterator[tuple[str, Granted]]:
        """Yield what subjects of others begin with that a namespace could be called, and that has this prefix."""
        begin = bisect_left(self._labels, prefix)
        end = bisect_left(self._labels, f"{prefix}\x7f")
        return self._others(rule, self._labels[begin:end])

    def _others(self, rule: Rule, tokens: Iterable[str]) -> Iterator[tuple[str, Granted]]:
        for token in tokens:
            yield from ((token, one) for one in self._firsts[token] if one.rule != rule.name)


class Patterns:
    """Patterns by their first token: two that begin with different words have no subject in common."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._all: list[str] = []
        self._literal: dict[str, list[str]] = {}
        self._open: list[str] = []
        for pattern in patterns:
            first = pattern.split(".")[0]
            self._all.append(pattern)
            (self._open if first in ("*", ">") else self._literal.setdefault(first, [])).append(pattern)

    def near(self, pattern: str) -> list[str]:
        """Return those that may have a subject in common with this one."""
        first = pattern.split(".", maxsplit=1)[0]
        return self._all if first in ("*", ">") else [*self._literal.get(first, ()), *self._open]


def _root(rule: Rule) -> str:
    return rule.root.text if rule.root else ""


def _texts(rule: Rule) -> Iterator[str]:
    if rule.root:
        yield f"{rule.root.text}.>"
    yield from (item.text.text for item in (*rule.publish, *rule.subscribe))
