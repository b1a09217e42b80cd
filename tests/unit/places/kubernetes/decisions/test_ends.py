"""Each way in which a cluster ends a pod, by the class of error that it means and what helps."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from airflow_mlops_provider.places.kubernetes.decisions.ends import Timeouts, refusal
from airflow_mlops_provider.places.kubernetes.decisions.facts import observe
from airflow_mlops_provider.places.kubernetes.decisions.table import PodVerdict, conclude
from tests.factories.kube.pod_examples import BEGAN, STATES, event, pod

GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available."


def ended(code: int, reason: str, message: str = "") -> dict[str, Any]:
    """Return the state of a container that has ended."""
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def stuck(reason: str, message: str = "") -> dict[str, Any]:
    """Return the state of a container that waits."""
    return {"waiting": {"reason": reason, "message": message}}


def target(reason: str) -> dict[str, Any]:
    """Return the condition of a pod that the cluster ends."""
    return {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "it must go"}]}


class Case(NamedTuple):
    """A pod, the error that it means, and words of the message."""

    error: str
    pod: dict[str, Any]
    said: str = ""
    retryable: bool = True
    events: tuple[dict[str, Any], ...] = ()


MANIFEST_UNKNOWN = "manifest for trainer:1 not found: manifest unknown"
NO_SECRET = 'secret "s3" not found'
LOW = "The node was low on resource: memory."
INIT = {"name": "fetch", "state": ended(2, "Error")}
INIT_IMAGE = {"name": "fetch", "state": stuck("ErrImageNeverPull")}
RESTARTED = {"name": "base", "state": stuck("CrashLoopBackOff"), "lastState": ended(137, "OOMKilled")}
ENDS = {
    "out of memory": Case("OutOfMemoryError", pod("Failed", ended(137, "OOMKilled")), "give it more memory"),
    "out of memory, evicted": Case("OutOfMemoryError", pod("Failed", ended(137, "OOMKilled"), reason="Evicted")),
    "out of memory, restarts": Case("OutOfMemoryError", pod("Running", containerStatuses=[RESTARTED])),
    "SIGKILL, no reason": Case("JobLostError", pod("Failed", ended(137, "Error")), "does not say why: out of memory"),
    "SIGTERM": Case("JobLostError", pod("Failed", ended(143, "Error")), "SIGTERM"),
    "SIGSEGV": Case("JobLostError", pod("Failed", ended(139, "Error")), "SIGSEGV"),
    "deleted by hand": Case("JobLostError", pod("Running", ended(137, "Error"), deleting=True), "was deleted"),
    "its own status": Case("JobLostError", pod("Failed", ended(3, "Error")), "status 3 and left no manifest"),
    "evicted": Case("EvictedError", pod("Failed", reason="Evicted", message=LOW), LOW),
    "evicted as it ran": Case("EvictedError", pod("Failed", ended(143, "Error"), reason="Evicted"), "Evicted"),
    "drained": Case("EvictedError", pod("Failed", ended(143, "Error"), **target("EvictionByEvictionAPI")), "must go"),
    "preempted": Case("EvictedError", pod("Failed", ended(143, "Error"), **target("PreemptionByScheduler")), "Preem"),
    "node shut down": Case("EvictedError", pod("Failed", "running", reason="Terminated"), "another node"),
    "tainted node": Case("NodeLostError", pod("Failed", "running", **target("DeletionByTaintManager")), "another node"),
    "orphaned": Case("NodeLostError", pod("Failed", "running", **target("DeletionByPodGC"))),
    "node lost": Case("NodeLostError", pod("Failed", "running", reason="NodeLost"), "NodeLost"),
    "node forgot": Case("NodeLostError", pod("Failed", ended(137, "ContainerStatusUnknown")), "does not know how"),
    "node silent": Case("NodeLostError", pod("Running", "running", deleting=True), "does not answer"),
    "deadline": Case("JobTimeoutError", pod("Failed", ended(143, ""), reason="DeadlineExceeded"), "active_deadline"),
    "node full": Case("PodStartError", pod("Failed", reason="OutOfmemory"), "refused by its node (OutOfmemory)"),
    "GPU taken": Case("PodStartError", pod("Failed", reason="UnexpectedAdmissionError"), "refused by its node"),
    "bad image": Case("ImagePullError", pod("Pending", stuck("InvalidImageName")), "InvalidImageName", False),
    "never pulled": Case("ImagePullError", pod("Pending", stuck("ErrImageNeverPull")), "", False),
    "no such image": Case(
        "ImagePullError", pod("Pending", stuck("ErrImagePull", MANIFEST_UNKNOWN)), MANIFEST_UNKNOWN, False
    ),
    "no right": Case(
        "ImagePullError", pod("Pending", stuck("ImagePullBackOff", "401 Unauthorized")), "right to", False
    ),
    "no registry": Case("ImagePullError", pod("Pending", stuck("ImagePullBackOff", "i/o timeout")), "i/o timeout"),
    "no secret": Case("PodSpecError", pod("Pending", stuck("CreateContainerConfigError", NO_SECRET)), NO_SECRET, False),
    "not made": Case("PodSpecError", pod("Pending", stuck("CreateContainerError", "try again")), "try again", False),
    "no command": Case("PodSpecError", pod("Failed", ended(128, "StartError", "pyhton: not found")), "pyhton", False),
    "no node": Case("UnschedulableError", pod("Pending"), GPU, True, (event("FailedScheduling", GPU),)),
    "no volume": Case(
        "PodStartError", pod("Pending", "waiting"), "no claim", True, (event("FailedMount", "no claim"),)
    ),
    "init container": Case(
        "PodStartError",
        pod("Failed", stuck("PodInitializing"), initContainerStatuses=[INIT]),
        "'fetch' ended with status 2",
    ),
    "init container's image": Case(
        "ImagePullError",
        pod("Pending", stuck("PodInitializing"), initContainerStatuses=[INIT_IMAGE]),
        "ErrImageNeverPull",
        False,
    ),
}
AT_ONCE = {"bad image", "never pulled", "no such image", "no right", "no secret", "init container's image"}
WAITED_FOR = {"no registry", "not made", "no node", "no volume", "node silent"}


def decided(case: Case, waited: float) -> PodVerdict:
    """Return what is decided of a pod, without a manifest."""
    return conclude(observe(case.pod, case.events), "absent", waited=waited)


@pytest.mark.parametrize("which", ENDS)
def test_each_end_has_its_class(which: str) -> None:
    """The end means the right error, retried or not, in the cluster's own words."""
    error = decided(ENDS[which], 1e6).error
    assert error is not None
    assert (type(error).__name__, error.retryable) == (ENDS[which].error, ENDS[which].retryable), error
    assert ENDS[which].said in str(error)


@pytest.mark.parametrize("which", sorted(AT_ONCE | WAITED_FOR))
def test_what_may_still_come_is_waited_for(which: str) -> None:
    """Only what waiting cannot mend fails before its limit."""
    assert decided(ENDS[which], 1.0).action == ("error" if which in AT_ONCE else "wait")


def test_an_unschedulable_pod_has_its_own_limit() -> None:
    """A node may take longer than two minutes to come; the limit is the one that was set, and is named."""
    facts = observe(pod("Pending"), [event("FailedScheduling", GPU, 5), event("FailedScheduling", "an older reason")])
    for seconds, action in ((121, "wait"), (599, "wait"), (600, "error")):
        waited = facts.waited(BEGAN + timedelta(seconds=seconds))
        verdict = conclude(facts, "absent", waited=waited, timeouts=Timeouts(schedule=600))
        assert verdict.action == action
    assert "within 600 s" in str(verdict.error)
    assert GPU in str(verdict.error)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("Preempted", "EvictedError"),
        ("Evicted", "EvictedError"),
        ("TaintManagerEviction", "NodeLostError"),
        ("NodeNotReady", "NodeLostError"),
        ("Scheduled", "JobLostError"),
    ],
)
def test_events_tell_of_a_pod_that_is_gone(reason: str, error: str) -> None:
    """What ended a pod that is no longer there is read from the events that it left."""
    events = [event("Scheduled", "a node", 0), event(reason, "so it was", 1)]
    verdict = conclude(observe(None, events), "absent", waited=0)
    assert type(verdict.error).__name__ == error


def test_only_the_job_container_counts() -> None:
    """A sidecar that runs on, or fails, changes nothing."""
    for side in STATES.values():
        one = pod("Running", "exit 0")
        one["status"]["containerStatuses"][0]["state"] = side
        assert conclude(observe(one), "success", waited=0).action == "success"
        assert conclude(observe(one), "not_expected", waited=0).action == "success"
    native = {"initContainerStatuses": [{"name": "side", "state": stuck("ErrImageNeverPull")}]}
    assert observe(pod("Running", "running", **native)) == observe(pod("Running", "running"))


def test_times_are_the_clusters() -> None:
    """Waiting is counted from what the API says, so that a new worker counts on; not before a grace is over."""
    later = BEGAN + timedelta(seconds=90)
    assert observe(pod("Pending", "waiting")).waited(later) == 90
    assert observe(pod("Failed", "exit 1")).waited(later) == 90
    assert observe(pod("Running", "running")).waited(later) == 0
    assert observe(pod("Running", "running", deleting=True)).waited(BEGAN - timedelta(seconds=9)) == 0


@pytest.mark.parametrize(
    ("status", "message", "error", "retryable"),
    [
        (400, "unknown field spec.containers[0].imag", "PodSpecError", False),
        (422, "metadata.labels: Invalid value", "PodSpecError", False),
        (404, 'namespaces "mlops" not found', "PodSpecError", False),
        (403, 'pods is forbidden: User "x" cannot create resource', "ConfigurationError", False),
        (403, "forbidden: exceeded quota: gpus", "UnschedulableError", True),
        (403, 'admission webhook "policy" denied the request', "PodSpecError", False),
        (401, "Unauthorized", "BackendError", True),
        (429, "too many", "BackendError", True),
        (503, "unavailable", "BackendError", True),
    ],
)
def test_a_refusal_has_its_class(status: int, message: str, error: str, retryable: bool) -> None:
    """What the API does not take is named in its own words, and retried only where that helps."""
    for body in (json.dumps({"kind": "Status", "message": message}), message):
        refused = refusal(status, body).exception()
        assert (type(refused).__name__, refused.retryable) == (error, retryable)
        assert message in str(refused)


def test_nulls_are_as_absent() -> None:
    """Some clients write null where the API leaves a field out; both mean the same."""
    fields = ("reason", "message", "containerStatuses", "initContainerStatuses", "conditions", "startTime")
    nulls: dict[str, Any] = {"metadata": {"name": "pod-1", "deletionTimestamp": None}, "spec": {"nodeName": None}}
    bare = {"metadata": {"name": "pod-1"}, "spec": {}, "status": {"phase": "Pending"}}
    told = [{"reason": "X", "message": None, "type": "Warning", "lastTimestamp": None, "eventTime": None}]
    nulls["status"] = {"phase": "Pending", **dict.fromkeys(fields)}
    assert observe(nulls, told) == observe(bare, told)
    assert observe({"metadata": {}, "status": {"phase": "Unheard of"}}).phase == "Unknown"
