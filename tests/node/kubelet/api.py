"""The API server as the kubelet calls it: one call, and a list that a watch keeps up to date."""

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp

Object = dict[str, Any]
Key = tuple[str, str]
MERGE_PATCH = "application/merge-patch+json"
_LONGEST_LINE = 16 * 1024 * 1024

log = logging.getLogger("kubelet")


class ApiError(Exception):
    """The API server said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """Calls with the administrator's token: what a kubelet may do is not what these tests are about."""

    def __init__(self, url: str, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
        self.authority = authority.decode()
        self._tls = ssl.create_default_context(cadata=self.authority)
        self._token = config["users"][0]["user"]["token"]
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._token}"},
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            read_bufsize=_LONGEST_LINE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session

    async def call(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """Return the JSON of the answer; raise ApiError for any other status than success."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        timeout = aiohttp.ClientTimeout(total=10)
        async with self.session.request(method, self._url + path, data=data, headers=headers, timeout=timeout) as got:
            answer = await got.json(content_type=None)
            if got.status >= 300:
                raise ApiError(got.status, str(answer.get("message", answer)))
            return answer

    async def watch(self, path: str, version: str, seen: Callable[[str, Object], None]) -> None:
        """Report every event after `version` until the server ends the watch or has forgotten the version."""
        query = f"{path}?watch=1&resourceVersion={version}&timeoutSeconds=600"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with self.session.get(self._url + query, timeout=timeout) as got:
            async for line in got.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                seen(event["type"], event["object"])


class Store:
    """Everything of one kind, kept up to date. `changed` hears of each object that is new, other or gone (gone=True)."""

    def __init__(self, api: Api, path: str, changed: Callable[[Object, bool], None] | None = None) -> None:
        self._api = api
        self._path = path
        self._changed = changed or (lambda _object, _gone: None)
        self.items: dict[Key, Object] = {}
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """List, then watch; again for ever, whatever the server does."""
        while True:
            try:
                listed = await self._api.call("GET", self._path)
                self._replace(listed["items"])
                self.synced.set()
                await self._api.watch(self._path, listed["metadata"]["resourceVersion"], self._apply)
            except (ApiError, aiohttp.ClientError, TimeoutError, ValueError) as error:
                log.warning("watch of %s: %r", self._path, error)
                await asyncio.sleep(0.5)

    def get(self, namespace: str, name: str) -> Object | None:
        return self.items.get((namespace, name))

    def _replace(self, items: list[Object]) -> None:
        gone = set(self.items) - {key_of(item) for item in items}
        for key in gone:
            self._changed(self.items.pop(key), True)
        for item in items:
            self._apply("MODIFIED", item)

    def _apply(self, event: str, item: Object) -> None:
        if event == "BOOKMARK":
            return
        gone = event == "DELETED"
        if gone:
            self.items.pop(key_of(item), None)
        else:
            self.items[key_of(item)] = item
        self._changed(item, gone)


def key_of(item: Mapping[str, Any]) -> Key:
    meta = item["metadata"]
    return meta.get("namespace", ""), meta["name"]
