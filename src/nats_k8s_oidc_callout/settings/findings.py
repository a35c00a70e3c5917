"""What is wrong and what is odd, gathered over all variables before anyone is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from nats_k8s_oidc_callout.errors import BadKey, BadKeySet

T = TypeVar("T")

Read = Callable[[Path], bytes]


@dataclass(slots=True)
class Findings:
    """Problems and warnings, each led by the variable's name as the user wrote it.

    A variable with a problem is `bad`: a rule between variables leaves it alone, so that one mistake is told once.
    """

    read: Read
    names: Mapping[str, str]
    """The variables that are set: the first name of each, and the name that the user took."""
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)

    def is_set(self, variable: str) -> bool:
        return variable in self.names

    def is_good(self, *variables: str) -> bool:
        return self.bad.isdisjoint(variables)

    def problem(self, variable: str, what: str) -> None:
        self.bad.add(variable)
        self.problems.append(f"{self.names.get(variable, variable)}: {what}")

    def warn(self, variable: str, what: str) -> None:
        self.warnings.append(f"{self.names.get(variable, variable)}: {what}")

    def contents(self, variable: str, path: Path | None, parse: Callable[[bytes], T]) -> T | None:
        """Return what the file holds; None when there is no path, or a problem that is now noted."""
        if path is None:
            return None
        try:
            return parse(self.read(path))
        except OSError as error:
            self.problem(variable, f"{path} cannot be read: {error.strerror or 'no reason given'}")
        except (BadKey, BadKeySet) as error:
            self.problem(variable, f"{path} {error}")
        return None

    def peek(self, path: Path) -> bytes | None:
        """Return what a file holds that need not be there."""
        try:
            return self.read(path)
        except OSError:
            return None

    def folder(self, variable: str, path: Path) -> None:
        """Note a problem unless the path is a folder: reading one fails in a way of its own."""
        try:
            self.read(path)
        except IsADirectoryError:
            return
        except OSError as error:
            self.problem(variable, f"{path} cannot be read: {error.strerror or 'no reason given'}")
            return
        self.problem(variable, f"{path} is a file, but a folder is required")
