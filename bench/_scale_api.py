"""A scripted API server in a process of its own: lists from bytes made beforehand, watches, and nothing that thinks.

    python bench/_scale_api.py SERVICEACCOUNTS CERTIFICATE KEY JWKS

It writes its port as the first line, then does what it is told on stdin, and answers each with a line:

    rate N     so many events a second into every watch of ServiceAccounts; 0: none any more
    expire     these watches hear that their version is gone, and end

As kube-apiserver does over HTTP/1.1, a list comes in chunks of 2 KiB, and each event in a chunk of its own. Of ten events
eight change a ServiceAccount but nothing that is read of it, or an annotation of ours for every tenth; the other two make
one and delete it again.
"""

import asyncio
import itertools
import json
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, parse_qs, urlsplit

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent.parent / "src")]

import uvloop  # noqa: E402  # the line above makes ours importable

from bench.serviceaccounts import account  # noqa: E402

NAMESPACES = 10_000
POOL = 2000
"""Different events; they come again and again, each with a version of its own."""
CHUNK = 2048
_NUMBER = b"9" * 18


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def namespace(number: int) -> bytes:
    """Return a Namespace as a list has it."""
    name = f"team-{number:05}"
    labels = {"kubernetes.io/metadata.name": name, "example.com/team": f"team-{number % 100}"}
    fields = {"f:metadata": {"f:labels": {".": {}, **{f"f:{key}": {} for key in labels}}}}
    managed = {"manager": "kubectl-create", "operation": "Update", "apiVersion": "v1", "fieldsV1": fields}
    metadata = {"name": name, "uid": f"01234567-89ab-cdef-4567-{number:012}", "resourceVersion": str(100 + number)}
    metadata |= {"creationTimestamp": "2026-11-24T00:00:00Z", "labels": labels, "managedFields": [managed]}
    return compact({"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})


def events(count: int) -> Iterator[tuple[str, Any]]:
    """Yield the events of one round, for as many ServiceAccounts as are listed."""
    for number in range(POOL):
        kind, one = "MODIFIED", account(number % count)
        if number % 10 == 1 and number // 10 % 2:
            one["metadata"]["annotations"]["nats.io/allowed-pub-subjects"] += ", more.>"
        if number % 10 > 7:
            kind, one = ("ADDED", "DELETED")[number % 2], account(10**7 + number // 2)
        one["metadata"]["resourceVersion"] = _NUMBER.decode()
        yield kind, {"kind": "ServiceAccount", "apiVersion": "v1", **one}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Cluster:
    """All that is listed, and who watches."""

    def __init__(self, count: int, jwks: bytes) -> None:
        self.version = 10**17
        self.jwks = jwks
        made = (account(number)["metadata"] for number in range(count))
        # In the order of their keys in etcd.
        listed = sorted(made, key=lambda one: (one["namespace"], one["name"]))
        self.items = {
            "serviceaccounts": [compact({"metadata": one}) for one in listed],
            "namespaces": [namespace(number) for number in range(min(count, NAMESPACES))],
        }
        parts = (compact({"type": kind, "object": one}).partition(_NUMBER) for kind, one in events(count))
        self._events = itertools.cycle([(before, after + b"\n") for before, _, after in parts])
        self.watches: dict[Connection, str] = {}
        self._rate: asyncio.Task[None] | None = None

    def page(self, resource: str, limit: int, begin: int) -> bytes:
        """Return a list's answer, body and head."""
        items = self.items[resource]
        kind = {"serviceaccounts": "ServiceAccountList", "namespaces": "NamespaceList"}[resource]
        end = begin + limit
        metadata: dict[str, object] = {"resourceVersion": str(self.version)}
        if end < len(items):
            metadata |= {"continue": str(end), "remainingItemCount": len(items) - end}
        head = b'{"kind":"%b","apiVersion":"v1","metadata":%b,"items":[' % (kind.encode(), compact(metadata))
        body = b"%b%b]}\n" % (head, b",".join(items[begin:end]))
        return b"".join(chunk(body[at : at + CHUNK]) for at in range(0, len(body), CHUNK)) + b"0\r\n\r\n"

    def obey(self, order: str) -> None:
        """Do what stdin said."""
        word, _, rate = order.partition(" ")
        if self._rate is not None:
            self._rate.cancel()
            self._rate = None
        if word == "rate" and int(rate):
            self._rate = asyncio.create_task(self._tell(1 / int(rate)))
        if word == "expire":
            gone = compact(
                {"type": "ERROR", "object": {"kind": "Status", "metadata": {}, "code": 410, "reason": "Expired"}}
            )
            self._to_all(gone + b"\n", end=True)

    async def _tell(self, every: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for before, after in self._events:
            due += every
            # One at a time, also when we are behind: a server flushes each.
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.version += 1
            self._to_all(b"%b%d%b" % (before, self.version, after))

    def _to_all(self, line: bytes, *, end: bool = False) -> None:
        for watch in [one for one, resource in self.watches.items() if resource == "serviceaccounts"]:
            watch.transport.write(chunk(line) + (b"0\r\n\r\n" if end else b""))
            if end:
                del self.watches[watch]


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, kept alive."""

    transport: asyncio.Transport

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._cluster.watches.pop(self, None)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while b"\r\n\r\n" in self._read:
            head, _, self._read = self._read.partition(b"\r\n\r\n")
            self._answer(urlsplit(head.split(b" ", 2)[1].decode()))

    def _answer(self, url: SplitResult) -> None:
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        resource = url.path.rpartition("/")[2]
        if resource == "jwks":
            body = self._cluster.jwks
            self.transport.write(_head(200, f"Content-Length: {len(body)}") + body)
        elif resource not in self._cluster.items:
            self.transport.write(_head(404, "Content-Length: 0"))
        elif "watch" in query:
            self.transport.write(_head(200, "Transfer-Encoding: chunked"))
            self._cluster.watches[self] = resource
        else:
            page = self._cluster.page(resource, int(query["limit"]), int(query.get("continue", "0")))
            self.transport.write(_head(200, "Transfer-Encoding: chunked") + page)


def _head(status: int, length: str) -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{length}\r\n\r\n".encode()


async def serve(count: int, tls: ssl.SSLContext, jwks: bytes) -> None:
    cluster = Cluster(count, jwks)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(cluster), "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while order := await orders.readline():
        cluster.obey(order.decode().strip())
        print("done", flush=True)


if __name__ == "__main__":
    _, certificate, key = (Path(text) for text in sys.argv[1:4])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    uvloop.run(serve(int(sys.argv[1]), context, Path(sys.argv[4]).read_bytes()))
