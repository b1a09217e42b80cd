"""Whether a pod goes on, and what ended it otherwise. The one module that knows Kubernetes' reasons and messages."""

from __future__ import annotations

import json
from dataclasses import dataclass

from airflow_mlops_provider import exceptions
from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.places.base import signal_name
from airflow_mlops_provider.places.kubernetes.decisions.facts import PodFacts

LONGEST_QUOTE = 600
LONGEST_MESSAGE = 2000
RESUMED = "a retry resumes it"
OTHER_NODE = "a retry resumes it on another node"
MORE_MEMORY = "give it more memory, or less to hold at once"
MORE_TIME = "raise execution_timeout or active_deadline_seconds, or let the job keep checkpoints to go on from"
CORRECT = "correct the pod's settings"
#: Reasons that a pod, its DisruptionTarget condition or its events give, by the error that they mean.
DISRUPTION_REASONS = {
    **dict.fromkeys(("Evicted", "EvictionByEvictionAPI", "TerminationByKubelet", "NodeShutdown"), "EvictedError"),
    **dict.fromkeys(("Preempted", "Preempting", "PreemptionByScheduler", "Terminated", "Shutdown"), "EvictedError"),
    **dict.fromkeys(("NodeLost", "DeletionByTaintManager", "DeletionByPodGC"), "NodeLostError"),
    "DeadlineExceeded": "JobTimeoutError",
}
#: The node's own refusals (``OutOfcpu``, ``OutOfnvidia.com/gpu``) say nothing of what the job needed.
REFUSED = ("OutOf", "NodeAffinity", "UnexpectedAdmissionError", "AppArmor", "TopologyAffinityError", "NodeName")
NEVER_PULLED = ("InvalidImageName", "ErrImageNeverPull")
PULLING = ("ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable")
NO_SUCH_IMAGE = ("not found", "manifest unknown", "unauthorized", "denied", "authentication required", "no match for")
CANNOT_RUN = ("StartError", "ContainerCannotRun", "RunContainerError")
BAD_CONFIG = ("CreateContainerConfigError", "CreateContainerError", *CANNOT_RUN)
PERMANENT_ERRORS = ("not found", "couldn't find key", "runasnonroot", "no command specified", "no such file", "invalid")


class Timeouts(Frozen):
    """For how many seconds what may still come is waited for.

    :param schedule: for a node; an autoscaler takes minutes to bring one with a GPU.
    :param startup: from the node to the running container: pulling the image, mounting volumes.
    :param lost: for a node that does not answer, also past the grace of a pod that is being deleted.
    :param manifest: for the manifest of a process that has ended, since a shared folder may show it late.
    :param unseen: for the Kubernetes API.
    """

    schedule: float = 1800
    startup: float = 900
    lost: float = 120
    manifest: float = 30
    unseen: float = 900


@dataclass(frozen=True)
class End:
    """What ended a pod.

    :param error: name of one of our exceptions.
    :param what: what happened, in the cluster's own words where it has some; ``then``: what to do next.
    :param retryable: None if the error's class says so.
    :param status: the exit status, where the process ended by itself and nothing explains it further.
    """

    error: str
    what: str
    then: str
    retryable: bool | None = None
    status: int | None = None

    def exception(self, note: str = "") -> MLOpsError:
        """Return the end as an exception. :param note: what else to say of what happened."""
        error: MLOpsError = getattr(exceptions, self.error)(f"{self.what}{note}; {self.then}"[:LONGEST_MESSAGE])
        if self.retryable is not None:
            error.retryable = self.retryable
        return error


def name(facts: PodFacts) -> str:
    """Return how messages call a pod."""
    return " ".join(filter(None, ("pod", facts.name, f"on node {facts.node}" if facts.node else "")))


def end_of(facts: PodFacts, waited: float, timeouts: Timeouts) -> End | None:
    """Return what ended a pod; None as long as it goes on.

    ==========  =============  =================================================================================
    phase       container      answer
    ==========  =============  =================================================================================
    (unseen)                   goes on; after ``timeouts.unseen`` :class:`BackendError`
    none        absent         evicted, preempted or its node lost, if its events say so; else :class:`JobLostError`
    any         terminated     by the container alone, whatever the phase: exit status, out of memory, evicted, …
    Succeeded   not terminated ended with status 0: all its containers have, though the status lags behind
    Failed      not terminated evicted, preempted, node lost, deadline, refused by its node; else :class:`JobLostError`
    any other, being deleted   goes on; :class:`NodeLostError` if it is still there ``timeouts.lost`` after its grace
    Unknown     not terminated goes on; after ``timeouts.lost`` :class:`NodeLostError`
    Pending or  running        goes on: a pod is pending until all its containers run, and only one does the job
    Running
    Pending or  waiting or     goes on until ``timeouts.schedule`` (:class:`UnschedulableError`), then
    Running     absent         ``timeouts.startup`` (:class:`ImagePullError`, :class:`PodSpecError`,
                               :class:`PodStartError`); at once where waiting cannot help
    ==========  =============  =================================================================================
    """
    if not facts.seen:
        return _after(waited, timeouts.unseen, End("BackendError", "the Kubernetes API does not answer", RESUMED))
    if facts.phase is None:
        gone = "the pod is gone: deleted by hand, or collected with its node"
        return _disrupted(facts) or End("JobLostError", gone, RESUMED)
    if facts.container == "terminated":
        return _exited(facts)
    if facts.phase == "Succeeded":
        return End("JobLostError", f"{name(facts)} ended with status 0", RESUMED, status=0)
    if facts.phase == "Failed":
        return _disrupted(facts) or _never_ran(facts)
    if facts.deleting or facts.phase == "Unknown":
        lost = f"{name(facts)} does not answer any more{_quote(facts.reason, facts.message)}"
        return _after(waited, timeouts.lost, End("NodeLostError", lost, OTHER_NODE))
    return None if facts.container == "running" else _starting(facts, waited, timeouts)


def out_of_time(facts: PodFacts) -> End:
    """Return the end of a pod whose task's own time is over."""
    state = facts.container if facts.container == "running" else f"{facts.container}{_quote(_hindrance(facts))}"
    return End(
        "JobTimeoutError", f"{name(facts)} was not done in the task's time; its container was {state}", MORE_TIME
    )


def _exited(facts: PodFacts) -> End:
    """Return what ended a container: out of memory first, since no other reason says what helps."""
    pod, reason = name(facts), facts.container_reason
    if reason == "OOMKilled":
        return End("OutOfMemoryError", f"{pod} was killed by the kernel: it ran out of memory", MORE_MEMORY)
    if facts.exit_code == 0:
        return End("JobLostError", f"{pod} ended with status 0", RESUMED, status=0)
    if disrupted := _disrupted(facts):
        return disrupted
    if reason == "ContainerStatusUnknown":
        return End("NodeLostError", f"{pod}: the node does not know how its container ended", OTHER_NODE)
    if reason in CANNOT_RUN:
        return End("PodSpecError", f"{pod}: its command cannot run{_quote(reason, facts.container_message)}", CORRECT)
    if facts.signal is None:
        return End("JobLostError", f"{pod} ended with status {facts.exit_code}", RESUMED, status=facts.exit_code)
    if facts.deleting:
        return End("JobLostError", f"{pod} was deleted while it ran, by hand or by a controller", RESUMED)
    return End("JobLostError", f"{pod} was killed by {signal_name(facts.signal)}", RESUMED)


def _disrupted(facts: PodFacts) -> End | None:
    """Return the end of a pod that the cluster ended, if it did."""
    for reason, message in ((facts.reason, facts.message), (facts.disruption, facts.disruption_message)):
        if error := DISRUPTION_REASONS.get(reason):
            then = MORE_TIME if error == "JobTimeoutError" else OTHER_NODE
            return End(error, f"{name(facts)} was ended by the cluster{_quote(reason, message)}", then)
    return None


def _never_ran(facts: PodFacts) -> End:
    quote = _quote(facts.reason, facts.message)
    if facts.reason.startswith(REFUSED):
        return End("PodStartError", f"{name(facts)} was refused by its node{quote}", "a retry may find another node")
    if facts.init:
        return End("PodStartError", f"{name(facts)} did not start: {facts.init}", "see that container's log")
    return End("JobLostError", f"{name(facts)} failed before its container could say how{quote}", RESUMED)


def _starting(facts: PodFacts, waited: float, timeouts: Timeouts) -> End | None:
    pod, reason, text = name(facts), facts.container_reason, facts.container_message.lower()
    quote = _quote(reason, facts.container_message)
    if reason in NEVER_PULLED:
        return End("ImagePullError", f"{pod} names an image that cannot be pulled{quote}", CORRECT, retryable=False)
    if reason in PULLING:
        if any(phrase in text for phrase in NO_SUCH_IMAGE):
            then = "correct the image's name, or give the pod the right to pull it"
            return End("ImagePullError", f"{pod} cannot pull its image{quote}", then, retryable=False)
        return _after(
            waited, timeouts.startup, End("ImagePullError", f"{pod} could not pull its image{quote}", RESUMED)
        )
    if reason in BAD_CONFIG:
        limit = 0 if any(phrase in text for phrase in PERMANENT_ERRORS) else timeouts.startup
        return _after(waited, limit, End("PodSpecError", f"{pod}: its container cannot be made{quote}", CORRECT))
    if facts.scheduled:
        what = f"{pod} did not start within {timeouts.startup:.0f} s of getting a node{_quote(_hindrance(facts))}"
        return _after(waited, timeouts.startup, End("PodStartError", what, "see the pod's events; a retry may help"))
    what = f"no node took {pod} within {timeouts.schedule:.0f} s{_quote(_hindrance(facts))}"
    then = "request less, make room, or wait longer for a node (schedule_timeout_seconds)"
    return _after(waited, timeouts.schedule, End("UnschedulableError", what, then))


def _hindrance(facts: PodFacts) -> str:
    """Return what a pod that has not started is waiting for, in the cluster's own words."""
    if not facts.scheduled:
        return facts.scheduler or "the scheduler has not said why"
    return facts.container_message or facts.warning or facts.container_reason


def _after(waited: float, limit: float, end: End) -> End | None:
    return end if waited >= limit else None


def _quote(*parts: str) -> str:
    text = ": ".join(filter(None, parts))
    return f" ({text[:LONGEST_QUOTE]})" if text else ""


def refusal(status: int, body: str | bytes) -> End:
    """Return what it means that the Kubernetes API did not take a request.

    ============  =====================================================================================
    status        answer
    ============  =====================================================================================
    403           :class:`UnschedulableError` if a quota is used up; else the role lacks a right:
                  :class:`ConfigurationError`
    401, 429, 5xx :class:`BackendError`: a token is renewed, a server comes back
    any other     :class:`PodSpecError`: 400 and 422 name the field; 404 is the namespace
    ============  =====================================================================================
    """
    quote = _quote(_status_message(body))
    if status == 403 and "exceeded quota" in quote:
        return End("UnschedulableError", f"the namespace has no quota left{quote}", "a retry helps once there is some")
    if status == 403 and "admission webhook" not in quote:
        return End("ConfigurationError", f"the Kubernetes API refuses{quote}", "give the service account that right")
    if status in {401, 429} or status >= 500:
        return End("BackendError", f"the Kubernetes API answered {status}{quote}", RESUMED)
    return End("PodSpecError", f"the Kubernetes API answered {status}{quote}", CORRECT)


def _status_message(body: str | bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
