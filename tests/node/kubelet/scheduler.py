"""Binds Pods to nodes: one that fits, with the fewest Pods of the same kind, then the fewest at all."""

import asyncio
import logging
from collections.abc import Mapping

from tests.node.kubelet.api import Api, ApiError, Key, Object

log = logging.getLogger("kubelet")


class Scheduler:
    """Looks at a Pod when it changes, and at all that wait when a node does."""

    def __init__(self, api: Api, pods: Mapping[Key, Object], nodes: Mapping[Key, Object]) -> None:
        self._api = api
        self._pods = pods
        self._nodes = nodes
        self._assumed: dict[str, str] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            for pod in list(self._pods.values()):
                meta = pod["metadata"]
                if (
                    not pod["spec"].get("nodeName")
                    and "deletionTimestamp" not in meta
                    and meta["uid"] not in self._assumed
                ):
                    await self._bind(pod)

    async def _bind(self, pod: Object) -> None:
        meta = pod["metadata"]
        node = self._choose(pod)
        if node is None:
            return
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/binding"
        self._assumed[meta["uid"]] = node
        try:
            await self._api.call(
                "POST", path, {"metadata": {"name": meta["name"], "uid": meta["uid"]}, "target": target}
            )
        except ApiError as error:
            log.warning("bind %s/%s: %s", meta["namespace"], meta["name"], error)

    def _choose(self, pod: Object) -> str | None:
        wanted = pod["spec"].get("nodeSelector") or {}
        fitting = [
            name
            for (_, name), node in sorted(self._nodes.items())
            if not node["spec"].get("unschedulable")
            and wanted.items() <= (node["metadata"].get("labels") or {}).items()
        ]
        return min(fitting, key=lambda name: self._load(pod, name)) if fitting else None

    def _load(self, pod: Object, node: str) -> tuple[int, int]:
        there = [
            one
            for one in self._pods.values()
            if self._node_of(one) == node and "deletionTimestamp" not in one["metadata"]
        ]
        return sum(_kind(one) == _kind(pod) for one in there), len(there)

    def _node_of(self, pod: Object) -> str | None:
        return pod["spec"].get("nodeName") or self._assumed.get(pod["metadata"]["uid"])


def _kind(pod: Object) -> tuple[str, str]:
    owners = pod["metadata"].get("ownerReferences") or [{"uid": pod["metadata"]["uid"]}]
    return pod["metadata"]["namespace"], owners[0]["uid"]
