"""How a job in a pod has ended: one answer for every combination of what the pod and the manifest say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.places.kubernetes.decisions.ends import End, Timeouts, end_of, name, out_of_time
from airflow_mlops_provider.places.kubernetes.decisions.facts import PodFacts
from airflow_mlops_provider.storage.refusals import unkept

#: ``partial``: it cannot be parsed. ``not_expected``: a pod that runs something else than a job, and leaves none.
ManifestState = Literal["absent", "partial", "failed", "success", "not_expected"]
MISSING = {"absent": " and left no manifest of this attempt", "partial": " and left a manifest that cannot be read"}


@dataclass(frozen=True)
class PodVerdict:
    """What to do about a pod now.

    :param error: None with the action ``error`` if the job's manifest names it.
    """

    action: Literal["wait", "success", "error"]
    error: MLOpsError | None = None


WAIT = PodVerdict("wait")


def conclude(
    facts: PodFacts,
    manifest: ManifestState,
    cause: Literal["timeout", "killed"] | None = None,
    *,
    waited: float,
    timeouts: Timeouts = Timeouts(),  # noqa: B008 - immutable
) -> PodVerdict:
    """Decide from a pod, its job's manifest, and why it must not go on, if so. Read the pod first, then the manifest.

    What the pod says (:func:`~.ends.end_of`) is one of four things: it *goes on*, its process *ended with status
    0*, *ended with another status*, or it *came to an end* that the cluster explains (out of memory, evicted, …).

    ================  =======================  ================================================================
    cause             manifest                 goes on          status 0     other status     an end explained
    ================  =======================  ================================================================
    none              success                  wait             success      success          success
    none              failed                   wait             its error    its error        its error (*)
    none              absent or partial        wait             lost (**)    lost (**)        the pod's error
    none              not_expected             wait             success      JobError         the pod's error
    timeout           success                  success          success      success          success
    timeout           failed                   its error        its error    its error        its error (*)
    timeout           absent or partial        JobTimeoutError  lost         lost             the pod's error
    timeout           not_expected             JobTimeoutError  success      JobError         the pod's error
    killed            any                      JobKilledError, in every case: a stopped job has no result
    ================  =======================  ================================================================

    *: but for out of memory, which counts more: the kernel killed a process that the job had started, and what the
    job itself saw of it is only the consequence. **: after ``timeouts.manifest``, since a shared folder may show late
    what was written; "lost" is :class:`JobLostError`,
    or :class:`RootError` where the status says that no manifest could be left.

    A success needs a successful manifest (where one is expected) and nothing else: neither a pod that was collected,
    evicted or marked failed after the job had ended undoes it, nor does status 0 replace it. Whatever the answer is
    but ``wait``, the pod is of no more use and is to be removed.

    :param waited: ``facts.waited(now)``; for :data:`~.facts.UNSEEN` the seconds since the API last answered.
    """
    if cause == "killed":
        return _failed(End("JobKilledError", f"{name(facts)} was stopped by hand", "clear the task to run it again"))
    end = end_of(facts, waited, timeouts)
    if end is None and cause is None:
        return WAIT
    if manifest == "success":
        return PodVerdict("success")
    if manifest == "failed" and not (end and end.error == "OutOfMemoryError"):
        return PodVerdict("error")
    if end is None:
        return _failed(out_of_time(facts))
    if manifest == "not_expected" and end.status is not None:
        return PodVerdict("success") if end.status == 0 else _failed(replace(end, error="JobError", status=None))
    if end.status is not None and cause is None and facts.since is not None and waited < timeouts.manifest:
        return WAIT
    return _failed(end, MISSING.get(manifest, "") if end.error == "JobLostError" else "")


def _failed(end: End, note: str = "") -> PodVerdict:
    return PodVerdict("error", unkept(end.status, end.what, "the artifact root") or end.exception(note))
