"""The life of one container: started, probed, restarted when it ends, stopped in the order that Kubernetes promises."""

import asyncio
import datetime
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.node.kubelet.downward import BadConfiguration
from tests.node.kubelet.probes import Prober
from tests.node.kubelet.process import Process, start

if TYPE_CHECKING:
    from tests.node.kubelet.pod import PodWorker

# A real kubelet begins at 10 s and ends at 5 min; tests have not got the time.
_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0)
_RETRY_SECONDS = 1.0


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Container:
    """One container of a Pod; `state` and `last_state` are as the API shows them."""

    def __init__(self, worker: "PodWorker", spec: Mapping[str, Any], *, init: bool = False) -> None:
        self.worker = worker
        self.spec = spec
        self.name: str = spec["name"]
        self.init = init
        self._waits_for_others = init or bool(worker.pod["spec"].get("initContainers"))
        self.restarts = 0
        self.ready = False
        self.started = False
        self.state: dict[str, Any] = {
            "waiting": {"reason": "PodInitializing" if self._waits_for_others else "ContainerCreating"}
        }
        self.last_state: dict[str, Any] = {}
        self.process: Process | None = None
        self.started_at = 0.0
        self._stopping: asyncio.Task[None] | None = None

    @property
    def log(self) -> Path:
        return self.worker.folder / f"{self.name}.log"

    @property
    def previous_log(self) -> Path:
        # Until it runs again, the run before is the last one.
        return self._kept_log if self.process else self.log

    @property
    def _kept_log(self) -> Path:
        return self.worker.folder / f"{self.name}.previous.log"

    @property
    def sidecar(self) -> bool:
        return self.init and self.spec.get("restartPolicy") == "Always"

    @property
    def exit_code(self) -> int | None:
        """Of the last run, when it is over and none is on."""
        return int(self.state["terminated"]["exitCode"]) if "terminated" in self.state else None

    async def run(self) -> None:
        """Run it, and again as the Pod's restartPolicy says; return once it has ended for good."""
        while not self.worker.is_ending():
            code = await self._once()
            if code is None:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if self.worker.is_ending() or not self._again(code):
                return
            await self._back_off()

    async def stop(self, seconds: float) -> None:
        """Run the preStop hook, send SIGTERM, and SIGKILL once the grace period is over, hook included."""
        process = self.process
        if process is None:
            return
        deadline = time.monotonic() + seconds
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        if hook:
            try:
                async with asyncio.timeout(seconds):
                    good, said = await self._prober(process).attempt(hook, seconds)
                    if not good:
                        self.worker.event("Warning", "FailedPreStopHook", said)
            except TimeoutError:
                self.worker.event("Warning", "FailedPreStopHook", "the hook took the whole grace period")
        self.worker.event("Normal", "Killing", f"Stopping container {self.name}")
        process.signal(signal.SIGTERM)
        while self.process is process and time.monotonic() < deadline and not self.worker.gone:
            await asyncio.sleep(0.02)
        process.signal(signal.SIGKILL)
        while self.process is process:
            await asyncio.sleep(0.01)

    def status(self) -> dict[str, Any]:
        """Return what the Pod's status says of it."""
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": self.spec["image"],
            "containerID": f"process://{self.process.pid}" if self.process else "",
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last_state,
        }

    # Inside

    async def _once(self) -> int | None:
        """Run it once; return its exit code, None when it could not be started."""
        try:
            order = await self.worker.order(self)
            if self.log.exists():
                self.log.replace(self._kept_log)
            process = await start(order, self.log)
        except BadConfiguration as error:
            reason, _, message = str(error).rpartition("::")
            self._wait_for(reason or "CreateContainerConfigError", message)
            self.worker.event("Warning", "Failed", message)
            return None
        self.process = process
        self.started_at = time.time()
        began = now()
        self.started = not self.spec.get("startupProbe")
        self.ready = self.started and not self.spec.get("readinessProbe") and (not self.init or self.sidecar)
        self.state = {"running": {"startedAt": began}}
        self.worker.event("Normal", "Started", f"Container started: {self.name}")
        self.worker.changed()
        async with asyncio.TaskGroup() as group:
            probes = group.create_task(self._probe(process))
            code = await process.wait()
            probes.cancel()
        self.process = None
        self.ready = self.started = False
        reason = "Completed" if code == 0 else "Error"
        if self.init and code == 0:
            self.ready = True
        ended = {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": now()}
        if code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            ended["message"] = "".join(self.log.read_text(errors="replace").splitlines(keepends=True)[-80:])[-2048:]
        self.state = {"terminated": ended}
        self.worker.changed()
        return code

    async def _probe(self, process: Process) -> None:
        prober = self._prober(process)
        hook = (self.spec.get("lifecycle") or {}).get("postStart")
        if hook:
            good, said = await prober.attempt(hook, 30)
            if not good:
                self._kill(f"FailedPostStartHook: {said}")
        startup = self.spec.get("startupProbe")
        if startup:
            begun = asyncio.Event()

            async def on_startup(good: bool, said: str) -> None:
                if good:
                    begun.set()
                else:
                    self._kill(f"Startup probe failed: {said}")

            async with asyncio.TaskGroup() as group:
                attempts = group.create_task(prober.watch(startup, on_startup))
                await begun.wait()
                attempts.cancel()
            self.started = True
        self.ready = not self.spec.get("readinessProbe") and (not self.init or self.sidecar)
        self.worker.changed()
        async with asyncio.TaskGroup() as group:
            for name, report in (("readinessProbe", self._on_readiness), ("livenessProbe", self._on_liveness)):
                if self.spec.get(name):
                    group.create_task(prober.watch(self.spec[name], report))

    def _prober(self, process: Process) -> Prober:
        return Prober(self.worker.session, self.spec, self.worker.address, process)

    async def _on_readiness(self, good: bool, said: str) -> None:
        if not good:
            self.worker.event("Warning", "Unhealthy", f"Readiness probe failed: {said}")
        if good != self.ready:
            self.ready = good
            self.worker.changed()

    async def _on_liveness(self, good: bool, said: str) -> None:
        if not good:
            self._kill(f"Liveness probe failed: {said}")

    def _kill(self, why: str) -> None:
        self.worker.event("Warning", "Unhealthy", why)
        if self._stopping is None or self._stopping.done():
            grace = self.worker.pod["spec"].get("terminationGracePeriodSeconds", 30)
            self._stopping = asyncio.create_task(self.stop(grace))

    def _again(self, code: int) -> bool:
        policy = "Always" if self.sidecar else self.worker.pod["spec"].get("restartPolicy", "Always")
        if self.init and not self.sidecar:
            return code != 0 and policy != "Never"
        return policy == "Always" or (policy == "OnFailure" and code != 0)

    async def _back_off(self) -> None:
        delay = _BACKOFF_SECONDS[min(self.restarts, len(_BACKOFF_SECONDS) - 1)]
        self.last_state = self.state
        self.restarts += 1
        self._wait_for("CrashLoopBackOff", f"back-off {delay} s restarting failed container={self.name}")
        self.worker.event("Warning", "BackOff", f"Back-off restarting failed container {self.name}")
        await asyncio.sleep(delay)

    def _wait_for(self, reason: str, message: str) -> None:
        self.state = {"waiting": {"reason": reason, "message": message}}
        self.worker.changed()
