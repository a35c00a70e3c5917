"""Bytes to the log device, never an exception and never a wait: logging must not stop logins.

Lines are gathered and written together (one write of 400 B costs 5 µs here, gathered 0.3), at the latest
after 100 ms; warnings go at once and take along what waits. A device that is full, closed or not read
loses lines, which are counted; the rest of the process does not notice.
"""

import asyncio
import select
import threading
from collections import deque
from typing import Protocol

FLUSH_SECONDS = 0.1
GATHER_BYTES = 16 * 1024
BACKLOG_BYTES = 1024 * 1024
# A pipe that poll calls writable takes this much without blocking (PIPE_BUF, pipe(7)).
CHUNK_BYTES = 4096


class Device(Protocol):
    """What we need of a binary stream: an unbuffered write, and a descriptor where there is one."""

    def write(self, data: bytes, /) -> int | None: ...
    def fileno(self) -> int: ...


class Output:
    """Writes whole lines to `device`. `lost` counts the lines that the device did not take."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._unfinished = b""
        self._lock = threading.Lock()
        self._timer_on: asyncio.AbstractEventLoop | None = None
        self._poll = _writable(device)
        self.lost = 0

    def write(self, line: bytes, urgent: bool = True) -> None:
        """Take one line (its newline included); `urgent` ones are on the device when this returns."""
        if self._bytes > BACKLOG_BYTES:
            self.lost += 1
            urgent = True
        else:
            self._waiting.append(line)
            self._bytes += len(line)
        if urgent or self._bytes >= GATHER_BYTES:
            self.flush()
        if self._waiting or self._unfinished:
            self._flush_later()

    def flush(self) -> None:
        """Write what waits, as far as the device takes it without waiting."""
        with self._lock:
            while self._waiting or self._unfinished:
                if not self._unfinished:
                    self._unfinished = self._gather()
                try:
                    if self._poll is not None and not self._poll.poll(0):
                        return
                    taken = self._device.write(self._unfinished[:CHUNK_BYTES])
                except BlockingIOError:
                    return
                except (OSError, ValueError):
                    # Full (ENOSPC), gone (EPIPE) or closed (ValueError): keep nothing for it.
                    self.lost += self._unfinished.count(b"\n") + len(self._waiting)
                    self._unfinished = b""
                    self._waiting.clear()
                    self._bytes = 0
                    return
                if taken is None:
                    return
                self._unfinished = self._unfinished[taken:]

    def close(self) -> None:
        """Flush for the last time. The device stays open: it is the process's own."""
        self.flush()
        with self._lock:
            self.lost += self._unfinished.count(b"\n") + len(self._waiting)
            self._unfinished = b""
            self._waiting.clear()
            self._bytes = 0

    def _gather(self) -> bytes:
        lines: list[bytes] = []
        size = 0
        while self._waiting and (not lines or size + len(self._waiting[0]) <= CHUNK_BYTES):
            line = self._waiting.popleft()
            lines.append(line)
            size += len(line)
        self._bytes -= size
        return b"".join(lines)

    def _flush_later(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Start, exit or another thread: nobody would come back for it.
            self.flush()
            return
        if self._timer_on is not loop:
            self._timer_on = loop
            loop.call_later(FLUSH_SECONDS, self._on_timer)

    def _on_timer(self) -> None:
        self._timer_on = None
        self.flush()
        if self._waiting or self._unfinished:
            self._flush_later()


def _writable(device: Device) -> "select.poll | None":
    try:
        poll = select.poll()
        poll.register(device.fileno(), select.POLLOUT)
    except (OSError, ValueError, AttributeError):
        return None
    return poll
