"""The life of one Pod on the node: network, volumes, containers, its status, and its end."""

import asyncio
import json
import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.node.kubelet.api import MERGE_PATCH, ApiError, Object
from tests.node.kubelet.container import Container, now
from tests.node.kubelet.downward import BadConfiguration, environment, service_variables
from tests.node.kubelet.process import Order, identity
from tests.node.kubelet.root import Mount, PodFiles
from tests.node.kubelet.sandbox import Sandbox
from tests.node.kubelet.status import status_of
from tests.node.kubelet.volumes import NotThere, Volumes, contents
from tests.node.network import DNS_HOST, SEARCH

if TYPE_CHECKING:
    from tests.node.kubelet.kubelet import Kubelet

log = logging.getLogger("kubelet")

_REFRESH_SECONDS = 1.0
_RETRY_SECONDS = 0.5


class PodWorker:
    """One Pod. `run` is its life; `update` and `forget` tell it what the API server knows."""

    def __init__(self, kubelet: "Kubelet", pod: Object) -> None:
        self.kubelet = kubelet
        self.pod = pod
        self.namespace, self.name, self.uid = (pod["metadata"][part] for part in ("namespace", "name", "uid"))
        self.folder: Path = kubelet.folder / "pods" / self.uid
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ending = self.gone = False
        self._deleted, self._dirty = asyncio.Event(), asyncio.Event()
        self._started = now()
        self._sandbox = Sandbox(kubelet.subnet(pod["spec"]["nodeName"]))
        self._volumes = Volumes(self.folder / "volumes", kubelet.folder / "claims", kubelet.find, kubelet.issue_token)
        spec = pod["spec"]
        self.inits = [Container(self, one, init=True) for one in spec.get("initContainers", [])]
        self.mains = [Container(self, one) for one in spec["containers"]]
        self._networked = False

    @property
    def session(self) -> aiohttp.ClientSession:
        return self.kubelet.session

    @property
    def address(self) -> str:
        return self._sandbox.address

    def container(self, name: str) -> Container | None:
        return next((one for one in [*self.mains, *self.inits] if one.name == name), None)

    def update(self, pod: Object) -> None:
        self.pod = pod
        if "deletionTimestamp" in pod["metadata"]:
            self._deleted.set()

    def forget(self) -> None:
        """The object is gone: end at once."""
        self.gone = True
        self._deleted.set()

    def is_ending(self) -> bool:
        return self._ending

    def changed(self) -> None:
        self._dirty.set()

    def event(self, kind: str, reason: str, message: str) -> None:
        self.kubelet.event(self.pod, kind, reason, message)

    def rotate(self) -> None:
        self._volumes.forget_tokens()

    async def run(self) -> None:
        """Live until the Pod is deleted, then clean up and let the API server forget it."""
        publisher = asyncio.create_task(self._publish_changes())
        life = asyncio.create_task(self._live())
        try:
            await self._deleted.wait()
            self._ending = True
            grace = self.pod["metadata"].get("deletionGracePeriodSeconds", 30)
            await asyncio.gather(*(one.stop(0 if self.gone else grace) for one in [*self.mains, *self.inits]))
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            await self._publish()
        finally:
            for task in (life, publisher):
                task.cancel()
            await asyncio.gather(life, publisher, return_exceptions=True)
            await self._sandbox.stop()
            for part in ("roots", "volumes"):
                await asyncio.to_thread(shutil.rmtree, self.folder / part, ignore_errors=True)
        if not self.gone:
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
            await self._call("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{self.name}", options)

    async def order(self, container: Container) -> Order:
        """Return all that a start of the container needs; raise BadConfiguration with what is wrong."""
        spec = container.spec
        image = self.kubelet.image(spec["image"])
        if image is None:
            raise BadConfiguration(f"ErrImagePull::no such image on this node: {spec['image']}")
        links = self.pod["spec"].get("enableServiceLinks", True)
        services = service_variables(self.kubelet.services.items, self.namespace, links=links)
        pod = {**self.pod, "status": {**self.pod["status"], **self._status()}}
        env = {"HOSTNAME": self.name} | await environment(pod, spec, services, self._contents)
        mounts = []
        for mount in spec.get("volumeMounts", []):
            source = self._volumes.place(mount["name"]) / mount.get("subPath", "")
            if mount.get("subPath") and not source.exists():
                source.mkdir(parents=True)
            # The real path: a subPath stays with the version that it was at the start, as in Kubernetes.
            fixed = source.resolve() if mount.get("subPath") else source
            mounts.append(Mount(fixed, mount["mountPath"], bool(mount.get("readOnly"))))
        return Order(
            folder=self.folder,
            name=container.name,
            image=image,
            machine=self.kubelet.machine,
            container=spec,
            env=env,
            identity=identity(self.pod, spec, image["user"]),
            files=self._files(),
            mounts=mounts,
            network=self._sandbox.pid,
        )

    # Inside

    async def _live(self) -> None:
        self.changed()
        await self._sandbox.start()
        self._networked = True
        self._write_files()
        while True:
            try:
                await self._volumes.write(self.pod)
                break
            except (NotThere, ApiError, BadConfiguration) as error:
                self.event("Warning", "FailedMount", f"MountVolume.SetUp failed for volume: {error}")
                await asyncio.sleep(_RETRY_SECONDS)
        async with asyncio.TaskGroup() as group:
            refresh = group.create_task(self._refresh())
            sidecars = []
            for one in self.inits:
                one.state = {"waiting": {"reason": "ContainerCreating"}}
                task = group.create_task(one.run())
                if one.sidecar:
                    sidecars.append(task)
                    while not one.started:
                        await asyncio.sleep(0.02)
                else:
                    await task
                    if one.exit_code != 0:
                        refresh.cancel()
                        return
            mains = [group.create_task(one.run()) for one in self.mains]
            await asyncio.wait(mains)
            for task in [*sidecars, refresh]:
                task.cancel()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            try:
                await self._volumes.write(self.pod)
            except (NotThere, ApiError, aiohttp.ClientError, TimeoutError) as error:
                # What is mounted stays as it is.
                log.info("%s/%s: %s", self.namespace, self.name, error)

    def _files(self) -> PodFiles:
        return PodFiles(*(self.folder / name for name in ("hosts", "resolv.conf", "hostname")))

    def _write_files(self) -> None:
        spec, files = self.pod["spec"], self._files()
        host = spec.get("hostname", self.name)
        domain = f" {host}.{spec['subdomain']}.{self.namespace}.svc.cluster.local" if spec.get("subdomain") else ""
        lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost", f"{self.address}{domain} {host}"]
        lines += [f"{one['ip']}\t{' '.join(one['hostnames'])}" for one in spec.get("hostAliases", [])]
        files.hosts.write_text("\n".join(lines) + "\n")
        files.hostname.write_text(f"{host}\n")
        config = spec.get("dnsConfig") or {}
        clusters = spec.get("dnsPolicy", "ClusterFirst") != "None"
        servers = ([DNS_HOST] if clusters else []) + config.get("nameservers", [])
        search = (SEARCH.format(namespace=self.namespace).split() if clusters else []) + config.get("searches", [])
        options = {"ndots": "5"} if clusters else {}
        options |= {one["name"]: one.get("value", "") for one in config.get("options", [])}
        words = [f"{name}:{value}" if value else name for name, value in options.items()]
        text = [f"nameserver {one}" for one in servers] + [f"search {' '.join(search)}", f"options {' '.join(words)}"]
        files.resolv_conf.write_text("\n".join(text) + "\n")

    async def _contents(self, kind: str, namespace: str, name: str) -> dict[str, bytes] | None:
        found = await self.kubelet.find(kind, namespace, name)
        return None if found is None else contents(found, kind)

    def _status(self) -> dict[str, Any]:
        return status_of(
            self.pod["status"],
            self.inits,
            self.mains,
            policy=self.pod["spec"].get("restartPolicy", "Always"),
            address=self.address if self._networked else "",
            host=self.kubelet.node_address(self.pod["spec"]["nodeName"]),
            started=self._started,
        )

    async def _publish_changes(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._publish()

    async def _publish(self) -> None:
        status = self._status()
        known = {
            one.name: {"pid": one.process.pid if one.process else 0, "started": one.started_at}
            for one in [*self.inits, *self.mains]
        }
        aside = self.folder / "state.json.new"
        aside.write_text(json.dumps(known))
        aside.replace(self.folder / "state.json")
        if not self.gone:
            path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}/status"
            await self._call("PATCH", path, {"metadata": {"uid": self.uid}, "status": status}, MERGE_PATCH)
            # The next status is computed against this one, whether the watch has brought it or not.
            self.pod = {**self.pod, "status": {**self.pod["status"], **status}}

    async def _call(self, method: str, path: str, body: object, content_type: str = "application/json") -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                await self.kubelet.api.call(method, path, body, content_type)
            except ApiError as error:
                if error.status not in {404, 409}:
                    log.warning("%s %s: %s", method, path, error)
            except (aiohttp.ClientError, TimeoutError) as error:
                if time.monotonic() < deadline:
                    log.info("%s %s: %r", method, path, error)
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
            return
