"""How a job in a pod has ended: one answer for every combination of what the pod and the manifest say."""

from __future__ import annotations

from typing import Literal

from airflow_mlops_provider import exceptions
from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.pod_ends import End, Patience, end_of, name, out_of_time, refusal
from airflow_mlops_provider.lifecycle.pod_facts import PodFacts

#: ``partial``: it cannot be parsed. ``unasked``: a pod that runs something else than a job, and leaves none.
Standing = Literal["absent", "partial", "failed", "success", "unasked"]
LONGEST_MESSAGE = 2000
LEFT = {"absent": " and left no manifest of this attempt", "partial": " and left a manifest that cannot be read"}


class Conclusion(Frozen):
    """What to do about a pod now.

    :param error: name of one of our exceptions; empty with ``told_by="manifest"``, which then says which.
    :param message: what happened, in the cluster's own words where it has some, and what to do next.
    """

    action: Literal["wait", "success", "error"]
    told_by: Literal["pod", "manifest"] = "pod"
    error: str = ""
    message: str = ""
    retryable: bool = True

    def exception(self) -> MLOpsError:
        """Return the error as one of our exceptions; only for errors that the pod tells of."""
        kind: type[MLOpsError] = getattr(exceptions, self.error)
        error = kind(self.message)
        error.retryable = self.retryable
        return error


WAIT = Conclusion(action="wait")


def conclude(
    facts: PodFacts,
    manifest: Standing,
    cause: Literal["timeout", "killed"] | None = None,
    *,
    waited: float,
    patience: Patience = Patience(),  # noqa: B008 - immutable
) -> Conclusion:
    """Decide from a pod, its job's manifest, and why somebody asks. Look at the pod first, at the manifest then.

    What the pod says (:func:`~.pod_ends.end_of`) is one of four things: it *goes on*, its process *ended with status
    0*, *ended with another status*, or it *came to an end* that the cluster explains (out of memory, evicted, …).

    ================  =======================  ================================================================
    cause             manifest                 goes on          status 0     other status     an end explained
    ================  =======================  ================================================================
    none              success                  wait             success      success          success
    none              failed                   wait             its error    its error        its error (*)
    none              absent or partial        wait             lost (**)    lost (**)        the pod's error
    none              unasked                  wait             success      JobError         the pod's error
    timeout           success                  success          success      success          success
    timeout           failed                   its error        its error    its error        its error (*)
    timeout           absent or partial        JobTimeoutError  lost         lost             the pod's error
    timeout           unasked                  JobTimeoutError  success      JobError         the pod's error
    killed            any                      JobKilledError, in every case: who stops a job wants no result
    ================  =======================  ================================================================

    *: but for out of memory, which is then said: the kernel killed a process that the job had started, and what the
    job itself saw of it is only the consequence. **: after ``patience.manifest``, since a shared folder may show late
    what was written; "lost" is :class:`JobLostError`.

    A success needs a successful manifest (where one is asked for) and nothing else: neither a pod that was collected,
    evicted or marked failed after the job had ended undoes it, nor does status 0 replace it. Whatever the answer is
    but ``wait``, the pod is of no more use and is to be removed.

    :param waited: ``facts.waited(now)``; for :data:`~.pod_facts.UNSEEN` the seconds since the API last answered.
    """
    if cause == "killed":
        return _error(End("JobKilledError", f"{name(facts)} was stopped by hand", "clear the task to run it again"))
    end = end_of(facts, waited, patience)
    if end is None and cause is None:
        return WAIT
    if manifest == "success":
        return Conclusion(action="success", told_by="manifest")
    if manifest == "failed" and not (end and end.error == "OutOfMemoryError"):
        return Conclusion(action="error", told_by="manifest")
    if end is None:
        return _error(out_of_time(facts))
    if manifest == "unasked" and end.status is not None:
        return Conclusion(action="success") if end.status == 0 else _error(end, "JobError")
    if end.status is not None and cause is None and facts.since is not None and waited < patience.manifest:
        return WAIT
    return _error(end, left=LEFT.get(manifest, "") if end.error == "JobLostError" else "")


def refused(status: int, body: str) -> Conclusion:
    """Decide what to make of the Kubernetes API's refusal. See :func:`~.pod_ends.refusal`."""
    return _error(refusal(status, body))


def _error(end: End, error: str = "", left: str = "") -> Conclusion:
    kind: type[MLOpsError] = getattr(exceptions, error or end.error)
    retryable = kind.retryable if end.retryable is None else end.retryable
    return Conclusion(
        action="error",
        error=kind.__name__,
        message=f"{end.what}{left}; {end.then}"[:LONGEST_MESSAGE],
        retryable=retryable,
    )
