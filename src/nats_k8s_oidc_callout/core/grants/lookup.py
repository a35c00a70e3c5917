"""Which rules to try for a workload: of a thousand most are about others, and trying all takes a millisecond."""

from collections import Counter
from collections.abc import Sequence

from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.rules import Labels, Match

# What a rule is found by: the beginning of a namespace (0) or of a name (1), or a label's key and its whole value.
_Key = tuple[int | str, str]


class Lookup:
    """Rules by their numbers, each found by the one of its conditions that it shares with the fewest others."""

    def __init__(self, matches: Sequence[Match]) -> None:
        shared = Counter(key for match in matches for condition in _conditions(match) for key in condition)
        self._found: dict[_Key, list[int]] = {}
        # Of globs that begin with a wildcard: what is in every name that matches.
        self._within: tuple[list[tuple[str, int]], list[tuple[str, int]]] = [], []
        for number, match in enumerate(matches):
            for of, text in min(_conditions(match), key=lambda keys: max(shared[key] for key in keys)):
                if isinstance(of, str) or text:
                    self._found.setdefault((of, text), []).append(number)
                else:
                    literals = [glob.literal for glob in _globs(match)[of] if not glob.prefix]
                    self._within[of].extend((literal, number) for literal in literals or [""])
        self._prefixes = sorted({(of, len(text)) for of, text in self._found if isinstance(of, int)})
        self._label_keys = sorted({of for of, _ in self._found if isinstance(of, str)})
        self._by_label = [number for (of, _), found in self._found.items() if isinstance(of, str) for number in found]

    def candidates(self, namespace: str, name: str, labels: Labels | None) -> list[int]:
        """Return the numbers of all rules that may match, and of few others, in order; labels may be unknown."""
        whose = namespace, name
        numbers: set[int] = set()
        for of, length in self._prefixes:
            numbers.update(self._found.get((of, whose[of][:length]), ()))
        for within, whole in zip(self._within, whose, strict=True):
            numbers.update([number for literal, number in within if literal in whole])
        if labels is None:
            numbers.update(self._by_label)
        else:
            for key in self._label_keys:
                numbers.update(self._found.get((key, labels.get(key, "")), ()))
        return sorted(numbers)


def _globs(match: Match) -> tuple[Sequence[Glob], Sequence[Glob]]:
    return match.namespaces, match.service_accounts


def _conditions(match: Match) -> list[set[_Key]]:
    """Return for each condition the keys by one of which whatever meets it is found."""
    names = enumerate(_globs(match))
    found: list[set[_Key]] = [{(of, glob.prefix) for glob in globs} or {(of, "")} for of, globs in names]
    found += [
        {(key, glob.text) for glob in globs}
        for key, globs in match.labels
        if globs and all(glob.is_literal for glob in globs)
    ]
    return found
