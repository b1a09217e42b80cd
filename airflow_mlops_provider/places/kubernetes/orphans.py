"""Removes the pods that belong to no live task instance any more. What is not plainly an orphan stays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.places.base import GONE, Log, StateOf
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions.facts import observe
from airflow_mlops_provider.places.kubernetes.decisions.identity import DECIDED, INSTALLATION, MANAGED_BY, label, run_of

FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", GONE})


class OrphanVerdict(NamedTuple):
    """What is to become of a pod, and why, in words that follow its name."""

    remove: bool
    why: str


def remove_orphans(api: PodApi, installation: str, state_of: StateOf, log: Log, keep_hours: float) -> list[str]:
    """Remove the orphans of one installation and return their names. Each pod's verdict is logged with its reason.

    A task instance's state is read after the pods are listed, so that no pod is judged by what was before it.

    :raises MLOpsError: if some could not be removed, after all others were.
    """
    removed, failures = [], []
    for pod in sorted(api.find("=".join(MANAGED_BY)), key=lambda pod: str(pod["metadata"]["name"])):
        name = pod["metadata"]["name"]
        remove, why = judge(pod, installation, state_of, datetime.now(UTC), keep_hours)
        log.info("pod %s %s", name, why)
        if not remove:
            continue
        try:
            api.delete(pod)
        except MLOpsError as error:
            log.error("pod %s could not be removed: %s", name, error)  # noqa: TRY400 - its message says it all
            failures.append(error)
        else:
            removed.append(name)
    if failures:
        raise failures[0]
    return removed


def judge(pod: dict[str, Any], installation: str, state_of: StateOf, now: datetime, keep_hours: float) -> OrphanVerdict:
    """Decide what becomes of a pod, on the API's own JSON.

    ================================  =================================================================
    its task instance                 the pod
    ================================  =================================================================
    not said, or not of this Airflow  stays
    gone, with its run or by itself   is removed
    finished, in whatever state       is removed; kept on request, once ``keep_hours`` are over
    anything else, also none yet      stays: running, deferred, up for retry, cleared to be run again, …
    ================================  =================================================================
    """
    labels, run = pod["metadata"].get("labels") or {}, run_of(pod)
    if labels.get(MANAGED_BY[0]) != MANAGED_BY[1]:
        return OrphanVerdict(False, "is not managed by this provider")
    if (other := labels.get(INSTALLATION)) != label(installation):
        return OrphanVerdict(False, f"belongs to the installation {other!r}" if other else "names no installation")
    if run is None:
        return OrphanVerdict(False, "does not say which task instance it runs for")
    if pod["metadata"].get("deletionTimestamp"):
        return OrphanVerdict(False, "is being deleted already")
    state = state_of(run)
    if state not in FINISHED:
        return OrphanVerdict(False, f"stays: its task is {state or 'not scheduled yet'}")
    hours = observe(pod).waited(now) / 3600
    if state != GONE and DECIDED in labels and hours < keep_hours:
        return OrphanVerdict(False, f"stays for another {keep_hours - hours:.1f} h, kept for a look at it")
    return OrphanVerdict(True, "is removed: its run is gone" if state == GONE else f"is removed: its task is {state}")
