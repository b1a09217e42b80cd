"""What Airflow's components that fork load once: every DAG file's parse, and every task, is forked with it loaded.

The scheduler forks the tasks of its LocalExecutor, and the DAG processor a process for each parse of a file. Both load
a provider again in each of those, unless they have it themselves.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk import conf

from airflow_mlops_provider.exceptions import ConfigurationError

NOTHING, OPERATORS, JOBS = "nothing", "operators", "jobs"


class Preload:
    """Airflow's listener that is told when a component begins, before it forks for the first time."""

    @hookimpl
    def on_starting(self, component: Any) -> None:
        """Load what ``[mlops] preload`` says. :raises ConfigurationError: if it says something else."""
        if type(component).__name__ != "Job":
            return  # a task's own process, which has loaded by now what it was forked with
        what = conf.get("mlops", "preload", fallback=OPERATORS)
        if what not in (NOTHING, OPERATORS, JOBS):
            raise ConfigurationError(f"[mlops] preload is {what!r}; allowed: {NOTHING}, {OPERATORS}, {JOBS}")
        if what != NOTHING:
            load(jobs=what == JOBS)


def load(*, jobs: bool = False) -> None:
    """Import what the pipelines' DAG files import, and with ``jobs`` what their tasks look jobs up with."""
    from airflow_mlops_provider.backends.environment import all_versions
    from airflow_mlops_provider.extensions import PIPELINES, PROBLEMS

    for module in ("lifecycle.settings", "pipelines.dag"):
        import_module(f"{__package__}.{module}")
    for point in (PIPELINES, PROBLEMS):
        for name in point.builtin:  # others' code is loaded where it is used
            point.find(name)
    all_versions()  # kept by folder: a search's form says what is not installed
    if jobs:
        from airflow_mlops_provider.runtime.code import closure
        from airflow_mlops_provider.runtime.definition import all_jobs

        for job in all_jobs().values():
            closure(job.function.__module__)  # what it imports is remembered by file, size and time of change
