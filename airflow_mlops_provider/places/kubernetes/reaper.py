"""Removes the pods whose run is gone, and nothing else: what a killed worker, triggerer or cluster left behind."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.places.base import Log, StateOf
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions.identity import MANAGED_BY
from airflow_mlops_provider.places.kubernetes.decisions.orphans import judge


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
