"""Which rules to try for a workload: of a thousand most are about others, and trying all takes a millisecond."""

from collections import Counter
from collections.abc import Sequence

from nats_k8s_oidc_callout.core.grants.rules import Labels, Match

_NAMESPACE, _NAME = 0, 1
# What a rule is found by: the beginning of a namespace or of a name, or a label's key and its whole value.
_Key = tuple[int | str, str]


class Lookup:
    """Rules by their numbers, each found by the one of its conditions that it shares with the fewest others."""

    def __init__(self, matches: Sequence[Match]) -> None:
        shared = Counter(key for match in matches for condition in _conditions(match) for key in condition)
        self._found: dict[_Key, list[int]] = {}
        for number, match in enumerate(matches):
            for key in min(_conditions(match), key=lambda keys: max(shared[key] for key in keys)):
                self._found.setdefault(key, []).append(number)
        self._prefixes = sorted({(of, len(text)) for of, text in self._found if isinstance(of, int)})
        self._label_keys = sorted({of for of, _ in self._found if isinstance(of, str)})
        self._by_label = [number for (of, _), found in self._found.items() if isinstance(of, str) for number in found]

    def candidates(self, namespace: str, name: str, labels: Labels | None) -> list[int]:
        """Return the numbers of all rules that may match, and of few others, in order; labels may be unknown."""
        whose = namespace, name
        numbers: set[int] = set()
        for of, length in self._prefixes:
            numbers.update(self._found.get((of, whose[of][:length]), ()))
        if labels is None:
            numbers.update(self._by_label)
        else:
            for key in self._label_keys:
                numbers.update(self._found.get((key, labels.get(key, "")), ()))
        return sorted(numbers)


def _conditions(match: Match) -> list[set[_Key]]:
    """Return for each condition the keys by one of which whatever meets it is found."""
    names = (_NAMESPACE, match.namespaces), (_NAME, match.service_accounts)
    found: list[set[_Key]] = [{(of, glob.prefix) for glob in globs} or {(of, "")} for of, globs in names]
    found += [
        {(key, glob.text) for glob in globs}
        for key, globs in match.labels
        if globs and all(glob.is_literal for glob in globs)
    ]
    return found
