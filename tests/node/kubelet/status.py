"""A Pod's status, computed from its containers as a kubelet computes it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tests.node.kubelet.container import now

if TYPE_CHECKING:
    from tests.node.kubelet.container import Container


def phase_of(inits: Sequence["Container"], mains: Sequence["Container"], policy: str) -> str:
    """Return the Pod's phase."""
    if any(one.exit_code not in {None, 0} for one in inits if not one.sidecar) and policy == "Never":
        return "Failed"
    codes = [one.exit_code for one in mains]
    if policy != "Always" and all(code is not None for code in codes):
        if all(code == 0 for code in codes):
            return "Succeeded"
        if policy == "Never":
            return "Failed"
    if any("running" in one.state or one.restarts or one.exit_code is not None for one in mains):
        return "Running"
    return "Pending"


def status_of(
    before: dict[str, Any],
    inits: Sequence["Container"],
    mains: Sequence["Container"],
    *,
    policy: str,
    address: str,
    host: str,
    started: str,
) -> dict[str, Any]:
    """Return the Pod's status; conditions that did not change keep their time."""
    phase = phase_of(inits, mains, policy)
    initialized = all(one.started or one.ready for one in inits)
    over = phase in {"Succeeded", "Failed"}
    ready = bool(mains) and all(one.ready for one in mains) and all(one.ready for one in inits if one.sidecar)
    unready = [one.name for one in mains if not one.ready]
    reason = "PodCompleted" if over else "ContainersNotReady"
    why = {} if ready else {"reason": reason, "message": f"containers with unready status: [{' '.join(unready)}]"}
    conditions = {
        "PodReadyToStartContainers": (bool(address), {}),
        "Initialized": (initialized, {} if initialized else {"reason": "ContainersNotInitialized"}),
        "Ready": (ready, why),
        "ContainersReady": (ready, why),
    }
    known = {one["type"]: one for one in before.get("conditions", [])}
    listed = [known["PodScheduled"]] if "PodScheduled" in known else []
    for kind, (holds, more) in conditions.items():
        value = "True" if holds else "False"
        old = known.get(kind, {})
        changed = old["lastTransitionTime"] if old.get("status") == value else now()
        listed.append({"type": kind, "status": value, "lastProbeTime": None, "lastTransitionTime": changed, **more})
    return {
        "phase": phase,
        "conditions": listed,
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "startTime": started,
        "initContainerStatuses": [one.status() for one in inits],
        "containerStatuses": [one.status() for one in mains],
    } | ({"podIP": address, "podIPs": [{"ip": address}]} if address else {})
