"""An API server for bench/memory.py: lists of so many ServiceAccounts over TLS, silent watches, and the issuer's keys."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Self

from aiohttp import web

from bench._storm_world import ACCOUNTS as WORKLOADS
from bench._storm_world import workload
from bench.serviceaccounts import account
from tests.fakes.authority import Authority
from tests.fakes.issuer import Issuer


class ApiServer:
    """It runs in a thread of its own: use it as a context manager. `variables` lead a responder there."""

    def __init__(self, count: int, folder: Path, jwks: bytes | None = None) -> None:
        """It has the ServiceAccounts of the storm's tokens, and `count` more, as Helm leaves them."""
        folder.mkdir()
        self._folder, self._authority = folder, Authority()
        self._jwks = jwks or Issuer().jwks()
        for name, content in (("token", b"mounted"), ("namespace", b"auth"), ("ca.crt", self._authority.certificate)):
            (folder / name).write_bytes(content)
        named = (dict(zip(("namespace", "name", "uid"), workload(n), strict=True)) for n in range(WORKLOADS))
        every = [*({"metadata": one} for one in named), *(account(n) for n in range(count))]
        self._items = [json.dumps(one).encode() for one in every]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.variables: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        where = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
        jwks = f"https://127.0.0.1:{port}/openid/v1/jwks"
        self.variables = where | {"K8S_CREDENTIALS_DIR": str(self._folder), "JWKS_URL": jwks}
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _start(self) -> int:
        app = web.Application()
        app.router.add_get("/openid/v1/jwks", self._keys)
        app.router.add_get("/api/v1/serviceaccounts", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        tls = self._authority.server_context(self._folder)
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        return int(self._runner.addresses[0][1])

    async def _keys(self, _: web.Request) -> web.Response:
        return web.Response(body=self._jwks, content_type="application/jwk-set+json")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            await asyncio.sleep(3600)
            return response
        begin = int(request.query.get("continue") or 0)
        end = begin + int(request.query["limit"])
        metadata = {"resourceVersion": "99", "continue": str(end) if end < len(self._items) else ""}
        head = f'{{"kind":"ServiceAccountList","apiVersion":"v1","metadata":{json.dumps(metadata)},"items":['
        body = head.encode() + b",".join(self._items[begin:end]) + b"]}"
        return web.Response(body=body, content_type="application/json")
