"""Who is let in, and when: a few callers at a time, one every few milliseconds, each source address in turn.

The kernel's queue is in order of arrival, so that a flood of short connections would keep a kubelet's probes out; and the
connections themselves would take the loop from the logins.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable

import structlog

log = structlog.get_logger("http")

# One connection costs 0.2 to 0.4 ms: at most some 15 % of a processor's time goes to callers (bench/flood.py).
REST_SECONDS = 0.002
ACCEPTS_MAX = 16
# Accepted and not served yet; nothing is read from them. A fifth of a second's worth, less than any probe waits.
WAITING_MAX = 96
LISTEN_BACKLOG = 1024


class Door:
    """Listens on `host` (empty: all addresses, both families) and `port` (0: a free one; see `port`)."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._waiting = Waiting()
        self._listeners: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Bind and let callers in, each to a `protocol` of its own; OSError says that the address cannot be bound."""
        self._listeners = await _bound(self._host, self._port)
        works = [("http door", self._let_in(protocol))]
        works += [("http listener", self._listen(listener)) for listener in self._listeners]
        for name, work in works:
            task = asyncio.get_running_loop().create_task(work, name=name)
            task.add_done_callback(_ended)
            self._tasks.append(task)

    @property
    def port(self) -> int:
        """The bound port."""
        if not self._listeners:
            raise RuntimeError("not started")
        return int(self._listeners[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, and cut off all who wait."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        self._waiting.close()

    async def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                self._waiting.add(*await asyncio.get_running_loop().sock_accept(listener))
                with contextlib.suppress(BlockingIOError):
                    for _ in range(ACCEPTS_MAX - 1):
                        self._waiting.add(*listener.accept())
            except OSError as exc:  # a caller that is gone already, or no file descriptor left
                log.debug("http accept failed", error=type(exc).__name__)
            await asyncio.sleep(REST_SECONDS)

    async def _let_in(self, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        while True:
            caller = await self._waiting.next()
            try:
                caller.setblocking(False)
                await asyncio.get_running_loop().connect_accepted_socket(protocol, caller)
            except OSError as exc:
                caller.close()
                log.debug("http caller gone", error=type(exc).__name__)
            await asyncio.sleep(REST_SECONDS)


class Waiting:
    """Accepted sockets in fair order: each source address in turn, first come first served within one."""

    def __init__(self) -> None:
        self._by_source: dict[str, deque[socket.socket]] = {}
        self._count = 0
        self._some = asyncio.Event()

    def add(self, caller: socket.socket, address: tuple[str, int]) -> None:
        """Queue one more. Beyond WAITING_MAX the oldest of the source with the most is cut off."""
        self._by_source.setdefault(address[0], deque()).append(caller)
        self._count += 1
        if self._count > WAITING_MAX:
            self._take(max(self._by_source, key=lambda source: len(self._by_source[source]))).close()
        self._some.set()

    async def next(self) -> socket.socket:
        """Wait for somebody, and return whose turn it is."""
        while not self._by_source:
            self._some.clear()
            await self._some.wait()
        return self._take(next(iter(self._by_source)))

    def close(self) -> None:
        """Cut off all who wait."""
        while self._by_source:
            self._take(next(iter(self._by_source))).close()

    def _take(self, source: str) -> socket.socket:
        queue = self._by_source.pop(source)
        self._count -= 1
        caller = queue.popleft()
        if queue:
            self._by_source[source] = queue  # at the end: the other sources come first
        return caller


async def _bound(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets, one for each address of `host`."""
    if not host:
        listeners = [_all_addresses(port)]
    else:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listeners = []
        for family, address in dict.fromkeys((info[0], info[4]) for info in found):
            listeners.append(socket.create_server(address[:2], family=family, backlog=LISTEN_BACKLOG))
    for listener in listeners:
        listener.setblocking(False)
    return listeners


def _all_addresses(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        # Fails where IPv6 is compiled in but switched off.
        with contextlib.suppress(OSError):
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=LISTEN_BACKLOG)
    return socket.create_server(("", port), backlog=LISTEN_BACKLOG)


def _ended(task: asyncio.Task[None]) -> None:
    # Neither may end by itself; the kubelet's probes then fail, and the log says why.
    if not task.cancelled():
        log.error("http task ended", task=task.get_name(), exc_info=task.exception())
