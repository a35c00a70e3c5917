"""Our name, and Kubernetes' grammar of names (RFC 1123), as its apimachinery validates them.

fullmatch and no IGNORECASE: neither a newline nor a look-alike letter gets in, since names become subjects.
"""

import re

PROGRAM = "nats-k8s-oidc-callout"
"""Package, command, image and chart."""

LONGEST = 253
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


def is_label_value(text: str) -> bool:
    """Tell whether a label may have this value; it may be empty."""
    return _LABEL_VALUE.fullmatch(text) is not None


def is_label(text: str) -> bool:
    """Tell whether a namespace may have this name."""
    return _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Tell whether a ServiceAccount, or a domain, may have this name."""
    return len(text) <= LONGEST and _SUBDOMAIN.fullmatch(text) is not None
