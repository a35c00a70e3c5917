"""A real Kubernetes API server for tests: etcd and kube-apiserver on free ports of 127.0.0.1, with keys that we own.

It serves TokenRequest, the key set, RBAC, list and watch for real. There is no kubelet and no controller: a
ServiceAccount called `default` never appears, a deleted namespace hangs in Terminating but for `delete_namespace`, and nothing starts pods.
All calls block; an async test may wrap those that matter in `asyncio.to_thread`.
"""

import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.apiserver import ApiServer, ClusterError
from tests.e2e.keys import ServiceAccountKey

__all__ = ["Cluster", "ClusterError"]

_MERGE_PATCH = "application/merge-patch+json"


class Cluster(ApiServer):
    """One API server over one etcd. `with Cluster(folder) as cluster:` starts both and ends both."""

    namespace, service_account = "nats-auth", "nats-k8s-oidc-callout"
    """Where the responder lives, as `apply_rbac` sets it up."""

    def create_namespace(self, name: str) -> None:
        self.apply("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    def label_namespace(self, name: str, labels: Mapping[str, str | None]) -> None:
        """Set labels of a namespace, which is made where it is missing; None removes one."""
        self.create_namespace(name)
        self.apply("PATCH", f"/api/v1/namespaces/{name}", {"metadata": {"labels": dict(labels)}}, _MERGE_PATCH)

    def delete_namespace(self, name: str) -> None:
        """Delete an empty namespace to its end, which is a controller's work elsewhere."""
        path = f"/api/v1/namespaces/{name}"
        self.apply("DELETE", path)
        self.apply("PUT", f"{path}/finalize", {"metadata": {"name": name}, "spec": {"finalizers": []}})

    def create_service_account(self, namespace: str, name: str, annotations: Mapping[str, str] | None = None) -> str:
        """Create a ServiceAccount, and its namespace where that is missing; return its uid."""
        self.create_namespace(namespace)
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.apply("POST", accounts, {"metadata": {"name": name, "annotations": dict(annotations or {})}})
        return self.uid(namespace, name)

    def delete_service_account(self, namespace: str, name: str) -> None:
        self.apply("DELETE", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")

    def annotate(self, namespace: str, name: str, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of a ServiceAccount; None removes one."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}"
        self.apply("PATCH", path, {"metadata": {"annotations": dict(annotations)}}, content_type=_MERGE_PATCH)

    def uid(self, namespace: str, name: str) -> str:
        answer = self.apply("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
        return str(answer["metadata"]["uid"])

    def create_pod(self, namespace: str, name: str, service_account: str) -> str:
        """Create a Pod object (nothing runs it) that a token can be bound to; return its uid."""
        spec = {"serviceAccountName": service_account, "containers": [{"name": "app", "image": "app"}]}
        pods = f"/api/v1/namespaces/{namespace}/pods"
        self.apply("POST", pods, {"metadata": {"name": name}, "spec": spec})
        return str(self.apply("GET", f"{pods}/{name}")["metadata"]["uid"])

    def apply_rbac(self) -> None:
        """Set up the responder's own ServiceAccount and exactly the rights that the chart gives it."""
        self.create_service_account(self.namespace, self.service_account)
        group = "/apis/rbac.authorization.k8s.io/v1"
        rules = [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "list", "watch"]}]
        self.apply("POST", f"{group}/clusterroles", {"metadata": {"name": self.service_account}, "rules": rules})
        subject = {"kind": "ServiceAccount", "namespace": self.namespace, "name": self.service_account}
        for name, role in (
            (self.service_account, self.service_account),
            (f"{self.service_account}-discovery", "system:service-account-issuer-discovery"),
        ):
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
            body = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
            self.apply("POST", f"{group}/clusterrolebindings", body)

    # Tokens

    def token(
        self,
        namespace: str,
        name: str,
        audience: str | None = "nats",
        duration: int = 3600,
        *,
        pod: tuple[str, str] | None = None,
    ) -> str:
        """Return a token from TokenRequest; `audience` None is the API server's own, `pod` a (name, uid) to bind it to.

        `duration` is in seconds, at least 600: that is the API server's own floor.
        """
        spec: dict[str, object] = {"expirationSeconds": duration}
        if audience is not None:
            spec["audiences"] = [audience]
        if pod is not None:
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod[0], "uid": pod[1]}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return str(self.apply("POST", path, {"spec": spec})["status"]["token"])

    def credentials_dir(self, namespace: str, name: str, duration: int = 3600) -> Path:
        """Return a folder as the kubelet mounts it (token, ca.crt, namespace); call it again to rotate the token in it.

        As the kubelet does it, the names are links through `..data`, and one rename of that link swaps all of them.
        """
        mount = self.folder / "mounts" / namespace / name
        version = mount / f"..{uuid.uuid4().hex}"
        version.mkdir(parents=True)
        (version / "token").write_text(self.token(namespace, name, None, duration))
        (version / "ca.crt").write_bytes(self.ca_file.read_bytes())
        (version / "namespace").write_text(namespace)
        fresh = mount / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.replace(mount / "..data")
        for file in ("token", "ca.crt", "namespace"):
            if not (mount / file).is_symlink():
                (mount / file).symlink_to(f"..data/{file}")
        return mount

    def claims(self, namespace: str, name: str, **changes: object) -> dict[str, object]:
        """Return the claims of a good token for `nats`, an hour long; `changes` replace members, None removes one."""
        now = int(time.time())
        account = {"name": name, "uid": self.uid(namespace, name)}
        good: dict[str, object] = {
            "aud": ["nats"],
            "exp": now + 3600,
            "iat": now,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": account},
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return {member: value for member, value in (good | changes).items() if value is not None}

    def sign_token(
        self,
        claims: Mapping[str, object],
        header: Mapping[str, object] | None = None,
        key: ServiceAccountKey | None = None,
    ) -> str:
        """Return a token over any claims, signed with the cluster's own key unless `key` is given."""
        return (key or self.signing_keys[self._signing]).sign(claims, header)
