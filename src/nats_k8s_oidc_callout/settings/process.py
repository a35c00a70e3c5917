"""The variables about our own process: where it listens, and what it logs."""

from dataclasses import dataclass
from typing import Annotated

from nats_k8s_oidc_callout.settings import values
from nats_k8s_oidc_callout.settings.choices import LogFormat, LogLevel
from nats_k8s_oidc_callout.settings.declaring import Group, ReadBy, Whole, variable


@dataclass(frozen=True)
class ProcessVariables:
    """A part of Settings."""

    shadow: Annotated[bool, ReadBy(values.boolean)] = variable(
        "SHADOW",
        group=Group.PROCESS,
        default=False,
        meaning="Decide, log and count beside another responder, in a queue group of its own (`.shadow` at its end), and "
        "answer nobody. Needs no signing key: SHADOW.md.",
    )
    host: Annotated[str, ReadBy(values.host)] = variable(
        "HOST", group=Group.PROCESS, default="", shown="all addresses", meaning="Address for health and metrics."
    )
    port: Whole = variable(
        "PORT",
        group=Group.PROCESS,
        default=8080,
        ge=0,
        le=65535,
        meaning="Port for health and metrics; 0 takes a free one.",
    )
    log_level: Annotated[LogLevel, ReadBy(values.choice(LogLevel, warning=LogLevel.WARN))] = variable(
        "LOG_LEVEL", group=Group.PROCESS, default=LogLevel.INFO, meaning="`debug`, `info`, `warn` or `error`."
    )
    log_format: Annotated[LogFormat, ReadBy(values.choice(LogFormat))] = variable(
        "LOG_FORMAT", group=Group.PROCESS, default=LogFormat.JSON, meaning="`json` or `console`."
    )
