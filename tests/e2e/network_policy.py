"""Sockets that a Pod was seen to open, and whether a NetworkPolicy lets them through: its rules, evaluated in Python."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LISTENS = "0A"


@dataclass(frozen=True)
class Peer:
    """Who is at the other end: a Pod with its labels and its namespace's, or only an address."""

    address: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    namespace_labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Flow:
    """A connection as a policy sees it: after the Service's address became a Pod's. `port` is the one connected to."""

    direction: str
    """egress or ingress, from the Pod that the policy is for."""
    protocol: str
    peer: Peer
    port: int


def sockets(pid: int) -> Iterator[tuple[str, int, str, int]]:
    """Yield (own address, own port, other address, other port) of the TCP connections in a process's network."""
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            own, other, state = line.split()[1:4]
            if state != _LISTENS:
                yield (*_address(own), *_address(other))


def _address(text: str) -> tuple[str, int]:
    digits, port = text.split(":")
    # Words of four bytes, each as the machine has it.
    raw = b"".join(bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    address = ipaddress.ip_address(raw)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address), int(port, 16)


def allows(policy: Mapping[str, Any], pod: Mapping[str, Any], flow: Flow) -> bool:
    """Return whether this policy, the only one that selects `pod`, lets the flow through."""
    spec = policy["spec"]
    assert selects(spec["podSelector"], pod["metadata"]["labels"]), "the policy is not for this Pod"
    if flow.direction.capitalize() not in spec["policyTypes"]:
        return True
    word = "to" if flow.direction == "egress" else "from"
    namespace = policy["metadata"]["namespace"]
    return any(
        _fits_ports(rule.get("ports"), pod, flow) and _fits_peers(rule.get(word), namespace, flow.peer)
        for rule in spec.get(flow.direction) or []
    )


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a label selector takes these labels; an empty one takes all."""
    return (selector.get("matchLabels") or {}).items() <= labels.items() and all(
        _holds(one, labels) for one in selector.get("matchExpressions") or []
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, operator = labels.get(expression["key"]), expression["operator"]
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    return bool((value in expression["values"]) == (operator == "In"))


def _fits_ports(ports: Sequence[Mapping[str, Any]] | None, pod: Mapping[str, Any], flow: Flow) -> bool:
    return not ports or any(_fits_port(one, pod, flow) for one in ports)


def _fits_port(wanted: Mapping[str, Any], pod: Mapping[str, Any], flow: Flow) -> bool:
    if wanted.get("protocol", "TCP") != flow.protocol:
        return False
    port = wanted.get("port")
    if isinstance(port, str):
        named = [one for container in pod["spec"]["containers"] for one in container.get("ports", [])]
        port = next((one["containerPort"] for one in named if one.get("name") == port), -1)
    return port is None or flow.port in range(int(port), wanted.get("endPort", port) + 1)


def _fits_peers(peers: Sequence[Mapping[str, Any]] | None, namespace: str, other: Peer) -> bool:
    return not peers or any(_fits_peer(one, namespace, other) for one in peers)


def _fits_peer(wanted: Mapping[str, Any], namespace: str, other: Peer) -> bool:
    if "ipBlock" in wanted:
        address, block = ipaddress.ip_address(other.address), wanted["ipBlock"]
        inside = address in ipaddress.ip_network(block["cidr"])
        return inside and not any(address in ipaddress.ip_network(one) for one in block.get("except", []))
    if not other.namespace:
        return False
    if "namespaceSelector" in wanted:
        there = selects(wanted["namespaceSelector"], other.namespace_labels)
    else:
        there = other.namespace == namespace
    return there and selects(wanted.get("podSelector") or {}, other.labels)
