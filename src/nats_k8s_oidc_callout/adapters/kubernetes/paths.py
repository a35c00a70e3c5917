"""Where the API server has what we ask for: the list of a kind, and one object of it."""

from typing import Any
from urllib.parse import quote

from nats_k8s_oidc_callout.core.kubernetes.wire import NAMESPACES, Kind


def collection(kind: Kind[Any], scope: str | None) -> tuple[str, dict[str, str]]:
    """Return path and parameters of a list or a watch: of all, of what is in a namespace, or of one Namespace alone.

    The field selector lets RBAC decide by the Namespace's name, which is how a scoped release gets that right.
    """
    if scope is None:
        return f"/api/v1/{kind.resource}", {}
    if kind is NAMESPACES:
        return "/api/v1/namespaces", {"fieldSelector": f"metadata.name={scope}"}
    return f"/api/v1/namespaces/{quote(scope, safe='')}/{kind.resource}", {}


def single(kind: Kind[Any], namespace: str, name: str = "") -> str:
    """Return the path of one object: of `name` in the namespace, or of the Namespace itself."""
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}"
    return path if kind is NAMESPACES else f"{path}/{kind.resource}/{quote(name, safe='')}"
