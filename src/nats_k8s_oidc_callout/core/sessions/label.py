"""What a session's name says to every replica: whose it is, by what it was granted, and until when.

The user's name is the one text of ours that nats-server shows in CONNZ and in its events (NATS_FACTS 7). Whatever stands
there is a stranger's word: an administrator may configure a user of any name. It earns a kick, never a right.
"""

import hashlib
import re
from functools import lru_cache

import msgspec

from nats_k8s_oidc_callout.core.identity.issuers import Proved
from nats_k8s_oidc_callout.core.names import is_label, is_subdomain

_PREFIX = "system:serviceaccount:"
# Longer than any that we write: 22 of the prefix, 63 and 253 of the names, and the fields.
_LONGEST = 512
_FIELDS = re.compile(
    r"([^;:]+):([^;:]+);e=(\d{1,12});u=([A-Za-z0-9-]{0,8});g=([0-9a-f]{8});k=([0-9a-f]{6});t=([0-9a-f]{8})"
    r";i=(\d{1,12});p=([0-9a-f]{6});r=([a-z0-9-]{1,80})",
    re.ASCII,
)
_UID = re.compile(r"[A-Za-z0-9-]{0,8}", re.ASCII)


class Label(msgspec.Struct, frozen=True, gc=False):
    """All that can be told of a session without its token."""

    namespace: str
    name: str
    expires: int
    """When the session ends by itself (Unix seconds)."""
    uid: str
    """`of_uid` of the ServiceAccount's."""
    grant: str
    """8 hex digits over account and permissions: `grants.mark_of`."""
    kid: str
    """6 hex digits over the name of the issuer's key."""
    jti: str
    """8 hex digits over the token's id."""
    issued: int
    """The token's `iat`."""
    policy: str
    """6 hex digits over the policy file, and how grants are made of it."""
    release: str
    """Whose session it is: releases and clusters on one NATS leave each other's alone."""

    def __str__(self) -> str:
        """Return the user's name."""
        return _text(*msgspec.structs.astuple(self))


def _text(
    namespace: str,
    name: str,
    expires: int,
    uid: str,
    grant: str,
    kid: str,
    jti: str,
    issued: int,
    policy: str,
    release: str,
) -> str:
    return (
        f"{_PREFIX}{namespace}:{name};e={expires};u={uid};g={grant};k={kid};t={jti};i={issued};p={policy};r={release}"
    )


def written(proved: Proved, expires: int, grant: str, policy: str, release: str) -> str:
    """Return the user's name for a session that a token begins; what else it says is as in `Label`."""
    # Without making a Label of it: this is done at each login.
    who = proved.workload
    uid, kid, jti = of_uid(who.uid), of_kid(proved.kid), of_jti(who.jti)
    return _text(who.namespace, who.name, expires, uid, grant, kid, jti, proved.issued, policy, release)


def parse(user: str) -> Label | None:
    """Return the label that a user's name is, or None when it is none of ours."""
    if len(user) > _LONGEST or not user.startswith(_PREFIX):
        return None
    found = _FIELDS.fullmatch(user, len(_PREFIX))
    if found is None:
        return None
    namespace, name, expires, uid, grant, kid, jti, issued, policy, release = found.groups()
    if not is_label(namespace) or not is_subdomain(name):
        return None
    namespace, name, uid, grant, kid, policy, release = map(shared, (namespace, name, uid, grant, kid, policy, release))
    return Label(namespace, name, int(expires), uid, grant, kid, jti, int(issued), policy, release)


def named(user: str, start: float) -> Label | None:
    """Return what can be told by a ServiceAccount's plain name, of a connection that began at `start`; None for another name.

    It has no release, and its token was issued at its start at the latest.
    """
    if len(user) > _LONGEST or not user.startswith(_PREFIX):
        return None
    namespace, colon, name = user.removeprefix(_PREFIX).partition(":")
    if not colon or not is_label(namespace) or not is_subdomain(name):
        return None
    return Label(shared(namespace), shared(name), 0, "", "", "", "", int(start), "", "")


@lru_cache(8192)
def shared(text: str) -> str:
    """Return the same object for the same words, if they are usual ones: 20,000 sessions take half the memory."""
    return text


def plain(user: str) -> str:
    """Return the name that Kubernetes gives it, without what we wrote behind it."""
    return user.partition(";")[0] if user.startswith(_PREFIX) else user


def of_uid(uid: str) -> str:
    """Return what a label says of a uid: its first 8 characters, or as many hex digits for one that is no uuid."""
    start = uid[:8]
    # A uuid, nearly always.
    if start.isascii() and start.isalnum():
        return start
    return start if _UID.fullmatch(start) else digest(uid, 8)


@lru_cache(maxsize=2048)
def of_jti(jti: str) -> str:
    """Return what a label says of a token's id: a token comes again, by each connection of its pod and at each reconnect."""
    return digest(jti, 8)


@lru_cache(maxsize=64)
def of_kid(kid: str) -> str:
    """Return what a label says of an issuer's key: there are few, and each signs thousands of tokens."""
    return digest(kid, 6)


def digest(text: str, digits: int) -> str:
    """Return the first hex digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
