"""`nsc push`: account JWTs to the servers' resolver, as a user of the system account that is made for it."""

import asyncio
import json
from collections.abc import Callable, Sequence

from nats.aio.client import Client

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.guides.nsc_flags import Refused
from tests.guides.nsc_store import NO_LIMITS, Entity, new


def push_all(
    url: str, jwt: Callable[[Entity, Entity | None], str], system: Entity, accounts: Sequence[Entity]
) -> list[str]:
    """Push these accounts and return their names; raise Refused with what the servers say."""
    return asyncio.run(_push_all(url, jwt, system, accounts))


async def _push_all(
    url: str, jwt: Callable[[Entity, Entity | None], str], system: Entity, accounts: Sequence[Entity]
) -> list[str]:
    user = new(Kind.USER, "push", dict(NO_LIMITS, type="user"))
    client = Client()
    await client.connect(
        servers=[url],
        user_jwt_cb=jwt(user, system).encode,
        signature_cb=lambda nonce: base64url.encode(user.pair.key.sign(nonce.encode())),
        allow_reconnect=False,
    )
    try:
        for account in accounts:
            answer = await client.request("$SYS.REQ.CLAIMS.UPDATE", jwt(account, None).encode(), timeout=5)
            told = json.loads(answer.data)
            if told.get("data", {}).get("code") != 200:
                raise Refused(f"failed to push account {account.name}: {told.get('error', told)}")
    finally:
        await client.close()
    return [account.name for account in accounts]
