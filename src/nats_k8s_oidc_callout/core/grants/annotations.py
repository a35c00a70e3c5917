"""What a workload may publish and subscribe: what its terms give, and what its annotations add.

Annotations are written by tenants: `subjects` checks each entry's grammar, `filter` what it may reach, and the ceilings
of its rule how far it may go.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from nats_k8s_oidc_callout.core.grants import entries, intents
from nats_k8s_oidc_callout.core.grants import filter as reach
from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.terms import NO_ANNOTATIONS, Entry, InboxMode, ReplyMode, Terms
from nats_k8s_oidc_callout.core.model import Permissions, Refusal
from nats_k8s_oidc_callout.core.nats import subjects
from nats_k8s_oidc_callout.core.nats.subjects import (
    PRIVATE_INBOXES,
    SHARED_INBOX,
    Cover,
    guide_inbox,
    private_inbox,
    subscribed,
)

ROOT, INBOX, REPLIES = "root", "inbox", "replies"
"""Origins of what every workload has."""
ASKED = "annotation:"
"""What an origin begins with that is an annotation."""

# Far above what teams write by hand; keeps the longest answer (256 x 256 characters a side) under max_payload.
MAX_ENTRIES = 256
# Reading on after so many bad entries would be work that a tenant can order at will.
_MAX_REFUSALS = 32
_CUT = f"is where reading stops: an annotation may have {entries.BYTES_MAX // 1024} KiB"
_NOT_READ = f"is not supported: {', '.join(entries.NAMES)} are, with the same prefix"


@dataclass(frozen=True, slots=True)
class Grant:
    """The permissions of one workload, which of them are defaults, and what was left out."""

    terms: Terms
    """The platform's, on which it was made."""
    permissions: Permissions
    publish_origins: tuple[str, ...]
    """What gives each entry: `root`, `inbox`, `replies`, an origin of `Terms`, or `annotation:` and its key, with the intent after it."""
    subscribe_origins: tuple[str, ...]
    refused: tuple[Refusal, ...]

    @property
    def default_publish(self) -> tuple[str, ...]:
        """What no annotation asked for."""
        return _defaults(self.permissions.publish, self.publish_origins)

    @property
    def default_subscribe(self) -> tuple[str, ...]:
        """What no annotation asked for."""
        return _defaults(self.permissions.subscribe, self.subscribe_origins)


def _defaults(allowed: tuple[str, ...], origins: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(entry for entry, origin in zip(allowed, origins, strict=True) if not origin.startswith(ASKED))


def compile_grant(namespace: str, name: str, annotations: Mapping[str, str] | None, terms: Terms, prefix: str) -> Grant:
    """Return what a ServiceAccount with these annotations, under this prefix, may do on these terms."""
    root = () if terms.root is None else (Entry(f"{terms.root}.>", ROOT),)
    answers = (SHARED_INBOX, PRIVATE_INBOXES) if terms.reply_mode is ReplyMode.INBOX else ()
    inboxes: tuple[str, ...] = (private_inbox(namespace, name), guide_inbox(namespace, name))
    if terms.inbox_mode is InboxMode.SHARED:
        inboxes = (SHARED_INBOX, *inboxes)
    publish = dict((*root, *(Entry(inbox, REPLIES) for inbox in answers)))
    subscribe = dict((*root, *(Entry(inbox, INBOX) for inbox in inboxes)))
    for taken, given in ((publish, terms.publish), (subscribe, terms.subscribe)):
        for subject, origin in given:
            taken.setdefault(subject, origin)
    refused: list[Refusal] = []
    to_publish, to_subscribe, to_stream = (prefix + key for key in entries.NAMES)
    asked = annotations or {}
    for side, key, taken in ((Side.PUBLISH, to_publish, publish), (Side.SUBSCRIBE, to_subscribe, subscribe)):
        if key in asked:
            refused += _add(taken, key, asked, partial(_subject, side, terms, _ceiling(side, terms), taken))
    refused += _add(publish, to_stream, asked, partial(_intent, terms, publish))
    refused += [Refusal(key, "", _NOT_READ) for key in entries.unknown_in(annotations)]
    by_reply = terms.reply_mode is ReplyMode.RESPONSES
    replies = (terms.replies_max, terms.replies_ttl_seconds) if by_reply else (0, 0.0)
    denied = _meeting(terms.deny_publish, publish), _meeting(terms.deny_subscribe, map(subscribed, subscribe))
    permissions = Permissions(tuple(publish), tuple(subscribe), *replies, *denied)
    return Grant(terms, permissions, tuple(publish.values()), tuple(subscribe.values()), tuple(refused))


def _meeting(denied: tuple[str, ...], allowed: Iterable[str]) -> tuple[str, ...]:
    """Return the denials that take something away: the server filters what it delivers by each of them."""
    if not denied:
        return ()
    return tuple(filter(Cover(allowed).meets, denied))


def _add(
    taken: dict[str, str],
    annotation: str,
    annotations: Mapping[str, str],
    read: Callable[[str], tuple[str, ...] | str],
) -> list[Refusal]:
    """Add what an annotation asks for to what is taken, in the order written; return what is left out.

    `read` returns the subjects that one entry comes to, or why it is left out. An entry counts whole or not at all.
    """
    written = entries.split(annotations.get(annotation, ""))
    refusals: list[Refusal] = []
    looked_at, why_not_all = 0, ""
    for text in written:
        if len(taken) >= MAX_ENTRIES:
            why_not_all = f"one side may have {MAX_ENTRIES} entries"
            break
        if len(refusals) == _MAX_REFUSALS:
            why_not_all = f"reading stops after {_MAX_REFUSALS} that are left out"
            break
        looked_at += 1
        found = _CUT if text == entries.CUT else read(text)
        if not isinstance(found, str):
            more = [subject for subject in found if subject not in taken]
            if len(taken) + len(more) <= MAX_ENTRIES:
                origin = f"{ASKED}{annotation}" if found == (text,) else f"{ASKED}{annotation} {text}"
                taken.update(dict.fromkeys(more, origin))
                continue
            found = f"needs {len(more)} entries, and one side may have {MAX_ENTRIES}"
        refusals.append(Refusal(annotation, text[: subjects.MAX_CHARACTERS], found))
    if why_not_all:
        left = len(written) - looked_at
        refusals.append(Refusal(annotation, entries.CUT, f"and {left} more entries are left out: {why_not_all}"))
    return refusals


def _ceiling(side: Side, terms: Terms) -> Cover:
    ceilings = terms.ceilings or NO_ANNOTATIONS
    return Cover(ceilings.publish if side is Side.PUBLISH else ceilings.subscribe)


def _subject(side: Side, terms: Terms, ceiling: Cover, taken: Container[str], subject: str) -> tuple[str, ...] | str:
    """Return the subject alone, or why an annotation may not have it on this side; what is taken anyway it may have."""
    if subject in taken:
        return (subject,)
    why = subjects.problem(subject) or reach.trespass(subject, side, terms.jetstream_grants)
    if why or terms.ceilings is None:
        return why or (subject,)
    reached = subject if side is Side.PUBLISH else subscribed(subject)
    # So that a ceiling of `>` admits no JetStream.
    inside = ceiling.covers_by_name(reached) if subject.startswith("$") else ceiling.covers(reached)
    return (subject,) if inside else _beyond(terms)


def _intent(terms: Terms, taken: Container[str], text: str) -> tuple[str, ...] | str:
    """Return the subjects that an intent comes to, or why an annotation may not have it."""
    intent = intents.parse(text)
    if isinstance(intent, str):
        return intent
    found = intents.entries(intent)
    for subject in found:
        if subject not in taken and (why := reach.trespass(subject, Side.PUBLISH, terms.jetstream_grants)):
            return why
    if terms.ceilings is None or intents.admitted(intent, terms.ceilings.jetstream):
        return found
    return _beyond(terms)


def _beyond(terms: Terms) -> str:
    if terms.ceilings == NO_ANNOTATIONS:
        return f"rule {terms.rule} gives annotations no say"
    return f"is beyond what rule {terms.rule} lets annotations ask for"
