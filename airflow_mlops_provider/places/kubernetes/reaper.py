"""Removes the pods whose run is gone, and nothing else: what a killed worker, triggerer or cluster left behind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions.identity import MANAGED_BY, run_of
from airflow_mlops_provider.places.kubernetes.decisions.orphans import Fate, fate, stays

StateOf = Callable[[RunIdentity], str | None]


def reap(api: PodApi, installation: str, state_of: StateOf, log: Any, keep_hours: float) -> list[str]:
    """Remove the orphans of one installation and return their names. Each pod's fate is logged with its reason.

    A task instance's state is asked for after the pods are listed, so that no pod is judged by what was before it.

    :param state_of: tells a task instance's state; None if it has none yet, ``gone`` if there is none.
    :raises MLOpsError: if some could not be removed, after all others were.
    """
    removed, failed = [], []
    for pod in sorted(api.find("=".join(MANAGED_BY)), key=lambda pod: str(pod["metadata"]["name"])):
        name, found = pod["metadata"]["name"], _fate(pod, installation, state_of, keep_hours)
        log.info("pod %s %s", name, found.why)
        if not found.remove:
            continue
        try:
            api.delete(pod)
        except MLOpsError as error:
            log.error("pod %s could not be removed: %s", name, error)  # noqa: TRY400 - its message says it all
            failed.append(error)
        else:
            removed.append(name)
    if failed:
        raise failed[0]
    return removed


def _fate(pod: dict[str, Any], installation: str, state_of: StateOf, keep_hours: float) -> Fate:
    if why := stays(pod, installation):
        return Fate(remove=False, why=why)
    run = run_of(pod)
    assert run is not None  # or it would stay
    return fate(pod, state_of(run), datetime.now(UTC), keep_hours)
