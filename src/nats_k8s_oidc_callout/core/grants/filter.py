"""Which subjects a tenant may ask for in an annotation: nothing that others depend on.

Inboxes and what the system says and hears stay out of reach, by what a subject overlaps, not by how it begins. Below
`$` one table for each side has all that may be asked for.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

from nats_k8s_oidc_callout.core.nats import subjects


class Side(StrEnum):
    """What a permission is for. What may be sent tells others to do something; what may be heard was meant for them."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"


class JetStreamGrants(StrEnum):
    """What an annotation may ask to publish below `$JS`, `$KV` and `$O`. To subscribe is the same with both."""

    DATA = "data"
    ADMIN = "admin"


_CONSUMER_VERBS = (
    *("CREATE", "DURABLE.CREATE", "INFO", "NAMES", "LIST", "MSG.NEXT", "DELETE", "PAUSE", "UNPIN", "RESET"),
)
# A subject is a verb, found by a look-up, and one of the shapes that may follow it. In a shape `*` is one token, `>` one
# or more, `{name}` one that is no wildcard: a stream, a bucket, a service.
#
# Nothing here creates or changes a stream: with `$JS.API.>` a tenant could make one over another tenant's subjects, and
# read them there. `{stream}` may not be `_`, which servers with js_ack_fc_v2 write where there is no domain, so that
# `$JS.ACK._.>` would be every stream's. The second form of an acknowledgement has eleven tokens, and its shape wants all
# of them: `$JS.ACK.*.*.S.>` would also match `$JS.ACK.ORDERS.packer.S.1.1.0.0`, which the server takes
# for an acknowledgement of ORDERS, since it does not look at the number that S stands for (NATS_FACTS 3.10).
MAY_PUBLISH: Mapping[str, tuple[str, ...]] = {
    "$JS.ACK": ("{stream}.>", "*.*.{lettered}.*.*.*.*.*.>"),
    "$JS.FC": ("{stream}.>", "*.*.{lettered}.>"),
    "$KV": ("{name}.>",),
    "$O": ("{name}.>",),
    "$JS.API.INFO": ("",),
    "$JS.API.STREAM.NAMES": ("",),
    "$JS.API.STREAM.INFO": ("{name}",),
    "$JS.API.STREAM.MSG.GET": ("{name}",),
    "$JS.API.STREAM.PURGE": ("KV_{name}", "OBJ_{name}"),
    "$JS.API.DIRECT.GET": ("{name}", "{name}.>"),
    **{f"$JS.API.CONSUMER.{verb}": ("{name}", "{name}.>") for verb in _CONSUMER_VERBS},
}
# Whoever hears a request learns the inbox that its answer goes to: so no `$JS.API` here, which others ask.
# A server takes `SUB a.>` from a client that may subscribe `a.*` (NATS_FACTS 3.3): a last `*` here may become `>`.
MAY_SUBSCRIBE: Mapping[str, tuple[str, ...]] = {
    "$KV": ("{name}.>",),
    "$O": ("{name}.>",),
    **{f"$JS.EVENT.ADVISORY.CONSUMER.{event}": ("{name}.>",) for event in ("MAX_DELIVERIES", "MSG_TERMINATED")},
    **{f"$SRV.{verb}": ("", "{name}", "{name}.*") for verb in ("PING", "INFO", "STATS")},
}

# As regular expressions that RE2 knows too. They meet well-formed subjects only: a wildcard is a whole token.
_PIECES = {
    "{name}": r"[^.*>]+",
    "{stream}": r"(?:[^.*>_][^.*>]*|_[^.*>]+)",
    "{lettered}": r"[0-9]*[^.*>0-9][^.*>]*",
    "*": r"[^.>]+",
    ">": r".+",
}
_PIECE = re.compile(r"(\{\w+\}|\*|>)")


def expression(shapes: tuple[str, ...]) -> str:
    """Return the regular expression that matches, as a whole, what follows a verb in one of these shapes."""
    return "|".join("".join(_PIECES.get(part) or re.escape(part) for part in _PIECE.split(shape)) for shape in shapes)


_PUBLISHED = {verb: re.compile(expression(shapes)) for verb, shapes in MAY_PUBLISH.items()}
_HEARD = {verb: re.compile(expression(shapes)) for verb, shapes in MAY_SUBSCRIBE.items()}
_LONGEST_VERB = 1 + max(verb.count(".") for verb in (*MAY_PUBLISH, *MAY_SUBSCRIBE))
JETSTREAM_ROOTS = ("$JS", "$KV", "$O")


def trespass(subject: str, side: Side, grants: JetStreamGrants) -> str:
    """Return why a tenant may not have this well-formed subject, or an empty string."""
    first = subject.partition(".")[0]
    # A wildcard here matches `_INBOX` and `$SYS` too, whatever follows.
    if not subjects.is_literal(first):
        return "starts with a wildcard, which reaches every inbox and system subject"
    if first.startswith("_"):
        return "is reserved for inboxes and replies"
    if not first.startswith("$") or _is_listed(subject, _PUBLISHED if side is Side.PUBLISH else _HEARD):
        return ""
    if side is Side.SUBSCRIBE:
        return "is a system subject, of which only some of one named bucket, stream or service may be heard"
    if first not in JETSTREAM_ROOTS:
        return "is a system subject"
    if grants is JetStreamGrants.ADMIN:
        return ""
    if subject.startswith("$JS.ACK.*.*."):
        return "acknowledges for other streams too, unless it reads $JS.ACK.*.*.STREAM.*.*.*.*.*.>"
    return "reaches JetStream beyond the data of one named stream or bucket (JETSTREAM_GRANTS)"


def _is_listed(subject: str, table: Mapping[str, re.Pattern[str]]) -> bool:
    """Say whether everything that `subject` matches lies inside one shape of a table."""
    end = -1
    for _ in range(_LONGEST_VERB):
        end = subject.find(".", end + 1)
        if end < 0:
            whole = table.get(subject)
            return whole is not None and whole.fullmatch("") is not None
        shapes = table.get(subject[:end])
        if shapes is not None:
            return shapes.fullmatch(subject, end + 1) is not None
    return False
