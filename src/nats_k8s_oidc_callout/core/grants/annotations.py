"""What a workload may publish and subscribe: what its terms give, and what its annotations add.

Annotations are written by tenants: `subjects` checks each entry's grammar, `filter` what it may reach, and the ceilings
of its rule how far it may go.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nats_k8s_oidc_callout.core.grants import entries
from nats_k8s_oidc_callout.core.grants import filter as reach
from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.terms import NO_ANNOTATIONS, Entry, InboxMode, ReplyMode, Terms
from nats_k8s_oidc_callout.core.model import Permissions, Refusal
from nats_k8s_oidc_callout.core.nats import subjects
from nats_k8s_oidc_callout.core.nats.subjects import (
    PRIVATE_INBOXES,
    SHARED_INBOX,
    covered,
    guide_inbox,
    overlaps,
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
_NOT_READ = "is not supported: allowed-pub-subjects and allowed-sub-subjects are, with the same prefix"


@dataclass(frozen=True, slots=True)
class Grant:
    """The permissions of one workload, which of them are defaults, and what was left out."""

    terms: Terms
    """The platform's, on which it was made."""
    permissions: Permissions
    publish_origins: tuple[str, ...]
    """What gives each entry: `root`, `inbox`, `replies`, an origin of `Terms`, or `annotation:` and its key."""
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
    refused: list[Refusal] = []
    publish = dict((*root, *(Entry(inbox, REPLIES) for inbox in answers)))
    subscribe = dict((*root, *(Entry(inbox, INBOX) for inbox in inboxes)))
    for side, taken, given in (
        (Side.PUBLISH, publish, terms.publish),
        (Side.SUBSCRIBE, subscribe, terms.subscribe),
    ):
        for subject, origin in given:
            taken.setdefault(subject, origin)
        _add(side, taken, annotations, prefix, terms, refused)
    refused += [Refusal(key, "", _NOT_READ) for key in _not_read(annotations, prefix)]
    by_reply = terms.reply_mode is ReplyMode.RESPONSES
    replies = (terms.replies_max, terms.replies_ttl_seconds) if by_reply else (0, 0.0)
    denied = _meeting(terms.deny_publish, publish), _meeting(terms.deny_subscribe, map(subscribed, subscribe))
    permissions = Permissions(tuple(publish), tuple(subscribe), *replies, *denied)
    return Grant(terms, permissions, tuple(publish.values()), tuple(subscribe.values()), tuple(refused))


def _meeting(denied: tuple[str, ...], allowed: Iterable[str]) -> tuple[str, ...]:
    """Return the denials that take something away: the server filters what it delivers by each of them."""
    if not denied:
        return ()
    reached = tuple(allowed)
    return tuple(deny for deny in denied if any(overlaps(deny, allow) for allow in reached))


def _not_read(annotations: Mapping[str, str] | None, prefix: str) -> tuple[str, ...]:
    """Return the keys under our prefix that change nothing: a misspelling, most likely."""
    # Kept for the intents to come; until then nobody reads it, and who writes it must hear so.
    intents = prefix + entries.INTENTS
    unknown = entries.unknown_in(annotations)
    return (*unknown, intents)[: entries.UNKNOWN_MAX] if annotations and intents in annotations else unknown


def _add(
    side: Side,
    taken: dict[str, str],
    annotations: Mapping[str, str] | None,
    prefix: str,
    terms: Terms,
    refused: list[Refusal],
) -> None:
    """Add the entries of one annotation to what is taken, each once, in the order they were written."""
    annotation = prefix + (entries.PUBLISH if side is Side.PUBLISH else entries.SUBSCRIBE)
    written = entries.split((annotations or {}).get(annotation, ""))
    refusals: list[Refusal] = []
    read, why_not_all, origin = 0, "", ASKED + annotation
    for subject in written:
        if len(taken) >= MAX_ENTRIES:
            why_not_all = f"one side may have {MAX_ENTRIES} entries"
            break
        if len(refusals) == _MAX_REFUSALS:
            why_not_all = f"reading stops after {_MAX_REFUSALS} that are left out"
            break
        read += 1
        if subject in taken:
            continue
        if why := _why_not(subject, side, terms):
            refusals.append(Refusal(annotation, subject[: subjects.MAX_CHARACTERS], why))
        else:
            taken[subject] = origin
    if why_not_all:
        refusals.append(
            Refusal(annotation, entries.CUT, f"and {len(written) - read} more entries are left out: {why_not_all}")
        )
    refused.extend(refusals)


def _why_not(subject: str, side: Side, terms: Terms) -> str:
    """Return why an annotation may not have this entry, or an empty string."""
    if subject == entries.CUT:
        return f"is where reading stops: an annotation may have {entries.BYTES_MAX // 1024} KiB"
    why = subjects.problem(subject) or reach.trespass(subject, side, terms.jetstream_grants)
    if why or terms.ceilings is None:
        return why
    if terms.ceilings == NO_ANNOTATIONS:
        return f"rule {terms.rule} gives annotations no say"
    if side is Side.PUBLISH:
        inside = covered(subject, _ceilings_for(subject, terms.ceilings.publish))
    else:
        inside = covered(subscribed(subject), _ceilings_for(subject, terms.ceilings.subscribe))
    return "" if inside else f"is beyond what rule {terms.rule} lets annotations ask for"


def _ceilings_for(subject: str, ceilings: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ceilings that count: below `$` those alone that name the first token, so that `>` admits no JetStream."""
    first, dot, _ = subject.partition(".")
    if not first.startswith("$"):
        return ceilings
    return tuple(ceiling for ceiling in ceilings if ceiling.startswith(first + dot))
