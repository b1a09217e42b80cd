"""Follows a local Airflow's runs: a line for each task as it ends, and whether the loop has come to rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from airflow_mlops_provider.demo.local_airflow.api import Row
from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.exceptions import BackendError

LOOK_SECONDS = 1.0
ENDED = {"success", "failed", "skipped"}
_NEVER = datetime.max.replace(tzinfo=UTC)


class Watch:
    """Follows the pipelines of one product.

    :param progress: takes a line for each task that ended.
    :param attend: does, at each look, what else is to be done meanwhile.
    """

    def __init__(
        self, stack: Stack, product: str, progress: Callable[[str], None], attend: Callable[[], None] = lambda: None
    ) -> None:
        self.stack = stack
        self.product = product
        self._progress = progress
        self._attend = attend
        self._reported: set[str] = set()
        self._seen_until: str | None = None

    def until_rest(self, interval_start: datetime, timeout: float) -> None:
        """Wait until the features of all intervals up to one are loaded, and everything that followed has ended.

        :raises BackendError: if a run failed, or ``timeout`` seconds pass.
        """
        deadline = time.monotonic() + timeout
        while True:
            # An event comes with a task's end and goes with the beginning of the run that it starts: where none waits
            # between two looks that see nothing run, nothing follows.
            busy = self._look(interval_start) or self._events_wait() or self._look(interval_start)
            self._attend()
            if not busy:
                return
            if time.monotonic() > deadline:
                url = self.stack.api.url
                raise BackendError(f"the loop did not come to rest within {timeout:.0f} s; look at {url}")
            time.sleep(LOOK_SECONDS)

    def runs(self) -> list[Row]:
        """Return every run of the product's pipelines, oldest first."""
        return self._own(self.stack.api.dag_runs(dag_id_pattern=f"{self.product}_%"))

    def tasks(self, ended_since: str | None = None) -> list[Row]:
        """Return the pipelines' task instances, all or those ended since a moment, in the order in which they ended."""
        return self._own(self.stack.api.task_instances(**({"end_date_gte": ended_since} if ended_since else {})))

    def _own(self, rows: list[Row]) -> list[Row]:
        return [row for row in rows if row["dag_id"].startswith(f"{self.product}_")]

    def _look(self, interval_start: datetime) -> bool:
        runs = self.runs()
        self._report()
        failed = [run for run in runs if run["state"] == "failed"]
        if failed:
            names = ", ".join(f"{run['dag_id']} {run['dag_run_id']}" for run in failed)
            raise BackendError(f"failed: {names}; their logs are in {self.stack.home / 'logs'}")
        engineering = f"{self.product}_feature_engineering"
        due = [run for run in runs if run["dag_id"] == engineering and (begins(run) or _NEVER) <= interval_start]
        loaded = begins(due[-1]) == interval_start and all(run["state"] == "success" for run in due) if due else False
        others = any(run["state"] in {"queued", "running"} for run in runs if run["dag_id"] != engineering)
        return others or not loaded

    def _events_wait(self) -> bool:
        """Say whether an asset event has yet to start a run."""
        api = self.stack.api
        paths = [f"dags/{dag['dag_id']}/assets/queuedEvents" for dag in self._own(api.rows("dags", "dags"))]
        return any(api.get(path)["total_entries"] for path in paths)

    def _report(self) -> None:
        for task in self.tasks(self._seen_until):
            if task["end_date"] and task["state"] in ENDED and task["id"] not in self._reported:
                self._reported.add(task["id"])
                self._seen_until = task["end_date"]
                if task["state"] != "skipped" or task["duration"]:  # else it only follows one that was
                    self._progress(_line(task, self.product))


def begins(run: Row) -> datetime | None:
    """Return where a run's data interval begins."""
    begins = run.get("data_interval_start")
    return datetime.fromisoformat(begins) if begins else None


def _line(task: Row, product: str) -> str:
    stage, _, step = task["task_id"].rpartition(".")
    pipeline = task["dag_id"].removeprefix(f"{product}_")
    mark = {"success": "✓", "skipped": "-", "failed": "✗"}[task["state"]]
    return f"  {mark} {stage or pipeline:<12} {step:<22} {task['duration'] or 0:6.1f} s   {pipeline}"
