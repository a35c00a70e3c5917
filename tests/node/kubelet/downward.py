"""What a container gets from the objects around it: fields of its Pod, its environment, its command."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.node.kubelet.api import Object

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z0-9]+)\)")
_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")
_NAME = re.compile(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")

Contents = Callable[[str, str, str], Awaitable[dict[str, bytes] | None]]
"""(configmaps or secrets, namespace, name) → what it holds."""


class BadConfiguration(Exception):
    """A container cannot be made as its Pod says; the text is what CreateContainerConfigError says."""


def field_of(pod: Object, path: str) -> str:
    """Return a field of the Pod as the downward API gives it."""
    subscript = _SUBSCRIPT.match(path)
    if subscript:
        return str((pod["metadata"].get(subscript[1]) or {}).get(subscript[2], ""))
    if path in {"metadata.labels", "metadata.annotations"}:
        entries = pod["metadata"].get(path.split(".")[1]) or {}
        return "\n".join(f'{name}="{value}"' for name, value in sorted(entries.items()))
    found: Any = pod
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if found is None:
        raise BadConfiguration(f"unsupported fieldPath: {path}")
    return ",".join(one["ip"] for one in found) if isinstance(found, list) else str(found)


def expand(text: str, known: Mapping[str, str]) -> str:
    """Return the text with $(NAME) replaced where the name is known, and $$ by $."""
    return _REFERENCE.sub(lambda match: "$" if match[0] == "$$" else known.get(match[1], match[0]), text)


async def environment(
    pod: Object, container: Mapping[str, Any], services: Mapping[str, str], contents: Contents
) -> dict[str, str]:
    """Return the container's environment in the kubelet's order: Services, envFrom, env."""
    namespace, found = pod["metadata"]["namespace"], dict(services)
    for source in container.get("envFrom", []):
        kind, reference = _source(source)
        held = await contents(kind, namespace, reference["name"])
        if held is None and not reference.get("optional"):
            raise BadConfiguration(f'{kind.removesuffix("s")} "{reference["name"]}" not found')
        prefix = source.get("prefix", "")
        found |= {prefix + name: value.decode() for name, value in (held or {}).items() if _NAME.match(prefix + name)}
    for entry in container.get("env", []):
        value = await _value(pod, entry, found, contents)
        if value is not None:
            found[entry["name"]] = value
    return found


def service_variables(services: Mapping[tuple[str, str], Object], namespace: str, *, links: bool) -> dict[str, str]:
    """Return the variables of the API server's Service, and with `links` those of the namespace's other Services."""
    found: dict[str, str] = {}
    for (where, name), service in services.items():
        address = service["spec"].get("clusterIP")
        own = where == "default" and name == "kubernetes"
        if not address or address == "None" or not (own or (links and where == namespace)):
            continue
        ports, word = service["spec"]["ports"], name.upper().replace("-", "_")
        first = ports[0]
        found |= {f"{word}_SERVICE_HOST": address, f"{word}_SERVICE_PORT": str(first["port"])}
        found[f"{word}_PORT"] = f"{first.get('protocol', 'TCP').lower()}://{address}:{first['port']}"
        for port in ports:
            if port.get("name"):
                found[f"{word}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    return found


def _source(source: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    return ("secrets", source["secretRef"]) if "secretRef" in source else ("configmaps", source["configMapRef"])


async def _value(pod: Object, entry: Mapping[str, Any], known: Mapping[str, str], contents: Contents) -> str | None:
    source = entry.get("valueFrom")
    if source is None:
        return expand(entry.get("value", ""), known)
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    for word, kind in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
        if word in source:
            reference = source[word]
            held = await contents(kind, pod["metadata"]["namespace"], reference["name"])
            if held is not None and reference["key"] in held:
                return held[reference["key"]].decode()
            if reference.get("optional"):
                return None
            what = kind.removesuffix("s")
            if held is None:
                raise BadConfiguration(f'{what} "{reference["name"]}" not found')
            raise BadConfiguration(f"couldn't find key {reference['key']} in {what} {reference['name']}")
    raise BadConfiguration(f"env {entry['name']}: {', '.join(source)} cannot be had on this node")
