"""What tenants write: which annotations are ours, how much of each is read, and into which entries it falls.

An annotation may have 256 KiB, and there may be thousands: what is not read here costs nobody anything.
"""

import hashlib
from collections.abc import Iterable, Mapping

from nats_k8s_oidc_callout.core.weight import text_weight

PUBLISH, SUBSCRIBE, INTENTS = "allowed-pub-subjects", "allowed-sub-subjects", "jetstream"
NAMES = (PUBLISH, SUBSCRIBE, INTENTS)
"""All that we read, each after the annotation prefix."""

BYTES_MAX = 72 * 1024
"""How much of one annotation is read: more than 256 entries of 256 characters, with what stands between them."""
CUT = "..."
"""The last entry of what was cut. Three dots are no subject, and no intent: whoever reads entries refuses it."""
UNKNOWN_MAX = 8
_UNKNOWN_CHARACTERS = 80

# What the objects around the texts take, measured on 3.13: the dict and its table, the digest, three strings' heads.
_HEADS_BYTES = 600


class Annotations(dict[str, str]):
    """The annotations of ours that one ServiceAccount has, by their full keys, each cut. Not to be changed.

    Equal to a dict of the same. Made by `Reader`, which alone fills in what is told beside the texts.
    """

    __slots__ = ("digest", "unknown", "weight")

    digest: bytes
    """Changes with any of the texts, so that nobody has to keep them to compare."""
    unknown: tuple[str, ...]
    """Keys under the prefix that mean nothing, at most 8, each cut: misspelt ones, most likely."""
    weight: int
    """What it takes in memory, in bytes; at least."""


class Reader:
    """Reads annotations under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        # The same object for all: there may be 50,000 of them.
        self._keys = {key: key for key in (f"{prefix}{name}" for name in NAMES)}

    def read(self, annotations: Mapping[str, str] | None) -> Annotations | None:
        """Return those of ours, or None when there is nothing under the prefix."""
        if not annotations:
            return None
        # Nearly all have none.
        under_prefix = [pair for pair in annotations.items() if pair[0].startswith(self._prefix)]
        if not under_prefix:
            return None
        found = Annotations()
        unknown: list[str] = []
        for key, text in under_prefix:
            ours = self._keys.get(key)
            if ours is not None:
                found[ours] = cut(text)
            elif len(unknown) < UNKNOWN_MAX:
                unknown.append(key[:_UNKNOWN_CHARACTERS])
        found.unknown = tuple(unknown)
        found.digest = digest_of(found, unknown)
        found.weight = _HEADS_BYTES + sum(map(text_weight, (*found.values(), *unknown)))
        return found


def weight_of(annotations: Mapping[str, str] | None) -> int:
    """Return what annotations take in memory, in bytes, whoever made them."""
    if annotations is None:
        return 0
    if isinstance(annotations, Annotations):
        return annotations.weight
    return _HEADS_BYTES + sum(map(text_weight, annotations.values()))


def unknown_in(annotations: Mapping[str, str] | None) -> tuple[str, ...]:
    """Return the keys under the prefix that mean nothing, as `Annotations` has them."""
    return annotations.unknown if isinstance(annotations, Annotations) else ()


def version_of(annotations: Mapping[str, str] | None) -> bytes:
    """Return what tells one set of annotations from another; empty for none."""
    if annotations is None:
        return b""
    return annotations.digest if isinstance(annotations, Annotations) else digest_of(annotations)


def digest_of(annotations: Mapping[str, str], unknown: Iterable[str] = ()) -> bytes:
    """Return the digest of these texts; of two that differ it differs, too."""
    running = hashlib.sha256()
    for part in (*(part for pair in sorted(annotations.items()) for part in pair), *unknown):
        encoded = part.encode("utf-8", "surrogatepass")
        running.update(b"%d:" % len(encoded))
        running.update(encoded)
    return running.digest()[:16]


def cut(text: str) -> str:
    """Return the text as far as it is read; what was cut ends in the entry CUT.

    Cut where an entry ends, never within one: half of `a.b.>x` would be `a.b.>`, and half of `orders.eu-1` another
    subject. What has no end of an entry within BYTES_MAX leaves nothing.
    """
    if 4 * len(text) <= BYTES_MAX or (len(text) <= BYTES_MAX and text_weight(text) <= BYTES_MAX):
        return text
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= BYTES_MAX:
        return text
    # Up to and with the last separator that leaves room for the mark.
    head = encoded[: BYTES_MAX - len(CUT)].decode("utf-8", "ignore")
    end = max(head.rfind(","), head.rfind("\n"))
    return f"{head[: end + 1]}{CUT}"


def split(text: str) -> list[str]:
    """Return the entries of an annotation in the order written, each once, none of them empty."""
    # All of it in C, and each once before anything else is done with it: the worst text there is takes 2 ms.
    written = dict.fromkeys(cut(text).replace("\n", ",").split(","))
    unique = dict.fromkeys(map(str.strip, written))
    unique.pop("", None)
    return list(unique)
