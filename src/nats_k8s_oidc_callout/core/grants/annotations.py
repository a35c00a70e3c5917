"""What a workload may publish and subscribe: the defaults of its namespace, and what its annotations add.

Annotations are written by tenants: `subjects` checks each entry's grammar, `filter` what it may reach.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nats_k8s_oidc_callout.core.grants import entries
from nats_k8s_oidc_callout.core.grants import filter as reach
from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode, Terms
from nats_k8s_oidc_callout.core.model import Permissions, Refusal
from nats_k8s_oidc_callout.core.nats import subjects
from nats_k8s_oidc_callout.core.nats.subjects import PRIVATE_INBOXES, SHARED_INBOX, guide_inbox, private_inbox

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
    default_publish: tuple[str, ...]
    default_subscribe: tuple[str, ...]
    refused: tuple[Refusal, ...]


def compile_grant(namespace: str, name: str, annotations: Mapping[str, str] | None, terms: Terms, prefix: str) -> Grant:
    """Return what a ServiceAccount with these annotations, under this prefix, may do."""
    own = (f"{namespace}.>",)
    answers = (SHARED_INBOX, PRIVATE_INBOXES) if terms.reply_mode is ReplyMode.INBOX else ()
    inboxes: tuple[str, ...] = (private_inbox(namespace, name), guide_inbox(namespace, name))
    if terms.inbox_mode is InboxMode.SHARED:
        inboxes = (SHARED_INBOX, *inboxes)
    refused: list[Refusal] = []
    publish = _add(Side.PUBLISH, own + answers, annotations, prefix, terms, refused)
    subscribe = _add(Side.SUBSCRIBE, own + inboxes, annotations, prefix, terms, refused)
    refused += [Refusal(key, "", _NOT_READ) for key in _not_read(annotations, prefix)]
    by_reply = terms.reply_mode is ReplyMode.RESPONSES
    replies = (terms.replies_max, terms.replies_ttl_seconds) if by_reply else (0, 0.0)
    return Grant(terms, Permissions(publish, subscribe, *replies), own + answers, own + inboxes, tuple(refused))


def _not_read(annotations: Mapping[str, str] | None, prefix: str) -> tuple[str, ...]:
    """Return the keys under our prefix that change nothing: a misspelling, most likely."""
    # Kept for the intents to come; until then nobody reads it, and who writes it must hear so.
    intents = prefix + entries.INTENTS
    unknown = entries.unknown_in(annotations)
    return (*unknown, intents)[: entries.UNKNOWN_MAX] if annotations and intents in annotations else unknown


def _add(
    side: Side,
    defaults: tuple[str, ...],
    annotations: Mapping[str, str] | None,
    prefix: str,
    terms: Terms,
    refused: list[Refusal],
) -> tuple[str, ...]:
    """Return the defaults and the entries of one annotation, each once, in the order they were written."""
    annotation = prefix + (entries.PUBLISH if side is Side.PUBLISH else entries.SUBSCRIBE)
    taken = dict.fromkeys(defaults)
    written = entries.split((annotations or {}).get(annotation, ""))
    refusals: list[Refusal] = []
    read, why_not_all = 0, ""
    for subject in written:
        if len(taken) == MAX_ENTRIES:
            why_not_all = f"one side may have {MAX_ENTRIES} entries"
            break
        if len(refusals) == _MAX_REFUSALS:
            why_not_all = f"reading stops after {_MAX_REFUSALS} that are left out"
            break
        read += 1
        if subject in taken:
            continue
        if subject == entries.CUT:
            why = f"is where reading stops: an annotation may have {entries.BYTES_MAX // 1024} KiB"
        else:
            why = subjects.problem(subject) or reach.trespass(subject, side, terms.jetstream_grants)
        if why:
            refusals.append(Refusal(annotation, subject[: subjects.MAX_CHARACTERS], why))
        else:
            taken[subject] = None
    if why_not_all:
        refusals.append(
            Refusal(annotation, entries.CUT, f"and {len(written) - read} more entries are left out: {why_not_all}")
        )
    refused.extend(refusals)
    return tuple(taken)
