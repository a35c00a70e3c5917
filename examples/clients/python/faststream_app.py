"""A FastStream service that lives through the ends of its sessions. Environment: as main.py.

frameworks.py stands beside it. `python faststream_app.py`, or `faststream run faststream_app:app`.
"""

import asyncio
import os

from faststream import FastStream
from faststream.nats import NatsBroker
from faststream.nats.security import NatsToken
from frameworks import outlive_sessions, token_from

NAMESPACE, SERVICE_ACCOUNT = os.environ["NAMESPACE"], os.environ["SERVICE_ACCOUNT"]
NATS_URL = os.environ.get("NATS_URL", "nats://nats.nats-system.svc.cluster.local:4222")

# Before the broker connects: nats-py would close for good at the end of the first session, without a word.
outlive_sessions()
broker = NatsBroker(
    NATS_URL,
    name=f"{NAMESPACE}/{SERVICE_ACCOUNT}",
    # The function, not its result: it is asked at each connect.
    security=NatsToken(token_from(os.environ.get("TOKEN_FILE", "/var/run/secrets/nats/token"))),
    inbox_prefix=f"_INBOX_SA.{NAMESPACE}.{SERVICE_ACCOUNT.replace('.', '_')}",
    max_reconnect_attempts=-1,
    connect_timeout=5,
)
app = FastStream(broker)


@broker.subscriber(f"{NAMESPACE}.echo.{SERVICE_ACCOUNT}")
async def echo(text: str) -> str:
    return text


if __name__ == "__main__":
    asyncio.run(app.run())
