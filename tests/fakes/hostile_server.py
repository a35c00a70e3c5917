"""A TCP server that speaks just enough NATS to misbehave, and remembers what it was told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class HostileServer:
    """What came in so far, over all connections."""

    url: str
    received: bytearray
    connections: int = 0
    closed: int = 0

    @property
    def signatures(self) -> int:
        return self.received.count(b'"sig"')

    @property
    def connects(self) -> list[dict[str, object]]:
        """The CONNECT lines, read."""
        lines = bytes(self.received).split(b"\r\n")
        return [json.loads(line[len(b"CONNECT ") :]) for line in lines if line.startswith(b"CONNECT ")]


@asynccontextmanager
async def hostile_server(
    info: dict[str, object] | None = None,
    *,
    greeting: bytes = b"",
    answer: bytes = b"PONG\r\n",
    after: bytes = b"",
    drop: bool = False,
) -> AsyncIterator[HostileServer]:
    """Serve on a free port: send INFO with these fields, then `answer` to each PING, `after` once, and maybe hang up.

    `info` may hold anything: a nonce that is none, or no `tls_required`. `greeting` is sent instead of all that.
    """
    fields: dict[str, object] = {
        "server_id": "N",
        "version": "2.15.1",
        "proto": 1,
        "headers": True,
        "max_payload": 1 << 20,
    }
    line = greeting or b"INFO " + json.dumps(fields | {"auth_required": True} | (info or {})).encode() + b"\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        world.connections += 1
        tail = after
        try:
            writer.write(line)
            while data := await reader.readline():
                world.received += data
                if data.startswith(b"PING"):
                    writer.write(answer + tail)
                    tail = b""
                    await writer.drain()
                    if drop:
                        return
        except ConnectionError:
            pass
        finally:
            world.closed += 1
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    world = HostileServer(f"nats://{host}:{port}", bytearray())
    try:
        yield world
    finally:
        server.close()
