"""Removes the pods whose run is gone, and nothing else: what a killed worker, triggerer or cluster left behind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.places.base import Log, StateOf
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions.identity import MANAGED_BY, run_of
from airflow_mlops_provider.places.kubernetes.decisions.orphans import OrphanVerdict, exempt, judge


def remove_orphans(api: PodApi, installation: str, state_of: StateOf, log: Log, keep_hours: float) -> list[str]:
    """Remove the orphans of one installation and return their names. Each pod's verdict is logged with its reason.

    A task instance's state is read after the pods are listed, so that no pod is judged by what was before it.

    :raises MLOpsError: if some could not be removed, after all others were.
    """
    removed, failures = [], []
    for pod in sorted(api.find("=".join(MANAGED_BY)), key=lambda pod: str(pod["metadata"]["name"])):
        name, verdict = pod["metadata"]["name"], _verdict(pod, installation, state_of, keep_hours)
        log.info("pod %s %s", name, verdict.why)
        if not verdict.remove:
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


def _verdict(pod: dict[str, Any], installation: str, state_of: StateOf, keep_hours: float) -> OrphanVerdict:
    if why := exempt(pod, installation):
        return OrphanVerdict(remove=False, why=why)
    run = run_of(pod)
    assert run is not None  # or it would be exempt
    return judge(pod, state_of(run), datetime.now(UTC), keep_hours)
