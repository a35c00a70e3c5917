"""Log in as a client would, and learn where that led: the server's own word for it, not ours.

nats-server 2.12 and later tell the account in the INFO that answers a login, whoever let the client in. Older ones tell
it only on `$SYS.REQ.USER.INFO`, which needs a permission: our responders give it to a login that calls itself a
self-test (core.user.SELF_TEST). NATS_FACTS 8.7.
"""

import asyncio
import os
import ssl
from dataclasses import dataclass

import msgspec

from nats_k8s_oidc_callout.adapters.nats.logins import WorkloadLogin
from nats_k8s_oidc_callout.adapters.nats.probe import Probe, open_probe
from nats_k8s_oidc_callout.adapters.nats.wire import Message
from nats_k8s_oidc_callout.core.nats.address import Address
from nats_k8s_oidc_callout.core.nats.names import WHO_AM_I
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import Unreadable


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a login ended up."""

    account: str
    """As the server names it: a name, or `A…` in operator mode. Empty when it could not be learned."""
    seconds: float
    """How long the login took."""
    foreign: bool = False
    """The session may not ask who it is, so whoever let it in is no responder of this version."""


class _Data(msgspec.Struct):
    account: str = ""


class _UserInfo(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)


_read = reader(_UserInfo)


async def log_in_as_client(
    address: Address, context: ssl.SSLContext | None, login: WorkloadLogin, name: str, inbox: str, timeout: float
) -> Landing:
    """Log in under a connection name, and leave; `inbox` is where the session may listen.

    Each step takes at most `timeout` seconds. Raises Refused, Untrusted or Unreachable.
    """
    async with open_probe(address, context, timeout) as probe:
        seconds = await probe.log_in(login, name, timeout)
        if probe.account:
            return Landing(probe.account, seconds)
        return await _ask(probe, seconds, inbox, timeout)


async def _ask(probe: Probe, seconds: float, inbox: str, timeout: float) -> Landing:
    answers: asyncio.Queue[Message] = asyncio.Queue()
    reply = f"{inbox.removesuffix('.>')}.{os.urandom(8).hex()}"
    said = await probe.subscribe(reply, answers.put_nowait, timeout)
    said += " ".join(await probe.say(f"PUB {WHO_AM_I} {reply} 0\r\n".encode(), timeout=timeout))
    if "permissions violation" in said.lower():
        return Landing("", seconds, foreign=True)
    try:
        async with asyncio.timeout(timeout):
            answer = await answers.get()
        account = _read(answer.payload).data.account if answer.payload else ""
    except (TimeoutError, Unreadable):
        # Without a system account there is nobody to answer.
        account = ""
    return Landing(account, seconds)
