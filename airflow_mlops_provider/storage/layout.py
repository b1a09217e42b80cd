"""Where things lie below the artifact root: the one place that knows how keys are made, and what one tells."""

from __future__ import annotations

import re

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)


def result_key(spec: JobSpec, where: str) -> str:
    """Return the folder of a job's result below the artifact root, for its address."""
    for name in (spec.product, spec.name):
        if not NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} is no name for a folder: lower-case letters, digits and _, at most 63")
    return f"{spec.product}/{spec.name}/{where[:32]}"


def reuse_key(key: str, run: RunIdentity) -> str:
    """Return the folder of the manifest of a run that found its work finished, below that work's own."""
    return f"{key}/reused/{digest(run.to_json())[:16]}"
