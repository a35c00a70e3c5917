"""How a variable is declared: its names, its type, its default and its words for the reference table."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

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

OptionalPath = Annotated[Path | None, BeforeValidator(values.path)]
Folder = Annotated[Path, BeforeValidator(values.path)]
Audience = Annotated[str, BeforeValidator(values.audience)]
Account = Annotated[str, BeforeValidator(values.account)]
Whole = Annotated[int, BeforeValidator(values.whole)]
Seconds = Annotated[float, BeforeValidator(values.seconds)]


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
) -> Any:  # noqa: ANN401  # what pydantic.Field says of itself
    """Return a field that stands in the variables `names`, the first being the one we recommend.

    `shown` is the default in words, where the value alone would not tell; `changes` says how soon a changed file is
    picked up, empty meaning that it takes a restart.
    """
    return Field(
        default=default,
        validation_alias=AliasChoices(*names),
        description=meaning,
        json_schema_extra={"group": group.value, "shown": shown, "changes": changes},
        gt=gt,
        ge=ge,
        le=le,
    )
