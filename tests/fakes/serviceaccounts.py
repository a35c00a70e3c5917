"""The API server's bytes about ServiceAccounts, and an index that has read some."""

import json
from typing import Any

from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index


def index() -> Index:
    return Index("nats.io/")


def item(namespace: str, name: str, uid: str = "u1", **more: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": "7", **more}}


def page(*items: object, token: str = "", version: str = "9") -> bytes:
    metadata = {"resourceVersion": version, "continue": token}
    return json.dumps({"kind": "ServiceAccountList", "metadata": metadata, "items": items}).encode()


def line(kind: str, entry: object) -> bytes:
    return json.dumps({"type": kind, "object": entry}).encode()


def listed(*items: object) -> Index:
    held = index()
    relist = held.begin()
    relist.page(page(*items))
    relist.commit()
    return held
