"""A NATS server and our chart on a test node, made with the very commands of the guide."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.fakes.nats_modes import Pair, creds_text, mint
from tests.fakes.nats_world import Knock, knock
from tests.leaks import SECRETS
from tests.node import Done, Node, Pod, why_not

ROOT = Path(__file__).resolve().parents[2]
CHART = "helm/nats-k8s-oidc-callout"
NAME, NAMESPACE = "nats-k8s-oidc-callout", "nats-auth"
SELECTOR = f"app.kubernetes.io/name={NAME}"
NATS_URL = "nats://nats.nats-system.svc.cluster.local:4222"

# Word for word from the guide, section "Deploy Auth Callout Service".
INSTALL = """
# Create namespace
kubectl create namespace nats-auth

# Create secret with auth service credentials
kubectl create secret generic nats-auth-creds \\
  --namespace nats-auth \\
  --from-file=credentials=./auth-service.creds

# Install auth callout service
helm install nats-k8s-oidc-callout ./helm/nats-k8s-oidc-callout \\
  --namespace nats-auth \\
  --set nats.url="nats://nats.nats-system.svc.cluster.local:4222" \\
  --set nats.account="AUTH_ACCOUNT" \\
  --set nats.credentials.existingSecret="nats-auth-creds"
"""
# What the official NATS chart makes of a configuration, as far as a client can tell: names, labels, ports.
NATS = """
apiVersion: v1
kind: Service
metadata: {name: nats}
spec:
  selector: {app.kubernetes.io/name: nats, app.kubernetes.io/instance: nats, app.kubernetes.io/component: nats}
  ports: [{name: nats, port: 4222, targetPort: nats}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: nats}
spec:
  serviceName: nats
  selector: {matchLabels: &pod {app.kubernetes.io/name: nats, app.kubernetes.io/instance: nats, app.kubernetes.io/component: nats}}
  template:
    metadata: {labels: *pod}
    spec:
      enableServiceLinks: false
      terminationGracePeriodSeconds: 3
      containers:
        - name: nats
          image: nats:2.15-alpine
          args: [--config, /etc/nats-config/nats.conf, --http_port, "8222"]
          ports: [{name: nats, containerPort: 4222}, {name: monitor, containerPort: 8222}]
          readinessProbe: {httpGet: {path: /healthz, port: monitor}, periodSeconds: 1}
          volumeMounts: [{name: config, mountPath: /etc/nats-config}]
      volumes: [{name: config, configMap: {name: nats-config}}]
"""


class Release:
    """A node with NATS in it, and a folder that looks like a reader's checkout. `install` puts our release there."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.folder = folder
        folder.mkdir()
        # A copy: a chart that somebody edits meanwhile is not what is tested.
        shutil.copytree(ROOT / "helm", folder / "helm")

    def sh(self, script: str, timeout: float = 60) -> str:
        """Run what a guide says, in the reader's folder; return what it prints; fail where it fails."""
        done = self.try_sh(f"set -eo pipefail\n{script}", timeout)
        assert 0 == done.code, done.output
        return done.output

    def try_sh(self, script: str, timeout: float = 60) -> Done:
        return self.node.shell(script, self.folder, timeout)

    def make_creds(self, name: str = "auth-service") -> Path:
        """Write a creds file as nsc does for the callout account's user; its seed is the login and signs, too."""
        account, user = Pair.new(Kind.ACCOUNT), Pair.new(Kind.USER)
        rights = {"subs": -1, "data": -1, "payload": -1, "type": "user", "pub": {}, "sub": {}}
        text = creds_text(mint(account, user.public, name, rights), user)
        file = self.folder / f"{name}.creds"
        file.write_text(SECRETS.register("creds", text))
        return file

    def start_nats(self, namespace: str = "nats-system", configuration: str = "") -> None:
        """Run a NATS server in a new namespace, with this configuration, else what `keys` prints for our creds."""
        if not configuration:
            configuration = self.sh(f"{NAME} keys --creds-file auth-service.creds --mode config")
        (self.folder / "nats.conf").write_text(configuration)
        self.sh(f"kubectl create namespace {namespace}")
        self.sh(f"kubectl create configmap nats-config -n {namespace} --from-file=nats.conf")
        self.node.kubectl("apply", "-n", namespace, "-f", "-", input=NATS)
        self.sh(f"kubectl rollout status -n {namespace} statefulset/nats --timeout=60s", 70)

    def rolled_out(self, seconds: int = 60) -> None:
        self.sh(f"kubectl rollout status -n {NAMESPACE} deployment/{NAME} --timeout={seconds}s", seconds + 5)

    def pods(self, namespace: str = NAMESPACE) -> list[Pod]:
        """Return the release's Pods that are to stay."""
        return [pod for pod in self.node.pods(namespace, SELECTOR) if not pod.terminating]

    def metric(self, pod: Pod, name: str) -> float:
        """Return one sample of a Pod's /metrics, 0 where it has none yet."""
        text = self.sh(f"curl -sf http://{pod.ip}:8080/metrics")
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def account(self, namespace: str, name: str, **annotations: str) -> None:
        """Create a ServiceAccount, with its namespace."""
        self.node.api.create_service_account(
            namespace, name, {f"nats.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
        )

    def token(self, namespace: str, name: str, audience: str | None = "nats") -> str:
        return SECRETS.register("token", self.node.api.token(namespace, name, audience))

    def log_in(self, token: str, namespace: str = "nats-system") -> Knock:
        """Log in as a client without any library, at that namespace's NATS server, through its Service."""
        (address,) = self.sh(f"kubectl get service nats -n {namespace} -o jsonpath={{.spec.clusterIP}}").split()
        return self.node.inside(lambda: asyncio.run(knock(f"nats://{address}:4222", auth_token=token)))


@contextmanager
def release_in(folder: Path, *, image_root: Path | None = None, image_config: Any = None) -> Iterator[Release]:
    """Install our release on a node with NATS as the guide does, and wait until it is ready; or skip, saying why."""
    lacking = why_not()
    if lacking:
        pytest.skip(lacking)
    with Node(folder, image_root, image_config) as node:
        release = Release(node, folder / "checkout")
        release.make_creds()
        release.start_nats()
        release.sh(INSTALL)
        release.rolled_out()
        yield release


_shared = pytest.StashKey[Release]()


def shared_release(request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Release:
    """Return the one release of this run, on our venv. Whoever changes it puts it back: the next file has it, too."""
    config = request.config
    if _shared not in config.stash:
        stack = ExitStack()
        config.add_cleanup(stack.close)
        config.stash[_shared] = stack.enter_context(release_in(folders.mktemp("chart")))
    return config.stash[_shared]
