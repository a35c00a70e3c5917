"""Texts of a policy that hold variables: an account, a subject, a stream for each workload.

What is put in can never be more than the variable's place: in a subject a variable is one whole token, in a name there
is one at most, and values hold neither dots nor wildcards.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nats_k8s_oidc_callout.core.grants.globs import VARIABLE
from nats_k8s_oidc_callout.errors import BadTemplate

_LABEL_VALUE = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with `{variables}`."""

    text: str
    variables: tuple[str, ...]
    """Names, from left to right, as often as they stand there."""

    @classmethod
    def of(cls, text: str) -> "Template":
        """Return the template that a text spells; raise BadTemplate."""
        if re.search(r"[{}]", VARIABLE.sub("", text)):
            raise BadTemplate("has a brace that is not part of a {variable}")
        return cls(text, tuple(VARIABLE.findall(text)))

    @property
    def names(self) -> frozenset[str]:
        """The variables that it needs."""
        return frozenset(self.variables)

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text for these values; `names` must be among them."""
        # Of the language of `format` a template has only the plain name.
        return self.text.format_map(values) if self.variables else self.text

    def whole_tokens(self) -> bool:
        """Say whether each variable is a token of a subject by itself: a value then cannot become part of another."""
        return all("{" not in token or VARIABLE.fullmatch(token) for token in self.text.split("."))

    @property
    def is_open(self) -> bool:
        """Whether, taken as a name, it has a `*` that could reach from one value into a longer one.

        `{team}_*` covers `shop_eu_x` for the team `shop`, and so some of the team `shop_eu`: here no value may hold `_`.
        """
        return "*" in self.text and bool(self.variables)

    def guarded(self) -> bool:
        """Say whether `_` ends each value of an open name, and begins one that a `*` stands before."""
        if not self.is_open:
            return True
        opened = self.text.count("_{", self.text.index("*"))
        after = self.text.count("{", self.text.index("*"))
        return len(self.variables) == self.text.count("}_") and opened == after

    def keeps_apart(self, values: Mapping[str, str]) -> bool:
        """Say whether the name, filled with these, stays apart from that of other values: no `_` where it is open."""
        return not self.is_open or not any("_" in values[name] for name in self.variables)


def value_of_name(text: str) -> str:
    """Return the value of a variable that comes from a name in Kubernetes: dots as `_`, which no such name has."""
    return text.replace(".", "_")


def is_value_of_label(text: str) -> bool:
    """Say whether a variable may have this value from a label. Dots are no `_` here: a label may have both.

    A part of one could begin with `_`, and be `_INBOX`.
    """
    return _LABEL_VALUE.fullmatch(text) is not None
