"""The encoded grants of the workloads that log in, kept by weight."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from nats_k8s_oidc_callout.core.grants.annotations import Grant, compile_grant
from nats_k8s_oidc_callout.core.grants.entries import version_of, weight_of
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import Labels, Rule, Turned
from nats_k8s_oidc_callout.core.grants.terms import Terms
from nats_k8s_oidc_callout.core.model import Permissions, Refusal
from nats_k8s_oidc_callout.core.nats.user import encode

# Grants are kept by size, not number: a tenant can make one of 130 kB, and must not crowd out memory with it.
CACHE_BYTES = 16 << 20
# What the objects around one take: two names, the digests, tuples, its place in the table.
_HEADS_BYTES = 900
# And each label, with its value of at most 63 characters.
_LABEL_BYTES = 160
# Compiling and signing for heavier ones takes up to 10 ms: one at a time, between the others' turns.
_LIGHT_BYTES = 8 * 1024
_text_of = msgspec.json.Encoder().encode


class Made(NamedTuple):
    """A grant, ready to be signed; or why there is none."""

    encoded: bytes
    """By `user.encode`; empty when there is nothing that the workload may do."""
    digest: str
    """The first 12 hex digits of its SHA-256: two logins with the same one may do the same."""
    account: str
    """Where clients land with it."""
    by: Rule | Turned
    """The rule whose conditions hold for it, which many share; or why there is none."""
    refused: tuple[Refusal, ...] = ()
    """What was left out, told once: when the grant was made."""
    mark: str = ""
    """`mark_of`, for labels; empty when nobody wants them."""

    @property
    def rule(self) -> str:
        """The name of the rule; empty without a policy file."""
        return self.by.rule if isinstance(self.by, Turned) else self.by.name

    @property
    def session_max_seconds(self) -> int:
        """What the rule lets a session last; 0 without one."""
        return 0 if isinstance(self.by, Turned) else self.by.session_max_seconds


class _Kept(NamedTuple):
    version: bytes
    labels: Labels | None
    made: Made


@dataclass(slots=True)
class Grants:
    """Encoded grants of the workloads that log in, made again only when their annotations or labels changed.

    They are made by one policy: another policy is another Grants.
    """

    policy: Policy
    annotation_prefix: str
    policy_mark: str = ""
    """What labels say of all that makes these grants, 6 hex digits; empty when there are no labels."""
    _kept: OrderedDict[tuple[str, str], _Kept] = field(default_factory=OrderedDict)
    size: int = 0
    """What is kept, in bytes."""

    def of(
        self, namespace: str, name: str, annotations: Mapping[str, str] | None, labels: Labels | None = None
    ) -> Made | None:
        """Return the grant, with what was refused if it had to be made just now.

        `labels` are the namespace's, as far as rules go by them, and None when they are not known: then the grant is
        None if it hangs on them.
        """
        key = namespace, name
        version = version_of(annotations)
        kept = self._kept.get(key)
        if kept is not None and kept.version == version and kept.labels == labels:
            return kept.made
        made = self._make(namespace, name, annotations, labels)
        if made is not None:
            # The annotations themselves are not kept: the index has them. What was refused is told this once.
            self._keep(key, _Kept(version, labels, made._replace(refused=())))
        return made

    def peek(
        self, namespace: str, name: str, annotations: Mapping[str, str] | None, labels: Labels | None = None
    ) -> Made | None:
        """Return what `of` would, and keep nothing: the next login still tells what was refused."""
        kept = self._kept.get((namespace, name))
        if kept is not None and kept.version == version_of(annotations) and kept.labels == labels:
            return kept.made
        return self._make(namespace, name, annotations, labels)

    def _make(
        self, namespace: str, name: str, annotations: Mapping[str, str] | None, labels: Labels | None
    ) -> Made | None:
        terms = self.policy.terms_of(namespace, name, labels)
        if terms is None or isinstance(terms, Turned):
            return None if terms is None else Made(b"", "", "", terms)
        grant = compile_grant(namespace, name, annotations, terms, self.annotation_prefix)
        # A copy: the encoder's own has up to half as much again of room behind it.
        encoded = bytes(memoryview(encode(grant.permissions)))
        mark = mark_of(terms.account, grant.permissions) if self.policy_mark else ""
        return Made(encoded, digest_of(encoded), terms.account, self.policy.rule(terms.rule), grant.refused, mark)

    def compile(
        self, namespace: str, name: str, annotations: Mapping[str, str] | None, labels: Labels | None = None
    ) -> Grant | Turned | None:
        """Return the grant itself, of which nothing is kept; or why there is none, as `of` does."""
        terms = self.policy.terms_of(namespace, name, labels)
        if not isinstance(terms, Terms):
            return terms
        return compile_grant(namespace, name, annotations, terms, self.annotation_prefix)

    def _keep(self, key: tuple[str, str], new: _Kept) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self.size -= _size(old)
        self._kept[key] = new
        self.size += _size(new)
        while self.size > CACHE_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self.size -= _size(oldest)


def is_heavy(annotations: Mapping[str, str] | None) -> bool:
    """Say whether a login with these annotations is long work, so that it must not be done beside others."""
    return annotations is not None and weight_of(annotations) > _LIGHT_BYTES


def digest_of(encoded: bytes) -> str:
    """Return the digest of an encoded grant."""
    return hashlib.sha256(encoded).hexdigest()[:12]


def mark_of(account: str, permissions: Permissions) -> str:
    """Return 8 hex digits over an account and permissions, in whatever order these stand."""
    lists = permissions.publish, permissions.subscribe, permissions.deny_publish, permissions.deny_subscribe
    replies = permissions.replies_max, permissions.replies_ttl_seconds
    return hashlib.sha256(_text_of((account, *map(sorted, lists), *replies))).hexdigest()[:8]


def _size(kept: _Kept) -> int:
    # The index shares one object of labels among namespaces; one that was looked up alone is this grant's only.
    return _HEADS_BYTES + len(kept.made.encoded) + _LABEL_BYTES * len(kept.labels or ())
