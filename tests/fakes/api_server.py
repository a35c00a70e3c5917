"""A kube-apiserver as far as ServiceAccounts and Namespaces go: paged lists, watches with history and bookmarks, GETs, and its faults."""

import asyncio
import copy
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Json = dict[str, Any]


@dataclass
class Seen:
    """A request as it came in. `verb` is list, watch or get."""

    verb: str
    at: float
    params: Mapping[str, str]
    authorization: str
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = ""


@dataclass(frozen=True)
class Copy:
    """A copy of the whole cluster, to go back to."""

    version: int
    objects: dict[tuple[str, str], Json]


class FakeApiServer:
    """Real HTTP on 127.0.0.1. Change what it holds with `put`, `delete`, `bookmark`, `forget` and `restore`.

    A Namespace is there once `label` made it; ServiceAccounts need none. It is kept under an empty namespace.

    `faults[verb]` answers every request of that verb instead; `once[verb]` holds faults for the next ones.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.faults: dict[str, Handler] = {}
        self.once: dict[str, list[Handler]] = {"list": [], "watch": [], "get": []}
        self.seen: list[Seen] = []
        self.tokens: set[str] | None = None
        """Accepted tokens; None accepts everybody."""
        self.version = 100
        self.spelling = ""
        """What stands before the number of every version: with it none can be compared."""
        self.streams = 0
        """Watches open right now."""
        self.answer_after = 0.0
        """Seconds that each GET takes."""
        self.getting = 0
        self.getting_most = 0
        self._objects: dict[tuple[str, str], Json] = {}
        self._history: list[tuple[int, str, Json]] = []
        self._forgotten = 0
        self._snapshots: dict[str, tuple[int, list[Json]]] = {}
        self._news = asyncio.Event()
        self._generation = 0
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    async def start(self, port: int = 0) -> "FakeApiServer":
        app = web.Application()
        app.router.add_get("/api/v1/serviceaccounts", self._collection)
        app.router.add_get("/api/v1/namespaces/{namespace}/serviceaccounts", self._collection)
        app.router.add_get("/api/v1/namespaces/{namespace}/serviceaccounts/{name}", self._one)
        app.router.add_get("/api/v1/namespaces", self._collection)
        app.router.add_get("/api/v1/namespaces/{name}", self._one)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base_url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def put(self, namespace: str, name: str, uid: str = "", **annotations: str) -> Json:
        """Create or change one. Annotation names come without their prefix `nats.io/`, with `_` for `-`."""
        metadata: Json = {"name": name, "namespace": namespace, "uid": uid or f"uid-{namespace}-{name}"}
        if annotations:
            metadata["annotations"] = {f"nats.io/{key.replace('_', '-')}": text for key, text in annotations.items()}
        return self._put(namespace, name, metadata)

    def label(self, name: str, uid: str = "", **labels: str) -> Json:
        """Create a Namespace or change its labels. Their names come without their prefix `example.com/`."""
        given = {f"example.com/{key}": text for key, text in labels.items()}
        metadata: Json = {"name": name, "uid": uid or f"uid-{name}"}
        return self._put("", name, {**metadata, "labels": {"kubernetes.io/metadata.name": name, **given}})

    def _put(self, namespace: str, name: str, metadata: Json) -> Json:
        kind = "MODIFIED" if (namespace, name) in self._objects else "ADDED"
        entry = {"metadata": metadata}
        self._objects[namespace, name] = entry
        self._happens(kind, entry)
        return entry

    def holding(self, namespace: str, name: str) -> Json | None:
        return self._objects.get((namespace, name))

    def delete(self, namespace: str, name: str) -> None:
        self._happens("DELETED", self._objects.pop((namespace, name)))

    def bookmark(self) -> None:
        self._happens("BOOKMARK", {"metadata": {}})

    def forget(self) -> None:
        """Compact: a watch from before now, and a list that goes on from before now, is 410."""
        self._forgotten = self.version
        self._snapshots.clear()

    def copy(self) -> "Copy":
        """Return what an etcd snapshot would hold now."""
        return Copy(self.version, copy.deepcopy(self._objects))

    def restore(self, old: "Copy") -> None:
        """Go back to a copy, as an API server does that is started over an etcd restored from it.

        Its history begins there: a watch from an older version is 410. One from a version that it never issued is no
        error; it hears nothing until the versions here are beyond its own. So says kube-apiserver 1.37, asked by
        tests/e2e/test_kubernetes_restore.py. Open watches stay open, as behind a proxy.
        """
        self.version, self._objects = old.version, copy.deepcopy(old.objects)
        self._history.clear()
        self.forget()

    def end_watches(self) -> None:
        """End every open watch as the server does when timeoutSeconds are over."""
        self._generation += 1
        self._wake()

    def count(self, verb: str) -> int:
        return sum(seen.verb == verb for seen in self.seen)

    def last(self, verb: str) -> Seen:
        return [seen for seen in self.seen if seen.verb == verb][-1]

    def _happens(self, kind: str, entry: Json) -> None:
        self.version += 1
        metadata = {**entry["metadata"], "resourceVersion": f"{self.spelling}{self.version}"}
        entry["metadata"] = metadata
        self._history.append((self.version, kind, {**entry, "kind": _kind(entry), "apiVersion": "v1"}))
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _receive(self, request: web.Request, verb: str) -> web.StreamResponse | None:
        authorization = request.headers.get("Authorization", "")
        now = asyncio.get_running_loop().time()
        self.seen.append(Seen(verb, now, dict(request.query), authorization, dict(request.headers), request.path))
        if self.tokens is not None and authorization.removeprefix("Bearer ") not in self.tokens:
            return status(401)
        if self.once[verb]:
            return await self.once[verb].pop(0)(request)
        if verb in self.faults:
            return await self.faults[verb](request)
        return None

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        verb = "watch" if "watch" in request.query else "list"
        fault = await self._receive(request, verb)
        if fault is not None:
            return fault
        return await self._watch(request) if verb == "watch" else self._list(request)

    def _list(self, request: web.Request) -> web.Response:
        token = request.query.get("continue")
        if token is None:
            items = [entry for entry in self._objects.values() if _is_asked_for(request, entry)]
            version, begin = self.version, 0
        else:
            snapshot, _, place = token.partition(":")
            if snapshot not in self._snapshots:
                return status(410)
            (version, items), begin = self._snapshots[snapshot], int(place)
        end = begin + int(request.query["limit"])
        metadata: Json = {"resourceVersion": f"{self.spelling}{version}"}
        if end < len(items):
            self._snapshots[str(version)] = (version, items)
            metadata["continue"] = f"{version}:{end}"
        return web.json_response(
            {"kind": _kind_of(request) + "List", "apiVersion": "v1", "metadata": metadata, "items": items[begin:end]}
        )

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        place = int(request.query["resourceVersion"].removeprefix(self.spelling))
        if place < self._forgotten:
            return await error_event(410, "Expired")(request)
        response, generation = await stream(request), self._generation
        ends = asyncio.get_running_loop().time() + float(request.query["timeoutSeconds"])
        self.streams += 1
        try:
            while generation == self._generation:
                news = self._news
                for version, kind, entry in [event for event in self._history if event[0] > place]:
                    place = version
                    if kind == "BOOKMARK" or _is_asked_for(request, entry):
                        await response.write(line(kind, entry))
                async with asyncio.timeout_at(ends):
                    await news.wait()
        except TimeoutError:
            pass
        finally:
            self.streams -= 1
        await response.write_eof()
        return response

    async def _one(self, request: web.Request) -> web.StreamResponse:
        fault = await self._receive(request, "get")
        if fault is not None:
            return fault
        self.getting += 1
        self.getting_most = max(self.getting_most, self.getting)
        try:
            await asyncio.sleep(self.answer_after)
        finally:
            self.getting -= 1
        entry = self._objects.get((request.match_info.get("namespace", ""), request.match_info["name"]))
        if entry is None:
            return status(404)
        return web.json_response({"kind": _kind(entry), "apiVersion": "v1", **entry})


def _kind(entry: Json) -> str:
    return "ServiceAccount" if "namespace" in entry["metadata"] else "Namespace"


def _kind_of(request: web.Request) -> str:
    return "ServiceAccount" if request.path.endswith("/serviceaccounts") else "Namespace"


def _is_asked_for(request: web.Request, entry: Json) -> bool:
    """Say whether a list or a watch is about this object."""
    metadata, name = entry["metadata"], request.query.get("fieldSelector", "").removeprefix("metadata.name=")
    return (
        _kind(entry) == _kind_of(request)
        and request.match_info.get("namespace") in (None, metadata.get("namespace"))
        and name in ("", metadata["name"])
    )


def line(kind: str, entry: Json) -> bytes:
    """One line of a watch."""
    return json.dumps({"type": kind, "object": entry}, separators=(",", ":")).encode() + b"\n"


async def stream(request: web.Request) -> web.StreamResponse:
    """Begin a watch's answer."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


def status(code: int, **headers: str) -> web.Response:
    """Kubernetes' answer to what it does not do."""
    names = {key.replace("_", "-"): value for key, value in headers.items()}
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code}
    return web.json_response(body, status=code, headers=names)


def answers(code: int, **headers: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return status(code, **headers)

    return handle


def body(content: bytes, code: int = 200) -> Handler:
    """Answer with these bytes, as a proxy in between may."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(body=content, status=code, content_type="text/html")

    return handle


def lines(*whole: bytes, chunk: int = 0) -> Handler:
    """A watch that says these lines, in chunks of that many bytes, and ends."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = await stream(request)
        content = b"".join(whole)
        step = chunk or max(1, len(content))
        for begin in range(0, len(content), step):
            await response.write(content[begin : begin + step])
        await response.write_eof()
        return response

    return handle


def error_event(code: int, reason: str = "") -> Handler:
    """A watch that begins well and then tells of an error."""
    return lines(line("ERROR", {"kind": "Status", "metadata": {}, "code": code, "reason": reason}))


def closes_at_once() -> Handler:
    return lines()


def resets(*whole: bytes) -> Handler:
    """A watch that says these lines and then resets the TCP connection."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = await stream(request)
        for part in whole:
            await response.write(part)
        await asyncio.sleep(0.02)
        transport = request.transport
        assert transport is not None
        # Lingering for 0 s makes the close a reset.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        return response

    return handle


def silent(after: bytes = b"") -> Handler:
    """A watch that says this and then nothing, with the connection open: what a half-open one looks like from here."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = await stream(request)
        await response.write(after)
        await asyncio.Event().wait()
        return response

    return handle


def hangs() -> Handler:
    """Accept the request and never answer, not even with headers."""

    async def handle(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    return handle
