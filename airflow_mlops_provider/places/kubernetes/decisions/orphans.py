"""Which pods belong to no live task instance any more. What is not plainly an orphan stays."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.places.base import GONE
from airflow_mlops_provider.places.kubernetes.decisions.facts import observe
from airflow_mlops_provider.places.kubernetes.decisions.identity import DECIDED, INSTALLATION, MANAGED_BY, label, run_of

FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", GONE})


class OrphanVerdict(Frozen):
    """What is to become of a pod, and why, in words that follow its name."""

    remove: bool
    why: str


def exempt(pod: dict[str, Any], installation: str) -> str | None:
    """Return why a pod is not ours to judge; None if it is ours, so that its task instance decides.

    :param pod: a v1 Pod as the API's JSON.
    :param installation: the name of this Airflow among those that share the cluster.
    """
    labels = pod["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY[0]) != MANAGED_BY[1]:
        return "is not managed by this provider"
    other = labels.get(INSTALLATION)
    if other != label(installation):
        return f"belongs to the installation {other!r}" if other else "names no installation"
    if run_of(pod) is None:
        return "does not say which task instance it runs for"
    return "is being deleted already" if pod["metadata"].get("deletionTimestamp") else None


def judge(pod: dict[str, Any], state: str | None, now: datetime, keep_hours: float) -> OrphanVerdict:
    """Decide what becomes of a pod of ours.

    ================================  =================================================================
    its task instance                 the pod
    ================================  =================================================================
    gone, with its run or by itself   is removed
    finished, in whatever state       is removed; kept on request, once ``keep_hours`` are over
    anything else, also none yet      stays: running, deferred, up for retry, cleared to be run again, …
    ================================  =================================================================

    :param state: of the pod's task instance, see :data:`.StateOf`.
    :param keep_hours: for how long pods stay that a place keeps for a look at them.
    """
    if state not in FINISHED:
        return OrphanVerdict(remove=False, why=f"stays: its task is {state or 'not scheduled yet'}")
    hours = observe(pod).waited(now) / 3600
    if state != GONE and DECIDED in (pod["metadata"].get("labels") or {}) and hours < keep_hours:
        return OrphanVerdict(remove=False, why=f"stays for another {keep_hours - hours:.1f} h, kept for a look at it")
    why = "is removed: its run is gone" if state == GONE else f"is removed: its task is {state}"
    return OrphanVerdict(remove=True, why=why)
