"""Whose a pod is: the labels by which the API finds it, and the annotations that name the run in full."""

from __future__ import annotations

import re
from typing import Any

from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity

MANAGED_BY = ("app.kubernetes.io/managed-by", "airflow-mlops-provider")
PREFIX = "mlops"
PRODUCT, JOB = f"{PREFIX}/product", f"{PREFIX}/job"
#: Which Airflow a pod belongs to, where several share a cluster; without it the pod is never removed as an orphan.
INSTALLATION = f"{PREFIX}/installation"
#: Set to ``true`` on a pod that is kept after its end was decided: no task goes on with it.
DECIDED = f"{PREFIX}/decided"
FIELDS = {"dag_id": "dag", "run_id": "run", "task_id": "task", "map_index": "map-index", "try_number": "try"}
LONGEST_LABEL = LONGEST_NAME = 63
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?)?", re.ASCII)


def labels(run: RunIdentity, product: str = "", job: str = "") -> dict[str, str]:
    """Return the labels of a pod that runs on behalf of a task instance."""
    named = {PRODUCT: product, JOB: job} | {f"{PREFIX}/{short}": getattr(run, name) for name, short in FIELDS.items()}
    return dict([MANAGED_BY]) | {key: label(str(value)) for key, value in named.items() if value not in ("", -1)}


def full_ids(run: RunIdentity) -> dict[str, str]:
    """Return the annotations with a run's whole ids; a label may hold only their beginning."""
    return {f"{PREFIX}/{name.replace('_', '-')}": str(getattr(run, name)) for name in FIELDS}


def selector(run: RunIdentity) -> str:
    """Return the label selector of all pods of a task of a run, whatever their try."""
    wanted = {key: value for key, value in labels(run).items() if key != f"{PREFIX}/try"}
    return ",".join([*(f"{key}={value}" for key, value in sorted(wanted.items())), f"!{DECIDED}"])


def run_of(pod: dict[str, Any]) -> RunIdentity | None:
    """Return on whose behalf a pod runs, from its annotations; None if it is none of ours."""
    meta = pod.get("metadata", {})
    key, value = MANAGED_BY
    if (meta.get("labels") or {}).get(key) != value:
        return None
    annotations = meta.get("annotations") or {}
    ids = {name: annotations.get(f"{PREFIX}/{name.replace('_', '-')}") for name in FIELDS}
    return RunIdentity.model_validate(ids) if None not in ids.values() else None


def label(value: str) -> str:
    """Return a value as a label may hold it: as it is, or its beginning and a hash of the whole."""
    if len(value) <= LONGEST_LABEL and _LABEL.fullmatch(value):
        return value
    begin = re.sub(r"[^-\w.]+", "-", value, flags=re.ASCII).strip("-_.")[: LONGEST_LABEL - 11].rstrip("-_.")
    return "-".join(filter(None, (begin, digest(value)[:10])))


def pod_name(run: RunIdentity, unique: str = "") -> str:
    """Return the name of the one pod of a try: a second request to create it is refused as a duplicate.

    :param unique: distinguishes what has the same ids, such as a deleted run and the one in its place.
    """
    begin = re.sub(r"[^a-z0-9]+", "-", f"{run.dag_id}-{run.task_id}".lower()).strip("-")[: LONGEST_NAME - 11].strip("-")
    return "-".join(filter(None, (begin, digest([run.to_json(), unique])[:10])))
