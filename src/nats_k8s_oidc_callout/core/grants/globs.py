"""How a policy matches names: `*` is any run of characters, `{x}` captures one that is not empty, all else is itself.

A glob is refused unless it says where each capture ends: names are read from left to right, without a second guess.
"""

import re
from dataclasses import dataclass, field

from nats_k8s_oidc_callout.errors import BadGlob

VARIABLE = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")
RESERVED = frozenset({"namespace", "name", "root"})
"""Variables that every rule has: no capture may hide one."""

_WILDCARD = re.compile(r"(\*+|\{[A-Za-z][A-Za-z0-9_]*\})")


@dataclass(frozen=True, slots=True)
class Glob:
    """One glob over a whole name."""

    text: str
    captures: tuple[str, ...]
    """Names of what it captures, from left to right."""
    prefix: str
    """What every name that matches begins with: all before the first wildcard, the whole text without one."""
    literal: str
    """What every name that matches has in it: the longest text without a wildcard, empty without any."""
    _pattern: re.Pattern[str] | None = field(compare=False, repr=False)
    """None for a text without wildcards."""
    _confined: bool = field(compare=False, repr=False)
    """A capture ends at the first character of some kind, so that it takes not just any run."""

    @classmethod
    def of(cls, text: str) -> "Glob":
        """Return the glob that a text spells; raise BadGlob."""
        # Literals at even places, "" where there is none; wildcards between them.
        pieces = _WILDCARD.split(text)
        wildcards = pieces[1::2]
        captures = tuple(wildcard[1:-1] for wildcard in wildcards if wildcard[0] == "{")
        if why := _problem(text, pieces, captures):
            raise BadGlob(why)
        if not wildcards:
            return cls(text, (), text, text, None, _confined=False)
        confined = len(captures) > 1 or bool(captures and len(wildcards) > 1)
        literal = max(pieces[::2], key=len)
        return cls(text, captures, pieces[0], literal, re.compile(_expression(pieces), re.DOTALL), confined)

    @property
    def is_literal(self) -> bool:
        """Whether it matches one name only: its text."""
        return self._pattern is None

    def match(self, name: str) -> dict[str, str] | None:
        """Return what is captured from a name, or None when it does not match. In time linear in the name's length."""
        if self._pattern is None:
            return {} if name == self.text else None
        found = self._pattern.fullmatch(name)
        return None if found is None else found.groupdict()

    def covers(self, other: "Glob") -> bool:
        """Say whether this certainly matches whatever the other one does. A False may be wrong, a True is not."""
        shape, theirs = (VARIABLE.sub("{}", glob.text) for glob in (self, other))
        if shape == theirs:
            return True
        if self._confined and other._pattern is not None:
            return False
        # A `*` is no literal of a glob, so as a character of a name it stands for any run; or a `*` is nothing at all.
        longer = theirs.replace("{}", "*")
        shortest = theirs.replace("*", "").replace("{}", "*")
        return self.match(longer) is not None and self.match(shortest) is not None


def _problem(text: str, pieces: list[str], captures: tuple[str, ...]) -> str:
    """Return why these pieces make no glob, or an empty string."""
    if not text:
        return "is empty"
    if any("{" in literal or "}" in literal for literal in pieces[::2]):
        return "has a brace that is not part of a {capture}"
    if hidden := RESERVED.intersection(captures):
        return f"captures {{{min(hidden)}}}, which every rule has already"
    if len(set(captures)) < len(captures):
        return "captures twice under one name"
    for i in range(1, len(pieces) - 2, 2):
        before, literal, after = pieces[i : i + 3]
        if after[0] != "{":
            if before[0] == "{" and not literal:
                return f"has a * right beside {before}"
        elif before[0] == "*":
            return f"has a * before {after}"
        elif len(literal) != 1:
            return f"needs one character that is no wildcard between {before} and {after}"
    return ""


def _expression(pieces: list[str]) -> str:
    """Return the regular expression of a glob. It never tries a second way: what has matched stays so (`++`, `(?>`)."""
    parts = [re.escape(pieces[0])]
    last = len(pieces) - 2
    for i in range(1, len(pieces), 2):
        wildcard, literal = pieces[i], re.escape(pieces[i + 1])
        if wildcard[0] == "*":
            # The first place where the literal stands is as good as any; for the last one it is the end that counts.
            parts.append(f".*{literal}" if i == last else f"(?>.*?{literal})")
        elif i == last:
            parts.append(f"(?P<{wildcard[1:-1]}>.+){literal}")
        else:
            parts.append(f"(?P<{wildcard[1:-1]}>(?:(?!{literal}).)++){literal}")
    return "".join(parts)
