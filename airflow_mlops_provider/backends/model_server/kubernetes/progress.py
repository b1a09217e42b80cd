"""How far a Deployment has rolled out, and why a pod of it never will be ready. Pure decisions on the API's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Why a container waits without an end, or with none that anybody should wait for.
IN_VAIN = (
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)


def rolled_out(deployment: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether all pods run what was applied and can predict, and none before them is left; and that in words."""
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    updated, available, there = (status.get(f"{name}eplicas", 0) for name in ("updatedR", "availableR", "r"))
    words = f"{updated} of {wanted} replicas are new, {available} of {there} can predict"
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return False, "the cluster has not seen it yet"
    return updated == available == there == wanted, words


def in_vain(pod: Mapping[str, Any]) -> str | None:
    """Return why a pod will not be ready by itself; None if it may be."""
    for state, status in _states(pod):
        waiting = state.get("waiting") or {}
        if waiting.get("reason") in IN_VAIN:
            said = f": {waiting['message']}" if waiting.get("message") else ""
            return f"{waiting['reason']}{said}{_ended(status)}"
    return None


def hindered(pod: Mapping[str, Any]) -> str:
    """Return what a pod that is not ready waits for, as far as it says so; with what its container died of."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"no node takes it: {condition.get('message') or condition.get('reason')}"
    for state, status in _states(pod):
        waiting = state.get("waiting") or {}
        return f"{waiting.get('reason') or 'its container runs, and is not ready'}{_ended(status)}"
    return "its container has not begun"


def has_died(pod: Mapping[str, Any]) -> bool:
    """Say whether a pod's container has ended before, so that the ended one's log says why."""
    return any((status.get("lastState") or {}).get("terminated") for _, status in _states(pod))


def _states(pod: Mapping[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return [(status.get("state") or {}, status) for status in statuses]


def _ended(status: Mapping[str, Any]) -> str:
    ended = (status.get("lastState") or {}).get("terminated")
    return f"; it ended with status {ended.get('exitCode')} ({ended.get('reason')})" if ended else ""
