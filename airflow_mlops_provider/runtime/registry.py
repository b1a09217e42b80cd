"""Finds a job by its name: ours by the file that is called so, another's by its import path."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any

from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.definition import JobDefinition

JOBS = "airflow_mlops_provider.jobs"
AnyJob = JobDefinition[Any, Any, Any]


def find_job(name: str) -> AnyJob:
    """Return the job of that name: ``clean``, or ``package.module:function`` for one that is not ours.

    :raises UnknownNameError: if there is none; the message lists the known ones.
    """
    module, _, function = name.rpartition(":")
    if not module:
        module, function = _modules().get(name, ""), name
    found = getattr(importlib.import_module(module), function, None) if module else None
    if not isinstance(found, JobDefinition):
        raise UnknownNameError("job", name, sorted(all_jobs()))
    return found


@cache
def all_jobs() -> dict[str, AnyJob]:
    """Return our own jobs, by name, stage by stage."""
    found = {name: getattr(importlib.import_module(module), name, None) for name, module in _modules().items()}
    jobs = [job for job in found.values() if isinstance(job, JobDefinition)]
    return {job.name: job for job in sorted(jobs, key=lambda job: [*Stage].index(job.stage))}


@cache
def _modules() -> dict[str, str]:
    """Return the modules in which a job may be, by its name: ``jobs/<stage>/<name>.py``."""
    (folder,) = importlib.import_module(JOBS).__path__
    return {file.stem: f"{JOBS}.{file.parent.name}.{file.stem}" for file in sorted(Path(folder).glob("*/[!_]*.py"))}
