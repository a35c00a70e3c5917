"""All subjects of a small alphabet: the oracle for what patterns match. A set of subjects is an integer, one bit each."""

from collections.abc import Iterable
from itertools import product


class Universe:
    """Every subject of these tokens, up to so many. One token should be in no pattern: it stands for all the others."""

    def __init__(self, tokens: Iterable[str], longest: int) -> None:
        split = [subject for size in range(1, longest + 1) for subject in product(tokens, repeat=size)]
        self.subjects = [".".join(subject) for subject in split]
        self._known: dict[str, int] = {}
        # Subjects of at least so many tokens; and those that have a token at a place.
        self._longer = [0] * (longest + 2)
        self._with: dict[tuple[int, str], int] = {}
        for i, subject in enumerate(split):
            for place, token in enumerate(subject):
                self._with[place, token] = self._with.get((place, token), 0) | 1 << i
                self._longer[place + 1] |= 1 << i

    def matched(self, pattern: str) -> int:
        """Return the subjects that match a pattern, token by token."""
        if pattern not in self._known:
            self._known[pattern] = self._match(pattern.split("."))
        return self._known[pattern]

    def union(self, patterns: Iterable[str]) -> int:
        """Return the subjects that match any of the patterns."""
        found = 0
        for pattern in patterns:
            found |= self.matched(pattern)
        return found

    def named(self, found: int) -> set[str]:
        """Return the subjects of a set by their names."""
        return {subject for i, subject in enumerate(self.subjects) if found >> i & 1}

    def _match(self, tokens: list[str]) -> int:
        if len(tokens) + 1 >= len(self._longer):
            return 0
        found = self._longer[len(tokens)]
        for place, token in enumerate(tokens):
            if token == ">":
                return found
            if token != "*":
                found &= self._with.get((place, token), 0)
        return found & ~self._longer[len(tokens) + 1]
