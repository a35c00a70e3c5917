"""The words that variables choose from."""

from enum import StrEnum


class Mode(StrEnum):
    """How the NATS servers are set up; NATS_ACCOUNT tells."""

    CONFIG = "config"
    OPERATOR = "operator"


class Cluster(StrEnum):
    """How the Kubernetes API is reached, if at all."""

    IN_CLUSTER = "in-cluster"
    KUBECONFIG = "kubeconfig"
    NONE = "none"


class XkeyMode(StrEnum):
    """Whether requests that are not encrypted are refused, once there is an xkey."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class SessionControl(StrEnum):
    """What is done about sessions that live: nothing, end those that may no longer be, or renew the others as well."""

    OFF = "off"
    REVOKE = "revoke"
    ON = "on"


class SessionRenewal(StrEnum):
    """Whose sessions are renewed."""

    ALL = "all"
    PYTHON = "python"
    OFF = "off"


class LogLevel(StrEnum):
    """The least severe lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class LogFormat(StrEnum):
    """One JSON object a line, or colours for people."""

    JSON = "json"
    CONSOLE = "console"
