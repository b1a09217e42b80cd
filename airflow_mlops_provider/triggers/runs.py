"""Waits, without holding a worker, until a run has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

UNDERWAY = ["queued", "running"]


class RunEndsTrigger(BaseTrigger):
    """Fires when a run has ended, well or not, or is no more.

    :param dag_id: its DAG.
    :param run_id: which of the DAG's runs.
    :param seconds: pause between two looks.
    """

    def __init__(self, dag_id: str, run_id: str, seconds: float) -> None:
        super().__init__()
        self.dag_id = dag_id
        self.run_id = run_id
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and arguments from which to make this trigger again."""
        path = f"{type(self).__module__}.{type(self).__name__}"
        return path, {"dag_id": self.dag_id, "run_id": self.run_id, "seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Query Airflow, in a thread of its own, until the run has ended."""
        from asgiref.sync import sync_to_async

        while await sync_to_async(self._underway)():  # noqa: ASYNC110 - the run is another process's
            await asyncio.sleep(self.seconds)
        yield TriggerEvent({"ended": self.run_id})

    def _underway(self) -> bool:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        return bool(RuntimeTaskInstance.get_dr_count(dag_id=self.dag_id, run_ids=[self.run_id], states=UNDERWAY))
