"""A nats-py that comes back when a session ends, for frameworks that connect by themselves (FastStream and others).

It needs nats-py alone: import this file, or copy it.

    outlive_sessions()
    broker = NatsBroker(url, security=NatsToken(token_from()), inbox_prefix=…, max_reconnect_attempts=-1)

Who writes a program of their own does better with client.py, which needs nothing of nats-py that is not public.
"""

from collections.abc import Callable
from pathlib import Path

import nats.errors
from nats.aio.client import Client

TOKEN_FILE = Path("/var/run/secrets/nats/token")

# What the server says at the end of a session: when it expires, and in operator mode on 2.15 also at a reload.
_ENDS = ("authentication expired", "authorization violation")


def token_from(file: str | Path = TOKEN_FILE) -> Callable[[], str]:
    """Return what nats-py takes as `token`: it is called at each connect, and reads the file anew."""

    def read() -> str:
        if token := Path(file).read_text(encoding="utf-8", errors="replace").strip():
            return token
        raise ConnectionError(f"{file} is empty")

    return read


def outlive_sessions() -> None:
    """Have every nats-py client of this process reconnect when its session ends. Call it before they connect.

    nats-py closes for good at what the server says then, and no option is against it; a kick, which says nothing, it
    takes for a lost connection. So does this with both: subscriptions go on, what is published meanwhile is kept. It
    replaces a method of nats-py that is not public (`Client._process_err`; seen with 2.16.0).
    """
    close_for_good = Client._process_err

    async def come_back(client: Client, said: str) -> None:
        if client.is_connected and any(end in said.lower() for end in _ENDS):
            await client._process_op_err(nats.errors.Error(f"nats: {said}"))
        else:
            await close_for_good(client, said)

    Client._process_err = come_back  # type: ignore[method-assign,assignment]
