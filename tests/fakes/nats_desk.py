"""A running Link, and what came in by it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nats_k8s_oidc_callout.adapters.nats import (
    CredsLogin,
    Link,
    Login,
    NkeyLogin,
    NoLogin,
    Timing,
    answer_requests,
)
from nats_k8s_oidc_callout.core.nats import natsjwt
from nats_k8s_oidc_callout.core.nats.address import Address
from nats_k8s_oidc_callout.settings.values import nats_servers
from tests.fakes.nats_modes import Pair, mint
from tests.fakes.server import claims_of

QUICK = Timing(connect=1.0, heartbeat=0.1, patience=1.0, first_retry=0.02, longest_retry=0.2)
PLAIN = "authorization { timeout: 1.5 }"
REQUESTS = "$SYS.REQ.USER.AUTH"


def at(url: str) -> Address:
    return nats_servers(url).servers[0]


@dataclass
class Desk:
    """What came in, and the link it came by."""

    link: Link
    requests: list[tuple[bytes, str, str]] = field(default_factory=list)
    complaints: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def linked(
    *urls: str,
    login: Login | Callable[[], Login] = NoLogin(),  # noqa: B008
    answer: Callable[[bytes], bytes] | None = None,
    serving: bool = True,
    timing: Timing = QUICK,
    tls: Callable[[], object] = lambda: None,
) -> AsyncIterator[Desk]:
    """Run a link whose requests are answered at once by `answer`, or only kept."""
    complaints: list[bytes] = []

    def on_request(data: bytes, reply: str, xkey: str) -> None:
        desk.requests.append((data, reply, xkey))
        if answer is not None:
            desk.link.send([(reply, answer(data))])

    link = Link(
        [at(url) for url in urls],
        login=login if callable(login) else lambda: login,
        tls=tls,  # type: ignore[arg-type]  # contexts or None, as each test has it
        duty=answer_requests("q", on_request, complaints.append),
        timing=timing,
    )
    desk = Desk(link, complaints=complaints)
    link.set_serving(serving)
    running = asyncio.create_task(link.run(), name="link")
    try:
        yield desk
    finally:
        await asyncio.wait_for(link.close(), 5)
        await asyncio.wait_for(running, 5)


def yes(issuer: Pair, account: str = "APP") -> Callable[[bytes], bytes]:
    """Answer as a responder in config mode does that lets everybody into `account`."""

    def answer(data: bytes) -> bytes:
        asked = claims_of(data)["nats"]
        user = {"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user"}
        subject = asked["user_nkey"]
        jwt = mint(issuer, subject, "somebody", user, aud=account)
        response = {"type": "authorization_response", "jwt": jwt}
        return mint(issuer, subject, "", response, aud=asked["server_id"]["id"]).encode()

    return answer


def nkey(pair: Pair) -> NkeyLogin:
    return NkeyLogin(pair.public, pair.key.sign)


def creds(text: str) -> CredsLogin:
    read = natsjwt.parse_creds(text)
    return CredsLogin(read.jwt, read.key.sign)
