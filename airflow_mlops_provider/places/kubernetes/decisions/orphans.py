"""Which pods belong to no live task instance any more. What is not plainly an orphan stays."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from airflow_mlops_provider.places.base import GONE, StateOf
from airflow_mlops_provider.places.kubernetes.decisions.facts import observe
from airflow_mlops_provider.places.kubernetes.decisions.identity import DECIDED, INSTALLATION, MANAGED_BY, label, run_of

FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", GONE})


class OrphanVerdict(NamedTuple):
    """What is to become of a pod, and why, in words that follow its name."""

    remove: bool
    why: str


def judge(pod: dict[str, Any], installation: str, state_of: StateOf, now: datetime, keep_hours: float) -> OrphanVerdict:
    """Decide what becomes of a pod.

    ================================  =================================================================
    its task instance                 the pod
    ================================  =================================================================
    not said, or not of this Airflow  stays
    gone, with its run or by itself   is removed
    finished, in whatever state       is removed; kept on request, once ``keep_hours`` are over
    anything else, also none yet      stays: running, deferred, up for retry, cleared to be run again, …
    ================================  =================================================================

    :param pod: a v1 Pod as the API's JSON.
    :param installation: the name of this Airflow among those that share the cluster.
    :param keep_hours: for how long pods stay that a place keeps for a look at them.
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
