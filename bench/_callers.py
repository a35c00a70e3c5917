"""Callers of the health port, in a process of their own: each sends many requests in one write, reads, and comes again."""

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

CONNECTIONS_MAX = 200_000


class Callers:
    """So many callers for so many seconds. Use it as a context manager; `answers` counts at the end."""

    def __init__(self, port: int, path: str, times: int, callers: int, *, seconds: float) -> None:
        words = (port, path, times, callers, seconds)
        self._command = [sys.executable, str(Path(__file__).resolve()), *map(str, words)]
        self._process: subprocess.Popen[bytes] | None = None
        self.answers = 0

    @classmethod
    def none(cls) -> Self:
        """Return nobody."""
        return cls(0, "", 0, 0, seconds=0)

    def __enter__(self) -> Self:
        if self._command[-2] != "0":
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.answers = int(self._process.communicate(timeout=30)[0])


async def _call(port: int, sent: bytes, ends: float, count: list[int]) -> None:
    while time.monotonic() < ends and count[0] < CONNECTIONS_MAX:
        count[0] += 1
        with contextlib.suppress(OSError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + ends - time.monotonic() + 1):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(sent)
                try:
                    while said := await reader.read(1 << 18):
                        count[1] += said.count(b"HTTP/1.1 ")
                finally:
                    writer.transport.abort()
                    await asyncio.sleep(0)


async def _main(port: int, path: str, times: int, callers: int, seconds: float) -> None:
    sent = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * times
    count = [0, 0]
    await asyncio.gather(*(_call(port, sent, time.monotonic() + seconds, count) for _ in range(callers)))
    print(count[1])


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
