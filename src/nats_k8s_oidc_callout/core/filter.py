"""Which subjects a tenant may ask for in an annotation: nothing that others depend on.

Inboxes, the system's subjects and JetStream beyond one named stream or bucket stay out of reach, by what a subject
overlaps, not by how it begins.
"""

from enum import StrEnum

from nats_k8s_oidc_callout.core import subjects

_JETSTREAM_ROOTS = ("$JS", "$KV", "$O")
_STREAM = "{stream}"
# `{stream}` stands for one literal token and a last `>` for one or more of any kind. With `$JS.API.>` a tenant could
# create a stream over other tenants' subjects and read them there; none of these creates or changes a stream.
_DATA_GRANTS = tuple(
    pattern.split(".")
    for pattern in (
        "$JS.ACK.{stream}.>",
        "$JS.FC.{stream}.>",
        "$KV.{stream}.>",
        "$O.{stream}.>",
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.INFO.{stream}",
        "$JS.API.STREAM.MSG.GET.{stream}",
        "$JS.API.DIRECT.GET.{stream}",
        "$JS.API.DIRECT.GET.{stream}.>",
        *(
            f"$JS.API.CONSUMER.{verb}.{{stream}}{tail}"
            for verb in ("CREATE", "DURABLE.CREATE", "INFO", "NAMES", "LIST", "MSG.NEXT", "DELETE")
            for tail in ("", ".>")
        ),
    )
)


class JetStreamGrants(StrEnum):
    """What an annotation may ask for below `$JS`, `$KV` and `$O`."""

    DATA = "data"
    ADMIN = "admin"


def trespass(subject: str, grants: JetStreamGrants) -> str:
    """Return why a tenant may not have this well-formed subject, or an empty string."""
    tokens = subject.split(".")
    first = tokens[0]
    # A wildcard here matches `_INBOX` and `$SYS` too, whatever follows.
    if not subjects.is_literal(first):
        return "starts with a wildcard, which reaches every inbox and system subject"
    if first.startswith("_"):
        return "is reserved for inboxes and replies"
    if not first.startswith("$"):
        return ""
    if first not in _JETSTREAM_ROOTS:
        return "is a system subject"
    if grants is JetStreamGrants.ADMIN or any(_fits(tokens, pattern) for pattern in _DATA_GRANTS):
        return ""
    return "reaches JetStream beyond the data of one named stream or bucket (JETSTREAM_GRANTS)"


def _fits(tokens: list[str], pattern: list[str]) -> bool:
    """Say whether everything that `tokens` matches lies inside `pattern`."""
    for position, wanted in enumerate(pattern):
        if wanted == ">":
            return len(tokens) > position
        if position == len(tokens):
            return False
        token = tokens[position]
        if not subjects.is_literal(token) or (wanted not in (_STREAM, token)):
            return False
    return len(tokens) == len(pattern)
