"""Makes a Service's address answer, as kube-proxy does: each connection goes to the next ready Pod behind it."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from tests.node.kubelet.api import Key, Object

log = logging.getLogger("kubelet")

Endpoint = tuple[str, int]
_SLICE_OF = "kubernetes.io/service-name"


class Services:
    """Listens on every Service's address while there is somebody behind it; else a connection is refused."""

    def __init__(self, services: Mapping[Key, Object], slices: Mapping[Key, Object]) -> None:
        self._services = services
        self._slices = slices
        self._behind: dict[Endpoint, list[Endpoint]] = {}
        self._servers: dict[Endpoint, asyncio.Server] = {}
        self._turn = 0
        self._wake = asyncio.Event()
        self._busy: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._behind = self._wanted()
            for front in set(self._servers) - set(self._behind):
                # Connections that are on stay on.
                self._servers.pop(front).close()
            for front in set(self._behind) - set(self._servers):
                try:
                    self._servers[front] = await asyncio.start_server(self._serve(front), *front)
                except OSError as error:
                    log.warning("service at %s:%s: %s", *front, error)

    def _wanted(self) -> dict[Endpoint, list[Endpoint]]:
        found: dict[Endpoint, list[Endpoint]] = {}
        for (namespace, name), service in self._services.items():
            address = service["spec"].get("clusterIP")
            if not address or address == "None" or (namespace, name) == ("default", "kubernetes"):
                continue
            for port in service["spec"].get("ports", []):
                behind = endpoints(self._slices, namespace, name, port.get("name", ""))
                if behind and port.get("protocol", "TCP") == "TCP":
                    found[address, port["port"]] = behind
        return found

    def _serve(self, front: Endpoint):  # type: ignore[no-untyped-def]  # noqa: ANN202 - asyncio's own callback
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            behind = self._behind.get(front, [])
            self._turn += 1
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if behind:
                    other = await asyncio.open_connection(*behind[self._turn % len(behind)])
                    await asyncio.gather(_pump(reader, other[1]), _pump(other[0], writer))
            writer.close()

        return serve


def endpoints(slices: Mapping[Key, Object], namespace: str, service: str, port: str) -> list[Endpoint]:
    """Return where a Service's ready Pods listen for this port of it."""
    found = []
    for (where, _), part in sorted(slices.items()):
        if where != namespace or part["metadata"].get("labels", {}).get(_SLICE_OF) != service:
            continue
        numbers = [one["port"] for one in part.get("ports") or [] if one.get("name", "") == port]
        for endpoint in part.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready"):
                found += [(address, number) for address in endpoint["addresses"] for number in numbers]
    return found


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        writer.transport.abort()
        return
    finally:
        with contextlib.suppress(OSError, RuntimeError):
            if writer.can_write_eof() and not writer.transport.is_closing():
                writer.write_eof()
