"""What the Kubernetes API says of a pod, reduced to the facts that decide its end. On the API's own JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, get_args

from airflow_mlops_provider.lifecycle.frozen import Frozen

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]
PHASES: tuple[Phase, ...] = get_args(Phase)
CONTAINER = "base"
#: Events that outlive their pod and say why it is gone, with the reason that its own status would have given.
TERMINATION_EVENTS = {
    "Preempted": "PreemptionByScheduler",
    "Preempting": "PreemptionByScheduler",
    "Evicted": "Evicted",
    "TaintManagerEviction": "DeletionByTaintManager",
    "NodeNotReady": "NodeLost",
    "NodeShutdown": "NodeShutdown",
}


class PodFacts(Frozen):
    """One look at a pod. Empty texts: the API does not say.

    :param seen: whether the API answered at all; everything else is unknown otherwise, see :data:`UNSEEN`.
    :param phase: None if there is no such pod (any more).
    :param reason, message: the pod's own, for example ``Evicted`` or ``DeadlineExceeded``.
    :param container: state of the job's container; ``absent`` if the API lists none.
    :param container_reason, container_message: of that state, or of the init container that holds it up.
    :param exit_code, signal: of a container that has ended.
    :param scheduled: whether a node was found; ``scheduler`` is what the scheduler says as long as not.
    :param disruption: why the cluster ends the pod: reason of its ``DisruptionTarget`` condition, or of an event.
    :param init: which init container failed and how, in words.
    :param warning: the newest warning among the pod's events.
    :param deleting: its deletion was requested; ``since`` is when its grace is over.
    :param since: when what is now waited for began: the pod's creation, its node, its end, its last sign of life.
    """

    seen: bool = True
    name: str = ""
    node: str = ""
    phase: Phase | None = None
    reason: str = ""
    message: str = ""
    container: Literal["absent", "waiting", "running", "terminated"] = "absent"
    container_reason: str = ""
    container_message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    scheduled: bool = False
    scheduler: str = ""
    disruption: str = ""
    disruption_message: str = ""
    init: str = ""
    warning: str = ""
    deleting: bool = False
    since: datetime | None = None

    def waited(self, now: datetime) -> float:
        """Return for how many seconds the pod has been waiting for what comes next; 0 if the API gives no time."""
        return max(0.0, (now - self.since).total_seconds()) if self.since else 0.0


UNSEEN = PodFacts(seen=False)


def observe(pod: dict[str, Any] | None, events: Sequence[dict[str, Any]] = ()) -> PodFacts:
    """Return what the API says of a pod.

    :param pod: a v1 Pod as the API's JSON (camelCase); None if the API answers 404.
    :param events: the pod's v1 Events, in any order; they explain a pod that is gone, and one that cannot start.
    """
    newest_last = sorted(events, key=_moment)
    if pod is None:
        return PodFacts(**_termination_event(newest_last), warning=_warning(newest_last))
    meta, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    placed = conditions.get("PodScheduled", {})
    disruption = conditions.get("DisruptionTarget", {})
    scheduled = placed.get("status") == "True" or bool(spec.get("nodeName"))
    facts = {
        "name": meta.get("name") or "",
        "node": spec.get("nodeName") or "",
        "phase": status["phase"] if status.get("phase") in PHASES else "Unknown",
        "reason": status.get("reason") or "",
        "message": status.get("message") or "",
        "scheduled": scheduled,
        "scheduler": "" if scheduled else _scheduler(placed, newest_last),
        "init": _failed_init(status),
        "warning": _warning(newest_last),
        "deleting": bool(meta.get("deletionTimestamp")),
        **_container(status),
    }
    if disruption.get("status") == "True":
        facts |= {"disruption": disruption.get("reason") or "", "disruption_message": disruption.get("message") or ""}
    return PodFacts(**{"since": _since(meta, conditions, facts), **facts})


def _container(status: dict[str, Any]) -> dict[str, Any]:
    """Return the state of the job's container alone; if an init container holds it up, with that one's reason."""
    listed = {entry["name"]: entry for entry in status.get("containerStatuses") or ()}
    kind, state = _state(listed[CONTAINER]) if CONTAINER in listed else ("absent", {})
    if kind in {"absent", "waiting"} and (held_up := _waiting_init(status)):
        kind, state = "waiting", held_up
    number = state.get("exitCode")
    facts = {
        "container": kind,
        "container_reason": state.get("reason") or "",
        "container_message": state.get("message") or "",
        "exit_code": number,
        "signal": state.get("signal") or (number - 128 if number and 128 < number <= 192 else None),
    }
    return facts | {"since": state["finishedAt"]} if state.get("finishedAt") else facts


def _state(container: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    state = container.get("state") or {}
    if (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff":  # a template that restarts: it has ended
        state = container.get("lastState") or state
    kind = next((kind for kind in ("terminated", "running", "waiting") if state.get(kind) is not None), "waiting")
    return kind, state.get(kind) or {}


def _waiting_init(status: dict[str, Any]) -> dict[str, Any]:
    states = map(_state, status.get("initContainerStatuses") or ())
    return next((state for kind, state in states if kind == "waiting" and state.get("reason") != "PodInitializing"), {})


def _failed_init(status: dict[str, Any]) -> str:
    for entry in status.get("initContainerStatuses") or ():
        kind, state = _state(entry)
        if kind == "terminated" and state.get("exitCode"):
            return f"init container {entry['name']!r} ended with status {state['exitCode']} ({state.get('reason', '')})"
    return ""


def _scheduler(placed: dict[str, Any], events: Sequence[dict[str, Any]]) -> str:
    messages = [event.get("message") or "" for event in events if event.get("reason") == "FailedScheduling"]
    return str(placed.get("message") or (messages[-1] if messages else ""))


def _termination_event(events: Sequence[dict[str, Any]]) -> dict[str, str]:
    for event in reversed(events):
        if reason := TERMINATION_EVENTS.get(event.get("reason", "")):
            return {"disruption": reason, "disruption_message": event.get("message") or ""}
    return {}


def _warning(events: Sequence[dict[str, Any]]) -> str:
    warnings = [event for event in events if event.get("type") == "Warning"]
    return f"{warnings[-1].get('reason', '')}: {warnings[-1].get('message', '')}" if warnings else ""


def _since(meta: dict[str, Any], conditions: dict[str, Any], facts: dict[str, Any]) -> Any:
    """Return when what the pod now waits for began, as the API writes it."""
    if facts["deleting"]:
        return meta["deletionTimestamp"]  # the API adds the grace that was given
    if facts["phase"] != "Pending":
        return None if facts["phase"] == "Running" else conditions.get("Ready", {}).get("lastTransitionTime")
    placed = conditions.get("PodScheduled", {})
    return (placed.get("lastTransitionTime") if facts["scheduled"] else None) or meta.get("creationTimestamp")


def _moment(event: dict[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp") or "")
