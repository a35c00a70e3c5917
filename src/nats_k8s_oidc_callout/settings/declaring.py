"""How a variable is declared: its names, its type, its default and its words for the reference table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from nats_k8s_oidc_callout.settings import values


class Group(StrEnum):
    """The headings of the reference table."""

    NATS = "NATS"
    TOKENS = "Tokens and keys"
    KUBERNETES = "Kubernetes"
    PERMISSIONS = "Permissions and sessions"
    SESSIONS = "Sessions"
    PROCESS = "Process"


# How soon a changed file counts; the pollers' periods, in the words of the reference table.
KEY_FILE, MANIFESTS = "within 10 s", "within 2 s"


class ReadBy(NamedTuple):
    """In an annotation: what makes the value of a variable's text, or raises ValueError with half a sentence."""

    read: Callable[[str], object]


OptionalPath = Annotated[Path | None, ReadBy(values.path)]
Folder = Annotated[Path, ReadBy(values.path)]
Audience = Annotated[str, ReadBy(values.audience)]
Account = Annotated[str, ReadBy(values.account)]
Whole = Annotated[int, ReadBy(values.whole)]
Seconds = Annotated[float, ReadBy(values.seconds)]


@dataclass(frozen=True, slots=True)
class Variable:
    """What a field of the settings is outside: see `variable`."""

    names: tuple[str, ...]
    group: Group
    meaning: str
    default: object
    shown: str | None
    changes: str
    gt: float | None
    ge: float | None
    le: float | None

    def check(self, value: Any) -> None:  # noqa: ANN401  # a number wherever there is a bound
        """Raise ValueError, as a reader does, when the value is beyond a bound."""
        if self.gt is not None and value <= self.gt:
            raise ValueError(f"must be greater than {self.gt}")
        if self.ge is not None and value < self.ge:
            raise ValueError(f"must be greater than or equal to {self.ge}")
        if self.le is not None and value > self.le:
            raise ValueError(f"must be less than or equal to {self.le}")


def variable(
    *names: str,
    group: Group,
    meaning: str,
    default: object = None,
    shown: str | None = None,
    changes: str = "",
    gt: float | None = None,
    ge: float | None = None,
    le: float | None = None,
) -> Any:  # noqa: ANN401  # what dataclasses.field says of itself
    """Return a field that stands in the variables `names`, the first being the one we recommend.

    `shown` is the default in words, where the value alone would not tell; `changes` says how soon a changed file is
    picked up, empty meaning that it takes a restart.
    """
    declared = Variable(names, group, meaning, default, shown, changes, gt, ge, le)
    return field(default=default, metadata={"variable": declared})


def declared_in(settings: Any) -> Mapping[str, Variable]:  # noqa: ANN401  # a dataclass
    """Return the variables of a class of settings, by field, in the order of their declaration."""
    return {one.name: one.metadata["variable"] for one in fields(settings) if "variable" in one.metadata}


def readers_of(settings: Any) -> Mapping[str, Callable[[str], object]]:  # noqa: ANN401  # a dataclass
    """Return what reads the text of each field that is a variable; raise ValueError for one that has none."""
    found = {}
    for one in fields(settings):
        if "variable" in one.metadata:
            (found[one.name],) = [by.read for by in getattr(one.type, "__metadata__", ()) if isinstance(by, ReadBy)]
    return found
