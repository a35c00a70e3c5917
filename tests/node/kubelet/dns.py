"""The cluster's DNS: Services and the Pods behind them, over UDP and TCP. What it does not know, nobody knows.

Every question goes into a log, `ADDRESS PORT PROTOCOL NAME` a line: that a Pod asked is how a test sees that it must be
allowed to.
"""

import asyncio
import ipaddress
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from tests.node.kubelet.api import Key, Object

_DOMAIN: Final = ".svc.cluster.local"
_A, _NO_ERROR, _NO_SUCH_NAME = 1, 0x8580, 0x8583
_SLICE_OF = "kubernetes.io/service-name"


class Names:
    """What names mean."""

    def __init__(self, services: Mapping[Key, Object], slices: Mapping[Key, Object]) -> None:
        self._services = services
        self._slices = slices

    def look_up(self, name: str) -> list[str] | None:
        """Return the addresses of a name, in any case; None when there is no such name."""
        name = name.lower().rstrip(".")
        if not name.endswith(_DOMAIN):
            return None
        parts = name.removesuffix(_DOMAIN).split(".")
        if len(parts) not in {2, 3}:
            return None
        service = self._services.get((parts[-1], parts[-2]))
        if service is None:
            return None
        if len(parts) == 2 and service["spec"].get("clusterIP") not in {None, "None"}:
            return [service["spec"]["clusterIP"]]
        found = [
            address
            for (namespace, _), part in self._slices.items()
            if namespace == parts[-1] and part["metadata"].get("labels", {}).get(_SLICE_OF) == parts[-2]
            for endpoint in part.get("endpoints") or []
            if (endpoint.get("conditions") or {}).get("ready")
            and (len(parts) == 2 or endpoint.get("hostname") == parts[0])
            for address in endpoint["addresses"]
        ]
        return found if found or len(parts) == 2 else None


def answer(question: bytes, names: Names) -> tuple[bytes, str]:
    """Return the answer to one message with one question, and the name that was asked for."""
    number, _, questions = struct.unpack("!HHH", question[:6])
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace"))
        at += 1 + question[at]
    (kind,) = struct.unpack("!H", question[at + 1 : at + 3])
    asked, name = question[12 : at + 5], ".".join(labels)
    found = names.look_up(name)
    addresses = (found or []) if kind == _A else []
    flags = _NO_SUCH_NAME if found is None else _NO_ERROR
    records = b"".join(
        # A pointer to the name in the question; type, class, five seconds to live.
        b"\xc0\x0c" + struct.pack("!HHIH", _A, 1, 5, 4) + ipaddress.IPv4Address(address).packed
        for address in addresses
    )
    return struct.pack("!HHHHHH", number, flags, questions, len(addresses), 0, 0) + asked + records, name


class Dns(asyncio.DatagramProtocol):
    """Answers on one address."""

    def __init__(self, names: Names, log: Path) -> None:
        self._names = names
        self._log = log.open("a", buffering=1)
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self, host: str) -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, (host, 53))
        await asyncio.start_server(self._serve, host, 53)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # In Python 3.11 it is one by its methods only, not by its class.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        said = self._say(data, addr, "UDP")
        if said and self._transport is not None:
            self._transport.sendto(said, addr)

    def _say(self, data: bytes, peer: tuple[str, int], protocol: str) -> bytes:
        try:
            said, name = answer(data, self._names)
        except (struct.error, IndexError):
            return b""
        self._log.write(f"{peer[0]} 53 {protocol} {name}\n")
        return said

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                said = self._say(await reader.readexactly(length), writer.get_extra_info("peername"), "TCP")
                writer.write(struct.pack("!H", len(said)) + said)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
