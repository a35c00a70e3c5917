"""JetStream intents: what a workload wants with a stream or a bucket, and the entries that clients need for it.

    consume:STREAM[/CONSUMER[/FILTER]]   stream-info:STREAM   lookup   publish:SUBJECT
    kv-read:BUCKET   kv-write:BUCKET   kv-watch:BUCKET   object-read:BUCKET   object-write:BUCKET

All entries are to publish: what JetStream answers and delivers arrives in the workload's inbox.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.nats import subjects

PUBLISH = "publish"
LOOKUP = "lookup"

ACKS_V2 = False
"""Whether `consume` also covers acknowledgements of the second form, which servers use only when told to (NATS_FACTS 3.10)."""

_INFO, _NAMES = "$JS.API.INFO", "$JS.API.STREAM.NAMES"


def _consuming(stream: str) -> tuple[str, ...]:
    """Return what a client needs to make consumers of a stream and look at them."""
    api = "$JS.API.CONSUMER"
    created = (f"{api}.CREATE.{stream}", f"{api}.CREATE.{stream}.>")
    return (f"$JS.API.STREAM.INFO.{stream}", f"{api}.INFO.{stream}.*", *created, f"{api}.DELETE.{stream}.*")


# In these, {} is the stream or bucket.
_KV_READ = (
    *(_INFO, "$JS.API.STREAM.INFO.KV_{}", "$JS.API.STREAM.MSG.GET.KV_{}"),
    *("$JS.API.DIRECT.GET.KV_{}", "$JS.API.DIRECT.GET.KV_{0}.$KV.{0}.>"),
)
_OBJECT_READ = (
    *(_INFO, _NAMES, *_consuming("OBJ_{}"), "$JS.FC.OBJ_{}.>"),
    *("$JS.API.STREAM.MSG.GET.OBJ_{}", "$JS.API.DIRECT.GET.OBJ_{0}.$O.{0}.>"),
)
_ENTRIES: Mapping[str, tuple[str, ...]] = {
    "consume": (
        *(_INFO, _NAMES, *_consuming("{}"), "$JS.API.CONSUMER.DURABLE.CREATE.{}.*", "$JS.API.CONSUMER.MSG.NEXT.{}.*"),
        *("$JS.ACK.{}.>", "$JS.FC.{}.>"),
    ),
    "kv-read": _KV_READ,
    # `create` reads after a conflict.
    "kv-write": (*_KV_READ, "$KV.{}.>"),
    "kv-watch": (_INFO, *_consuming("KV_{}"), "$JS.FC.KV_{}.>"),
    "object-read": _OBJECT_READ,
    # Every client purges the chunks of what it overwrites.
    "object-write": (*_OBJECT_READ, "$O.{}.>", "$JS.API.STREAM.PURGE.OBJ_{}"),
    "stream-info": (
        *("$JS.API.STREAM.INFO.{}", "$JS.API.CONSUMER.NAMES.{}", "$JS.API.CONSUMER.LIST.{}"),
        "$JS.API.CONSUMER.INFO.{}.*",
    ),
    LOOKUP: (_INFO, _NAMES),
    PUBLISH: ("{}",),
}
VERBS = tuple(_ENTRIES)
# Of one consumer: {0} is the stream, {1} the consumer, {2} its filter, where one is named.
_BOUND = (
    *("$JS.API.CONSUMER.INFO.{0}.{1}", "$JS.API.CONSUMER.MSG.NEXT.{0}.{1}"),
    *("$JS.ACK.{0}.{1}.>", "$JS.FC.{0}.{1}.>"),
)
_FILTERED = (*_BOUND, "$JS.API.CONSUMER.CREATE.{0}.{1}.{2}")
# With fewer than these eleven tokens an entry would also acknowledge for other streams.
_ACKS_V2 = ("$JS.ACK.*.*.{}.*.*.*.*.*.>", "$JS.FC.*.*.{}.>")
_BOUND_ACKS_V2 = ("$JS.ACK.*.*.{0}.{1}.*.*.*.*.>", "$JS.FC.*.*.{0}.{1}.>")

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_NAME_GLOB = re.compile(r"[A-Za-z0-9_*-]+")
OF_BUCKETS = ("KV_", "OBJ_")
"""What the names of buckets' streams begin with."""
_COVERING: Mapping[str, tuple[str, ...]] = {
    **{verb: (verb,) for verb in _ENTRIES},
    "kv-read": ("kv-read", "kv-write"),
    "object-read": ("object-read", "object-write"),
}


class Intent(NamedTuple):
    """What `VERB:NAME/CONSUMER/FILTER` says. What is not said is empty."""

    verb: str
    name: str
    """A stream or a bucket; of `publish` the subject."""
    consumer: str = ""
    filter: str = ""


def parse(text: str) -> Intent | str:
    """Return the intent, or why this is none."""
    intent = _read(text, _NAME)
    if isinstance(intent, Intent) and max(map(len, entries(intent))) > subjects.MAX_CHARACTERS:
        return f"needs entries of more than {subjects.MAX_CHARACTERS} characters"
    return intent


def problem_of_ceiling(text: str) -> str:
    """Return why no intent can lie inside this, or an empty string. A ceiling may have `*` in the name, not in the verb."""
    ceiling = _read(text, _NAME_GLOB)
    return ceiling if isinstance(ceiling, str) else ""


def entries(intent: Intent) -> tuple[str, ...]:
    """Return the subjects to publish that it comes to."""
    verb, name, consumer, _ = intent
    shapes = _ENTRIES[verb]
    if consumer:
        shapes = _FILTERED if intent.filter else _BOUND
    # A stream of digits alone would meet the number in an acknowledgement of the first form.
    if ACKS_V2 and verb == "consume" and not name.isdigit():
        shapes += _BOUND_ACKS_V2 if consumer else _ACKS_V2
    return tuple(shape.format(*intent[1:]) for shape in shapes)


def admitted(intent: Intent, ceilings: Sequence[str]) -> bool:
    """Say whether an intent lies inside one of these ceilings, each without a problem."""
    verb, name, _, _ = intent
    parts = (ceiling.partition(":") for ceiling in ceilings)
    rests = [rest for covering, _, rest in parts if covering in _COVERING[verb]]
    if verb == LOOKUP:
        return bool(rests)
    if verb != PUBLISH:
        return any(_inside(intent, rest) for rest in rests)
    if name.startswith(("$", "_")):
        # What starts like this others depend on: a ceiling must name it.
        first = name.partition(".")[0]
        rests = [rest for rest in rests if rest.partition(".")[0] == first]
    return subjects.covered(name, rests)


def _inside(intent: Intent, ceiling: str) -> bool:
    """Say whether an intent lies inside a ceiling that has a fitting verb, of which this is the rest."""
    verb, name, consumer, wanted = intent
    of_name, _, rest = ceiling.partition("/")
    of_consumer, _, of_filter = rest.partition("/")
    # Most are about others' names: a glob is made for those alone that begin alike.
    if not name.startswith(of_name.partition("*")[0]) or Glob.of(of_name).match(name) is None:
        return False
    # Whoever may have every stream was not promised every bucket.
    prefix = "" if verb.startswith(("kv-", "object-")) else next(filter(name.startswith, OF_BUCKETS), "")
    if not of_name.startswith(prefix):
        return False
    if not of_consumer:
        return True
    return consumer == of_consumer and (not wanted or subjects.covered(wanted, [of_filter]))


def _read(text: str, names: re.Pattern[str]) -> Intent | str:
    """Return the intent, or ceiling, whose name has this form, or why it is none."""
    if len(text) > subjects.MAX_CHARACTERS:
        return f"is longer than {subjects.MAX_CHARACTERS} characters"
    verb, colon, rest = text.partition(":")
    if verb not in _ENTRIES:
        return f"has none of the verbs {', '.join(VERBS)}"
    if verb == LOOKUP:
        return "stands alone: lookup" if colon else Intent(LOOKUP, "")
    if verb == PUBLISH:
        problem = subjects.problem(rest)
        return f"has a subject that {problem}" if problem else Intent(PUBLISH, rest)
    name, *more = rest.split("/", 2)
    # Servers write `_` for no domain: `$JS.ACK._.>` would be every stream's.
    if not names.fullmatch(name) or name == "_":
        return "names no stream or bucket: a name has letters, digits, - and _"
    if more and verb != "consume":
        return "has a consumer, which only consume may have"
    if more and not _NAME.fullmatch(more[0]):
        return "names no consumer: a name has letters, digits, - and _"
    problem = subjects.problem(more[1]) if len(more) > 1 else ""
    return f"has a filter that {problem}" if problem else Intent(verb, name, *more)
