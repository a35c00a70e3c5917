"""What is wrong with a policy file, and what is odd: collected whole, told by line."""

from dataclasses import dataclass, field
from typing import NamedTuple

MOST = 500
"""A file of 1 MiB can hold a hundred thousand mistakes, and nobody reads so many."""


class Finding(NamedTuple):
    """One line for people: E codes are errors of the whole file, W codes are warnings."""

    line: int
    """Counted from 1."""
    code: str
    rule: str
    """The name of the rule it is about, else empty."""
    text: str

    @property
    def is_error(self) -> bool:
        return self.code.startswith("E")

    def __str__(self) -> str:
        return f"{self.line}: {self.code} {f'rule {self.rule}: ' if self.rule else ''}{self.text}"


@dataclass(slots=True)
class Findings:
    """All findings of one file; `rule` names the rule that is looked at."""

    rule: str = ""
    _found: dict[Finding, None] = field(default_factory=dict)

    def add(self, line: int, code: str, text: str) -> None:
        """Note a finding of the present rule, each once."""
        if len(self._found) < MOST:
            self._found[Finding(line, code, self.rule, text)] = None

    def sorted(self) -> tuple[Finding, ...]:
        """Return them by line, errors first where one line has several."""
        return tuple(sorted(self._found))
