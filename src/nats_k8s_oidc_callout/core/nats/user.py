"""What a session may do, as the object `nats` of a user JWT: the only writer and reader of permissions."""

import msgspec

from nats_k8s_oidc_callout.core.model import Permissions
from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.core.nats.names import WHO_AM_I
from nats_k8s_oidc_callout.core.nats.subjects import guide_inbox

ENCODER_VERSION = 1
"""Raised with every change of what the same annotations and rules come to: replicas of two versions differ in grants then."""


class _Side(msgspec.Struct, omit_defaults=True):
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class _Replies(msgspec.Struct):
    max: int
    ttl: int


class _NatsUser(msgspec.Struct, omit_defaults=True):
    pub: _Side
    sub: _Side
    resp: _Replies | None = None
    # -1 is "no limit"; the server ignores these for callout users, but its validation wants them set.
    subs: int = msgspec.field(default=0)
    data: int = msgspec.field(default=0)
    payload: int = msgspec.field(default=0)
    type: str = ""
    version: int = 0


# A login under such a connection name gets less than its workload may have: only the right to ask the server who it is,
# and in which account. Anybody may use the name, since it gives nothing else.
SELF_TEST = f"{PROGRAM} self-test "

_NOTHING = _Side(deny=(">",))
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_NatsUser).decode


def encode(permissions: Permissions) -> bytes:
    """Return the JSON object `nats` of a user JWT, or nothing when there is nothing the user may do.

    To NATS a side without an allow list is a side with every right (NATS_FACTS 3.1): such a side is
    written as `deny: [">"]`.
    """
    if not permissions.publish and not permissions.subscribe:
        return b""
    replies = None
    if permissions.replies_max:
        replies = _Replies(permissions.replies_max, round(permissions.replies_ttl_seconds * 1_000_000_000))
    return _encode(
        _NatsUser(
            pub=_Side(permissions.publish, permissions.deny_publish) if permissions.publish else _NOTHING,
            sub=_Side(permissions.subscribe, permissions.deny_subscribe) if permissions.subscribe else _NOTHING,
            resp=replies,
            subs=-1,
            data=-1,
            payload=-1,
            type="user",
            version=2,
        )
    )


def decode(encoded: bytes) -> Permissions:
    """Return what `encode` wrote: the same rights, though a side without any has a denial of all."""
    if not encoded:
        return Permissions((), (), 0, 0.0)
    read = _decode(encoded)
    most, seconds = (read.resp.max, read.resp.ttl / 1_000_000_000) if read.resp else (0, 0.0)
    return Permissions(read.pub.allow, read.sub.allow, most, seconds, read.pub.deny, read.sub.deny)


def self_test(namespace: str, name: str) -> bytes:
    """Return the encoded grant of a self-test: to ask the server about oneself, and to hear the answer."""
    return encode(Permissions((WHO_AM_I,), (guide_inbox(namespace, name),), 0, 0.0))
