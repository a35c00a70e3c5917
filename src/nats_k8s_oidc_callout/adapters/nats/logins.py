"""The ways to log in to NATS, and the guard that keeps a server from using us as a signing oracle."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.errors import Unreachable

Sign = Callable[[bytes], bytes]
"""An Ed25519 signature (64 raw bytes) of a message."""

# nats-server sends 11 to 43 characters of base64url. The dots that every JWT has are not among the letters: the same
# 32 bytes in account form sign user JWTs, so a server that could choose freely what we sign could mint its own users.
NONCE = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class CredsLogin:
    """A user JWT and its key: operator mode."""

    jwt: str = field(repr=False)
    sign: Sign = field(repr=False)


@dataclass(frozen=True, slots=True)
class NkeyLogin:
    """A user nkey (`U…`) that the server's file names: config mode."""

    public: str
    sign: Sign = field(repr=False)


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """A user and password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """The one token of a server's `authorization { token }`."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoLogin:
    """Nothing: a server that asks for nothing, or that knows us by our client certificate."""


Login = CredsLogin | NkeyLogin | PasswordLogin | TokenLogin | NoLogin


@dataclass(frozen=True, slots=True)
class WorkloadLogin:
    """What a pod presents: its token, and in operator mode the sentinel where the servers have no default one.

    For the self-test and doctor, which are clients; the responder itself never logs in so.
    """

    token: str = field(repr=False)
    sentinel: str = field(default="", repr=False)
    """A user JWT of the callout account."""
    sign: Sign | None = field(default=None, repr=False)
    """Its key, for a sentinel that is not a bearer."""


def guarded(sign: Sign) -> Callable[[object], bytes]:
    """Return nats-py's signature callback: base64url of the signature of a nonce, and of nothing but a nonce.

    The callback takes what the server sent (of any JSON type) and raises `Unreachable` when that is no nonce.
    """

    def signature(nonce: object) -> bytes:
        if not isinstance(nonce, str) or NONCE.fullmatch(nonce) is None:
            raise Unreachable("the server asked us to sign something that is not a nonce")
        return base64url.encode(sign(nonce.encode("ascii")))

    return signature


def connect_fields(login: Login | WorkloadLogin, nonce: str) -> dict[str, Any]:
    """Return the fields of CONNECT that prove who we are."""
    match login:
        case CredsLogin(jwt=jwt, sign=sign):
            return {"jwt": jwt, **_signature(sign, nonce)}
        case NkeyLogin(public=public, sign=sign):
            return {"nkey": public, **_signature(sign, nonce)}
        case PasswordLogin(user=user, password=password):
            return {"user": user, "pass": password}
        case TokenLogin(token=token):
            return {"auth_token": token}
        case WorkloadLogin(token=token, sentinel=sentinel, sign=sign):
            fields = {"auth_token": token} if token else {}
            if sentinel:
                fields["jwt"] = sentinel
            return fields | (_signature(sign, nonce) if sign is not None else {})
        case NoLogin():
            return {}


def _signature(sign: Sign, nonce: str) -> dict[str, str]:
    # A server that asks for no login sends none.
    return {"sig": guarded(sign)(nonce).decode()} if nonce else {}
