"""The two processes of a real cluster, etcd and kube-apiserver, on free ports of 127.0.0.1, and how to call them."""

import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.keys import Authority, ServiceAccountKey
from tests.fakes.nats_world import free_port
from tools import build

HOST = "127.0.0.1"
ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIT_POLICY = Path(__file__).parents[2] / "examples" / "kubernetes" / "audit-policy.yaml"
_ADMIN_TOKEN = "admin-of-this-test-only"
_START_SECONDS = 60.0


class ClusterError(Exception):
    """The cluster did not do what was asked; the text has its own words."""


class ApiServer:
    """One API server over one etcd, with keys that we own. `cluster.Cluster` adds what a test wants to have in it."""

    issuer = ISSUER

    def __init__(self, folder: Path, host: str = HOST, port: int = 0) -> None:
        self.folder = folder
        self._data = folder / "etcd"
        self._host = host
        self.signing_keys = [ServiceAccountKey(), ServiceAccountKey()]
        """The first signs at start, and only it is published; `use_keys` rolls over."""
        self._published, self._signing = [0], 0
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        free, *self._etcd_ports = (free_port() for _ in range(3))
        self._port = port or free
        authority = Authority("test cluster")
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_bytes(authority.pem)
        names = [
            "kubernetes.default.svc",
            "kubernetes.default",
            ISSUER.removeprefix("https://"),
            "localhost",
            host,
        ]
        self._tls_files = authority.serve(folder, names)
        self._admin_file = folder / "admins.csv"
        self._admin_file.write_text(f'{_ADMIN_TOKEN},admin,admin,"system:masters"\n')
        self.audit_log = folder / "audit.log"
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self._kubeconfig(_ADMIN_TOKEN)))
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.ca_file)))
        # Past any proxy that the environment names: this is our own machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)

    # Life

    def start(self) -> None:
        """Start both servers and wait until the API is ready (about 6 s); raise ClusterError with the log's tail."""
        try:
            self._start_etcd()
            self._start_api()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both servers at once; their data is nobody's."""
        for name in ("kube-apiserver", "etcd"):
            self._end(name)

    def kill(self) -> None:
        """End the API server without a word, as a crash does. Data and port stay; `restart` brings it back."""
        self._end("kube-apiserver")

    def restart(self) -> None:
        """Start the API server anew, on the same port and data; it is ended first if it runs."""
        self.kill()
        self._start_api()

    def pause(self) -> None:
        """Stop the API server in its tracks: connections stay open, and nothing answers."""
        self._servers["kube-apiserver"].send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._servers["kube-apiserver"].send_signal(signal.SIGCONT)

    def copy(self) -> Path:
        """Return a copy of what etcd holds, to `restore`; etcd is away for a moment, and the API server waits for it."""
        taken = Path(tempfile.mkdtemp(dir=self.folder, prefix="copy-"))
        self._end("etcd")
        shutil.copytree(self._data, taken, dirs_exist_ok=True)
        self._start_etcd()
        self._await_ready()
        return taken

    def restore(self, taken: Path) -> None:
        """Put a copy in the place of what etcd holds, as after a disaster, and start both servers anew."""
        self.kill()
        self._end("etcd")
        shutil.rmtree(self._data)
        shutil.copytree(taken, self._data)
        self._start_etcd()
        self._start_api()

    def use_keys(self, *, published: Sequence[int], signing: int) -> None:
        """Restart with these of `signing_keys` in the key set, and one of them signing (keys are read only at start)."""
        self._published, self._signing = list(published), signing
        self.restart()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # Where it is

    @property
    def admin_token(self) -> str:
        return _ADMIN_TOKEN

    @property
    def service_host(self) -> str:
        return self._host

    @property
    def service_port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"https://{self._host}:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What the kubelet puts into every container, and where our token may therefore go."""
        return {"KUBERNETES_SERVICE_HOST": self._host, "KUBERNETES_SERVICE_PORT": str(self._port)}

    # How to call it

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as an administrator and return what it prints; raise ClusterError with what it complains of."""
        done = subprocess.run(
            [*self._command("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments],
            check=False,
            input=stdin or "",
            capture_output=True,
            text=True,
            # Its cache of API groups goes by host and port, which the next cluster may have again.
            env={**os.environ, "KUBECACHEDIR": str(self.folder / "kubectl-cache")},
        )
        if done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = _ADMIN_TOKEN,
        content_type: str = "application/json",
        timeout: float = 10.0,
    ) -> tuple[int, Any]:
        """Return status and decoded JSON (or text) of one call, as an administrator or with `token` (None: nobody)."""
        headers = {"Content-Type": content_type} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def apply(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """Return the JSON of a call that must succeed, or find that what it creates is there; else ClusterError."""
        status, answer = self.request(method, path, body, content_type=content_type)
        if status >= 300 and not (status == 409 and method == "POST"):
            raise ClusterError(f"{method} {path}: {status} {answer}")
        return answer

    # Inside

    def _kubeconfig(self, token: str) -> dict[str, object]:
        authority = base64.b64encode(self.ca_file.read_bytes()).decode()
        cluster = {"server": self.url, "certificate-authority-data": authority}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }

    def _start_etcd(self) -> None:
        client, peer = (f"http://{HOST}:{port}" for port in self._etcd_ports)
        self._run(
            "etcd",
            f"--data-dir={self._data}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )

    def _start_api(self) -> None:
        published = []
        for number in self._published:
            published.append(self.folder / f"service-accounts-{number}.pub")
            published[-1].write_bytes(self.signing_keys[number].public_pem)
        signer = self.folder / "service-accounts.key"
        signer.write_bytes(self.signing_keys[self._signing].private_pem)
        certificate, key = self._tls_files
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://{HOST}:{self._etcd_ports[0]}",
            f"--bind-address={self._host}",
            f"--secure-port={self._port}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--cert-dir={self.folder}",
            f"--audit-policy-file={AUDIT_POLICY}",
            f"--audit-log-path={self.audit_log}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self._admin_file}",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-jwks-uri={self.url}/openid/v1/jwks",
            *(f"--service-account-key-file={file}" for file in published),
            f"--service-account-signing-key-file={signer}",
            f"--api-audiences={ISSUER}",
            *self._more_flags(),
        )
        self._await_ready()

    def _more_flags(self) -> list[str]:
        """Return what depends on the cluster around the API server; here there is none."""
        return [
            # A loopback address is refused as an endpoint of the `kubernetes` Service, which nothing here needs.
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            # It would wait for a `default` ServiceAccount that no controller makes.
            "--disable-admission-plugins=ServiceAccount",
        ]

    def _command(self, name: str) -> list[str]:
        """Return how to start one of the cluster's programs."""
        return [str(program(name))]

    def _run(self, name: str, *flags: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._servers[name] = subprocess.Popen(
                [*self._command(name), *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        seen: object = None
        while time.monotonic() < deadline:
            for name, server in self._servers.items():
                if server.poll() is not None:
                    raise ClusterError(f"{name} ended with {server.returncode}:\n{self._tail(name)}")
            try:
                status, seen = self.request("GET", "/readyz")
            except OSError as error:
                status, seen = 0, error
            if status == 200:
                return
            time.sleep(0.05)
        raise ClusterError(f"the API was not ready in {_START_SECONDS:.0f} s ({seen}):\n{self._tail('kube-apiserver')}")

    def _tail(self, name: str) -> str:
        log = self.folder / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-20:])

    def _end(self, name: str) -> None:
        server = self._servers.pop(name, None)
        if server is not None:
            # SIGKILL ends a paused server, too, and a graceful end would wait for watches.
            server.kill()
            server.wait()


def program(name: str) -> Path:
    """Return one of the built programs; raise ClusterError where it is not built."""
    built = build.path(name)
    if built is None:
        raise ClusterError(f"{name} is not built: run `make tools` (minutes, once)")
    return built


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
