"""Where things lie below the artifact root: the one place that knows how keys are made, and what one tells."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity


def result_key(spec: JobSpec, where: str) -> str:
    """Return the folder of a job's result below the artifact root, for its address."""
    return f"{spec.product}/{spec.job}/{where[:32]}"


def reuse_key(key: str, run: RunIdentity) -> str:
    """Return the folder of the manifest of a run that found its work finished, below that work's own."""
    return f"{key}/reused/{digest(run.to_json())[:16]}"
