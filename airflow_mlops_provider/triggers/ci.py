"""Waits for a run of the team's CI."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from airflow_mlops_provider.triggers.base import Seen, StateTrigger


@dataclass(eq=False, repr=False, kw_only=True)
class CIRunTrigger(StateTrigger):
    """Fires when a run has ended. It cancels the run only if the task is stopped.

    :param run_id: by which the CI knows the run.
    :param key: with which it was begun.
    """

    run_id: str
    key: str

    def look(self) -> Seen:
        from airflow_mlops_provider.hooks.ci import CIHook

        run = CIHook(self.conn_id).system().look(self.run_id, self.key)
        return Seen(run.state if run.ended else None, f"{run.url} is {run.state}", {"run": run.id})

    async def on_kill(self) -> None:
        self.log.info("cancelling run %s: the task was stopped", self.run_id)
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        from airflow_mlops_provider.hooks.ci import CIHook

        system = CIHook(self.conn_id).system()
        system.stop(system.look(self.run_id, self.key))
