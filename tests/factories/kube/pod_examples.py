"""Pods as the Kubernetes API shows them, by what is special about each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

TIME = "2024-01-01T00:00:00Z"
BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
STATES: dict[str, dict[str, Any]] = {
    "waiting": {"waiting": {"reason": "ContainerCreating"}},
    "running": {"running": {"startedAt": TIME}},
    "exit 0": {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": TIME}},
    "exit 1": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": TIME}},
    "root full": {"terminated": {"exitCode": 74, "reason": "Error", "finishedAt": TIME}},
    "out of memory": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": TIME}},
    "killed": {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": TIME}},
}


def pod(
    phase: str, container: str | dict[str, Any] = "absent", *, deleting: bool = False, **more: Any
) -> dict[str, Any]:
    """Return a pod. What it waits for, if anything, began on 2024-01-01.

    :param container: a name of ``STATES``, a state of its own, or ``absent``.
    :param more: fields of its status.
    """
    state = STATES.get(container) if isinstance(container, str) else container
    scheduled = phase != "Pending" or state is not None
    conditions = {"PodScheduled": "True" if scheduled else "False", "Ready": "False"}
    known = [{"type": kind, "status": is_so, "lastTransitionTime": TIME} for kind, is_so in conditions.items()]
    containers = [{"name": "side", "state": STATES["running"]}, *([{"name": "base", "state": state}] if state else [])]
    return {
        "metadata": {"name": "pod-1", "uid": "1-2-3", "creationTimestamp": TIME}
        | ({"deletionTimestamp": TIME} if deleting else {}),
        "spec": {"nodeName": "node-1"} if scheduled else {},
        "status": {"phase": phase, "containerStatuses": containers}
        | more
        | {"conditions": [*known, *more.get("conditions", ())]},
    }


def event(reason: str, message: str, minute: int = 0, kind: str = "Warning") -> dict[str, Any]:
    """Return an event about the pod."""
    moment = (BEGAN + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"reason": reason, "message": message, "type": kind, "lastTimestamp": moment}
