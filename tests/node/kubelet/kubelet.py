"""The kubelet: which Pods are here, what they share, and everything else that a cluster needs of a node."""

import asyncio
import logging
import re
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiohttp

from tests.node.kubelet.api import MERGE_PATCH, Api, ApiError, Object, Store
from tests.node.kubelet.container import Container, now
from tests.node.kubelet.dns import Dns, Names
from tests.node.kubelet.pod import PodWorker
from tests.node.kubelet.scheduler import Scheduler
from tests.node.kubelet.server import PORT, LogServer
from tests.node.kubelet.services import Services
from tests.node.network import DNS_HOST

log = logging.getLogger("kubelet")

_IMAGE = re.compile(r"^(?:.*/)?([^/:@]+)(?::[^/@]+)?(?:@sha256:[0-9a-f]+)?$")
_HEARTBEAT_SECONDS = 10.0
# A real one counts up the event that is there.
_SAY_AGAIN_SECONDS = 10.0
_NODE_INFO = (
    "architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion", "kubeletVersion",
    "machineID", "operatingSystem", "osImage", "systemUUID",
)  # fmt: skip
_CAPACITY = {"cpu": "2", "memory": "4Gi", "pods": "110", "ephemeral-storage": "10Gi"}


class Kubelet:
    """Every Node object of the cluster is this one. `run` never ends."""

    def __init__(self, settings: dict[str, Any], api: Api, session: aiohttp.ClientSession) -> None:
        self.folder = Path(settings["folder"])
        self.machine: dict[str, Any] = settings["machine"]
        self.api = api
        self.session = session
        self._images: dict[str, Any] = settings["images"]
        self._nodes: dict[str, str] = settings["nodes"]
        self._workers: dict[str, PodWorker] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._said: dict[tuple[str, str, str], float] = {}
        self._pods = Store(api, "/api/v1/pods", self._pod_changed)
        self._node_objects = Store(api, "/api/v1/nodes", lambda _node, _gone: self._scheduler.wake())
        self.services = Store(api, "/api/v1/services", lambda _service, _gone: self._proxy.wake())
        slices = "/apis/discovery.k8s.io/v1/endpointslices"
        self._slices = Store(api, slices, lambda _slice, _gone: self._proxy.wake())
        self._sources = {kind: Store(api, f"/api/v1/{kind}") for kind in ("secrets", "configmaps")}
        self._scheduler = Scheduler(api, self._pods.items, self._node_objects.items)
        self._proxy = Services(self.services.items, self._slices.items)

    async def run(self, ready: Path) -> None:
        """Register the nodes, serve, and work on whatever Pods are bound to them."""
        certificate, key = (self.folder / "kubelet-tls" / name for name in ("tls.crt", "tls.key"))
        dns = Dns(Names(self.services.items, self._slices.items), self.folder / "dns.log")
        await dns.start(DNS_HOST)
        await LogServer(self.find_container, self._rotate_tokens).start(certificate, key)
        for name, address in self._nodes.items():
            await self._register(name, address)
        stores = [self._node_objects, self.services, self._slices, *self._sources.values(), self._pods]
        async with asyncio.TaskGroup() as group:
            for store in stores:
                group.create_task(store.run())
            for work in (self._scheduler.run(), self._proxy.run(), self._heartbeat()):
                group.create_task(work)
            for store in stores:
                await store.synced.wait()
            await asyncio.to_thread(ready.touch)

    # What Pods ask for

    def subnet(self, node: str) -> int:
        return list(self._nodes).index(node) + 1

    def node_address(self, node: str) -> str:
        return self._nodes[node]

    def image(self, name: str) -> dict[str, Any] | None:
        """Return what stands for an image, whatever its registry, tag or digest."""
        match = _IMAGE.match(name)
        found: dict[str, Any] | None = self._images.get(match[1]) if match else None
        return found

    async def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return a Secret or ConfigMap; the API server is asked only for one that the watch has not brought."""
        known = self._sources[kind].get(namespace, name)
        if known is not None:
            return known
        try:
            found: Object = await self.api.call("GET", f"/api/v1/namespaces/{namespace}/{kind}/{name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def issue_token(self, pod: Object, audience: str | None, seconds: int) -> str:
        """Return a token of the Pod's ServiceAccount, bound to the Pod."""
        meta = pod["metadata"]
        account = pod["spec"].get("serviceAccountName", "default")
        bound = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
        spec: dict[str, Any] = {"expirationSeconds": seconds, "boundObjectRef": bound}
        if audience:
            spec["audiences"] = [audience]
        path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
        return str((await self.api.call("POST", path, {"spec": spec}))["status"]["token"])

    def event(self, pod: Object, kind: str, reason: str, message: str) -> None:
        """Post an event about a Pod, without waiting for it."""
        meta = pod["metadata"]
        key = (meta["uid"], reason, message)
        if time.monotonic() - self._said.get(key, -_SAY_AGAIN_SECONDS) < _SAY_AGAIN_SECONDS:
            return
        self._said[key] = time.monotonic()
        node = pod["spec"].get("nodeName", "")
        body = {
            "metadata": {"generateName": f"{meta['name']}.", "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": message[:1000],
            "source": {"component": "kubelet", "host": node},
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "count": 1,
        }
        log.info("%s/%s: %s %s", meta["namespace"], meta["name"], reason, message)
        self._start(self._post(f"/api/v1/namespaces/{meta['namespace']}/events", body))

    def find_container(self, namespace: str, pod: str, container: str) -> Container | None:
        found = self._pods.get(namespace, pod)
        worker = self._workers.get(found["metadata"]["uid"]) if found else None
        return worker.container(container) if worker else None

    # Inside

    def _pod_changed(self, pod: Object, gone: bool) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if gone and worker is not None:
            worker.forget()
        elif worker is not None:
            worker.update(pod)
        elif not gone and pod["spec"].get("nodeName") in self._nodes:
            worker = self._workers[uid] = PodWorker(self, pod)
            worker.update(pod)
            self._start(self._work(uid, worker))
        self._scheduler.wake()

    async def _work(self, uid: str, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception:
            log.exception("%s/%s", worker.namespace, worker.name)
        finally:
            self._workers.pop(uid, None)

    def _rotate_tokens(self) -> None:
        for worker in self._workers.values():
            worker.rotate()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, path: str, body: object) -> None:
        try:
            await self.api.call("POST", path, body)
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            # The namespace is on its way out, or the API server is: nobody waits for this.
            log.debug("event: %r", error)

    async def _register(self, name: str, address: str) -> None:
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": f"zone-{name[-1]}",
        }
        body = {"metadata": {"name": name, "labels": labels}, "spec": {"podCIDR": f"10.244.{self.subnet(name)}.0/24"}}
        await self.api.call("POST", "/api/v1/nodes", body)
        # Admission puts a taint on a new node; what takes it off on a real cluster is not running here.
        await self.api.call("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": None}}, MERGE_PATCH)
        await self._beat(name, address)

    async def _beat(self, name: str, address: str) -> None:
        condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}
        status = {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": PORT}},
            "capacity": _CAPACITY,
            "allocatable": _CAPACITY,
            "conditions": [condition | {"lastHeartbeatTime": now(), "lastTransitionTime": now()}],
            "nodeInfo": dict.fromkeys(_NODE_INFO, "test"),
        }
        await self.api.call("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, MERGE_PATCH)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            for name, address in self._nodes.items():
                try:
                    await self._beat(name, address)
                except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                    log.info("heartbeat: %r", error)
