"""The real control plane inside the cluster's network: etcd, kube-apiserver, kube-controller-manager."""

import os
import signal
import time
from pathlib import Path
from typing import Any, Final

from tests.e2e.apiserver import ClusterError
from tests.e2e.cluster import Cluster
from tests.node.network import API_HOST, SERVICES, Network

# What makes a chart's objects come to life. Left out is what watches real machines and disks: it would evict from ours.
_CONTROLLERS: Final = (
    "cronjob", "daemonset", "deployment", "disruption", "endpoints", "endpointslice", "garbage-collector", "job",
    "namespace", "pod-garbage-collector", "replicaset", "root-ca-certificate-publisher", "serviceaccount",
    "statefulset", "ttl-after-finished", "clusterrole-aggregation",
)  # fmt: skip
_START_SECONDS = 30.0


class ControlPlane(Cluster):
    """An API server at 10.96.0.1:443, as Pods see it, and the controllers. Called from outside like any Cluster."""

    def __init__(self, folder: Path, network: Network) -> None:
        super().__init__(folder, API_HOST, 443)
        self._network = network

    def start(self) -> None:
        """Start everything, and wait until a namespace is filled with what every Pod needs."""
        super().start()
        try:
            self._run(
                "kube-controller-manager",
                f"--kubeconfig={self.kubeconfig}",
                f"--authentication-kubeconfig={self.kubeconfig}",
                f"--authorization-kubeconfig={self.kubeconfig}",
                f"--controllers={','.join(f'{name}-controller' for name in _CONTROLLERS)}",
                f"--root-ca-file={self.ca_file}",
                f"--cert-dir={self.folder}",
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
            )
            self._await_default_service_account()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._end("kube-controller-manager")
        super().stop()

    def request(self, method: str, path: str, body: object = None, **options: Any) -> tuple[int, Any]:
        """As ApiServer.request, from within the cluster's network."""
        call = super().request
        return self._network.inside(lambda: call(method, path, body, **options))

    def pause(self) -> None:
        self._signal("kube-apiserver", signal.SIGSTOP)

    def resume(self) -> None:
        self._signal("kube-apiserver", signal.SIGCONT)

    def _end(self, name: str) -> None:
        self._signal(name, signal.SIGKILL)
        super()._end(name)

    def _signal(self, name: str, number: signal.Signals) -> None:
        """Send it to the program itself: what we started is nsenter, which waits outside for it."""
        outer = self._servers.get(name)
        if outer is not None and outer.poll() is None:
            for child in Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split():
                os.kill(int(child), number)

    def _command(self, name: str) -> list[str]:
        return self._network.enter(*super()._command(name))

    def _more_flags(self) -> list[str]:
        return [
            f"--service-cluster-ip-range={SERVICES}",
            f"--advertise-address={API_HOST}",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _await_default_service_account(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        wanted = ("serviceaccounts/default", "configmaps/kube-root-ca.crt")
        while any(self.request("GET", f"/api/v1/namespaces/default/{path}")[0] != 200 for path in wanted):
            if self._servers["kube-controller-manager"].poll() is not None or time.monotonic() > deadline:
                raise ClusterError(f"no controllers:\n{self._tail('kube-controller-manager')}")
            time.sleep(0.05)
