"""The official NATS chart as far as our guides use it: which server configuration its values become.

The chart itself is not here. What it does was read in its templates (files/config/*.yaml, `nats.formatConfig`) and tried
with it: it builds one document, lays `merge` over it, prints it as JSON, takes the quotes off `<< … >>`, and turns a key
that ends in `$include` into an include. It has no schema: **a value that it does not know is dropped without a word**,
and `dropped` finds those.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RELEASE, DATA, INCLUDES = "nats", "/data", "/etc/nats-config"
_FREE = None
"""Below this anything goes."""

_PATCHED: dict[str, Any] = {"merge": _FREE, "patch": _FREE}
_TLS = {"enabled": _FREE, "secretName": _FREE, "dir": _FREE, "cert": _FREE, "key": _FREE, **_PATCHED}
_PVC = {"enabled": _FREE, "size": _FREE, "storageClassName": _FREE, "name": _FREE, **_PATCHED}
_LISTENER = {"enabled": _FREE, "port": _FREE, "tls": _TLS, **_PATCHED}
_NAMED = {"name": _FREE, **_PATCHED}
_CONTAINER = {"image": _FREE, "env": _FREE, "ports": _FREE, **_PATCHED}
KNOWN: Mapping[str, Any] = {
    **dict.fromkeys(("nameOverride", "fullnameOverride", "namespaceOverride", "global", "tlsCA", "extraResources")),
    "config": {
        "cluster": {**_LISTENER, "replicas": _FREE, "routeURLs": _FREE},
        "jetstream": {
            "enabled": _FREE,
            "fileStore": {"enabled": _FREE, "dir": _FREE, "pvc": _PVC, "maxSize": _FREE},
            "memoryStore": {"enabled": _FREE, "maxSize": _FREE},
            **_PATCHED,
        },
        "nats": {"port": _FREE, "tls": _TLS},
        **dict.fromkeys(("leafnodes", "mqtt", "gateway"), _LISTENER),
        "websocket": {**_LISTENER, "ingress": _FREE},
        "monitor": {"enabled": _FREE, "port": _FREE, "tls": _FREE},
        "profiling": {"enabled": _FREE, "port": _FREE},
        "resolver": {"enabled": _FREE, "dir": _FREE, "pvc": _PVC, **_PATCHED},
        "serverNamePrefix": _FREE,
        **_PATCHED,
    },
    "container": _CONTAINER,
    "reloader": {**_CONTAINER, "enabled": _FREE, "natsVolumeMountPrefixes": _FREE},
    "promExporter": {**_CONTAINER, "enabled": _FREE, "port": _FREE, "podMonitor": _FREE, "monitorDomain": _FREE},
    "service": {**_NAMED, "enabled": _FREE, "ports": _FREE},
    "statefulSet": _NAMED,
    "podTemplate": {"configChecksumAnnotation": _FREE, "topologySpreadConstraints": _FREE, **_PATCHED},
    "headlessService": _NAMED,
    "configMap": _NAMED,
    "podDisruptionBudget": {**_NAMED, "enabled": _FREE},
    "serviceAccount": {**_NAMED, "enabled": _FREE},
    "natsBox": {
        **dict.fromkeys(("enabled", "contexts", "defaultContextName")),
        "container": _CONTAINER,
        **dict.fromkeys(("deployment", "contextsSecret", "contentsSecret", "serviceAccount"), _NAMED),
        "podTemplate": _PATCHED,
    },
}
"""Every value that the chart reads (2.14)."""

_DEFAULTS: Mapping[str, Any] = {
    "cluster": {"enabled": False, "replicas": 3, "port": 6222},
    "jetstream": {
        "enabled": False,
        "fileStore": {"enabled": True, "dir": DATA, "pvc": {"size": "10Gi"}},
        "memoryStore": {"enabled": False, "maxSize": "1Gi"},
    },
    "nats": {"port": 4222},
    "monitor": {"enabled": True, "port": 8222},
    "resolver": {"enabled": False, "dir": f"{DATA}/resolver", "pvc": {"enabled": True, "size": "1Gi"}},
}
_UNQUOTED = re.compile(r'"<<\s+(.*?)\s+>>"')
_INCLUDE = re.compile(r'"[^"\n]*\$include": "(.*)",?')


@dataclass(frozen=True, slots=True)
class Rendered:
    """What becomes of values."""

    config: str
    """nats.conf, the same in every pod; each has its own $SERVER_NAME."""
    document: Mapping[str, Any]
    replicas: int
    dropped: Sequence[str]
    """Paths of the values that the chart ignores."""
    restarts: bool
    """Whether a change of it restarts the pods by itself."""
    includes: Sequence[str]
    """Files that it includes, with their paths in the container."""


def render(values: Mapping[str, Any], release: str = RELEASE) -> Rendered:
    """Return the configuration that the chart makes of these values (`helm install nats nats/nats -f …`)."""
    config = over(_DEFAULTS, values.get("config") or {})
    replicas = int(config["cluster"]["replicas"]) if config["cluster"]["enabled"] else 1
    document: dict[str, Any] = {
        "lame_duck_duration": "30s",
        "lame_duck_grace_period": "10s",
        "pid_file": "/var/run/nats/nats.pid",
        "port": config["nats"]["port"],
        "server_name": "<< $SERVER_NAME >>",
    }
    if config["monitor"]["enabled"]:
        document["http_port"] = config["monitor"]["port"]
    if config["cluster"]["enabled"]:
        port = config["cluster"]["port"]
        routes = [f"nats://{release}-{number}.{release}-headless:{port}" for number in range(replicas)]
        block = {"name": release, "no_advertise": True, "port": port, "routes": routes}
        document["cluster"] = over(block, config["cluster"].get("merge") or {})
    if config["jetstream"]["enabled"]:
        document["jetstream"] = over(_stores(config["jetstream"]), config["jetstream"].get("merge") or {})
    if config["resolver"]["enabled"]:
        document["resolver"] = over({"dir": config["resolver"]["dir"]}, config["resolver"].get("merge") or {})
    document = over(document, config.get("merge") or {})
    text = _UNQUOTED.sub(r"\1", _INCLUDE.sub(r"include \1;", json.dumps(document, indent=2, sort_keys=True)))
    includes = [_clean(f"{INCLUDES}/{name}") for name in _INCLUDE.findall(json.dumps(document, indent=2))]
    restarts = bool((values.get("podTemplate") or {}).get("configChecksumAnnotation", False))
    return Rendered(f"{text}\n", document, replicas, list(dropped(values)), restarts, includes)


def dropped(values: Mapping[str, Any], known: Mapping[str, Any] = KNOWN, path: str = "") -> Iterator[str]:
    """Yield the path of each value that the chart does not read."""
    for name, value in values.items():
        here = f"{path}{name}"
        if name not in known:
            yield here
        elif known[name] is not _FREE and isinstance(value, Mapping):
            yield from dropped(value, known[name], f"{here}.")


def _stores(jetstream: Mapping[str, Any]) -> dict[str, Any]:
    file, memory = jetstream["fileStore"], jetstream["memoryStore"]
    block: dict[str, Any] = {"max_memory_store": f"<< {memory['maxSize']} >>" if memory["enabled"] else 0}
    if file["enabled"]:
        block |= {"store_dir": file["dir"], "max_file_store": f"<< {file.get('maxSize') or file['pvc']['size']} >>"}
    else:
        block["max_file_store"] = 0
    return block


def over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another as Helm does: mappings are merged, all else is replaced, null takes away."""
    merged = {name: copy.deepcopy(value) for name, value in base.items() if top.get(name, value) is not None}
    for name, value in top.items():
        if value is None:
            continue
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = over(merged[name], value) if both else copy.deepcopy(value)
    return merged


def _clean(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def server_configuration(values: Mapping[str, Any], release: str = RELEASE) -> str:
    """Return nats.conf; raise ValueError where the chart would drop a value without a word."""
    rendered = render(values, release)
    if rendered.dropped:
        raise ValueError(f"the NATS chart has no value {', '.join(rendered.dropped)}, and would say nothing")
    return rendered.config
