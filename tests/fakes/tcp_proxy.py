"""A stretch of network that a test can cut: connections may be refused, reset, or left open with nothing coming through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Line:
    """One connection, and whether it still carries anything."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    dead: bool = False


@dataclass
class TcpProxy:
    """Listens on a port of 127.0.0.1 for another one. Made by `tcp_proxy`."""

    target: int
    port: int = 0
    refusing: bool = False
    lines: list[_Line] = field(default_factory=list)

    def go_silent(self) -> None:
        """Leave every connection open and carry nothing on it any more; new ones work."""
        for line in self.lines:
            line.dead = True

    def cut(self, *, refuse: bool = True) -> None:
        """Reset every connection; while `refusing` new ones are closed at once."""
        self.refusing = refuse
        for line in self.lines:
            line.near.transport.abort()
            line.far.transport.abort()

    def mend(self) -> None:
        self.refusing = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            # Nobody listens there yet.
            writer.transport.abort()
            return
        line = _Line(writer, far_writer)
        self.lines.append(line)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._carry(line, reader, far_writer), name="proxy out")
                tasks.create_task(self._carry(line, far_reader, writer), name="proxy in")
        except* OSError:
            pass
        finally:
            self.lines.remove(line)
            writer.transport.abort()
            far_writer.transport.abort()

    @staticmethod
    async def _carry(line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not line.dead:
                writer.write(data)
                await writer.drain()
        if not line.dead:
            writer.write_eof()


@asynccontextmanager
async def tcp_proxy(target: int) -> AsyncIterator[TcpProxy]:
    """Stand between clients and a port of this machine until the block ends."""
    proxy = TcpProxy(target)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await asyncio.sleep(0)
