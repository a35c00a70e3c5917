"""The API server's bytes about Namespaces, and an index that has read some."""

import json
from typing import Any

from nats_k8s_oidc_callout.core.kubernetes.namespaces import Namespaces

TEAM, STAGE = "example.com/team", "example.com/stage"


def item(name: str, uid: str = "u1", **labels: str | None) -> dict[str, Any]:
    """Return a Namespace with a `team` and a `stage`, as far as given; every one has the label of its name."""
    given = {f"example.com/{key}": text for key, text in labels.items()}
    return {
        "metadata": {
            "name": name,
            "uid": uid,
            "resourceVersion": "7",
            "labels": {"kubernetes.io/metadata.name": name, **given},
        }
    }


def page(*items: object, kind: str = "NamespaceList") -> bytes:
    return json.dumps({"kind": kind, "metadata": {"resourceVersion": "9"}, "items": items}).encode()


def listed(*items: object) -> Namespaces:
    held = Namespaces([TEAM, STAGE])
    relist = held.begin()
    relist.page(page(*items))
    relist.commit()
    return held
