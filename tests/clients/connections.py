"""What tests of the Python connection begin with: a token in a file, a server that takes it, a callback that keeps all."""

from pathlib import Path
from typing import Any

from nats.aio.msg import Msg

from nats_k8s_oidc_callout.client import Connection, connect
from tests.fakes.nats_world import NatsServer, until

TOKEN, OTHER = "eyJh.first-token-of-this-test.c2ln", "eyJh.another-token-of-this-test.c2ln"


def accepting(token: str) -> str:
    """Return the configuration of a server that lets this token in and no other."""
    return f'authorization {{ token: "{token}" }}\njetstream {{ store_dir: "@DIR@/js", max_mem: 10M, max_file: 10M }}\n'


class TokenFile:
    """A mounted token."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, token: str | bytes | None) -> None:
        """Put this token there; None takes the file away."""
        if token is None:
            self.path.unlink()
        else:
            self.path.write_bytes(token if isinstance(token, bytes) else f"{token}\n".encode())


def to(server: NatsServer, tokens: TokenFile, **options: Any) -> Connection:
    """Return a connection of `shop/web.v2`, not yet opened."""
    return connect(server.url, namespace="shop", service_account="web.v2", token_file=tokens.path, **options)


async def settled(nc: Connection) -> None:
    """Return once the server has all that was said to it in this session."""
    client = await nc.client()
    # nats-py's PING overtakes what still waits to be written, so only the second one comes after it.
    await client.flush()
    await client.flush()


class Box:
    """A callback that keeps what it is given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def put(self, message: Msg) -> None:
        self.texts.append(message.data.decode())

    async def holds(self, *texts: str) -> None:
        await until(lambda: set(texts) <= set(self.texts), 10, f"{texts} among {self.texts}")
