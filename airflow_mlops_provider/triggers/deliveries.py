"""Waits, without holding a worker, until deliveries are complete in the landing root, or a run has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlops_provider.exceptions import SourceDataError

UNDERWAY = ["queued", "running"]


@dataclass(eq=False, repr=False)
class _FieldsTrigger(BaseTrigger):
    """A trigger that is made again from its fields."""

    def __post_init__(self) -> None:
        super().__init__()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        arguments = {field.name: getattr(self, field.name) for field in fields(self)}
        return f"{type(self).__module__}.{type(self).__name__}", arguments


@dataclass(eq=False, repr=False)
class DeliveriesTrigger(_FieldsTrigger):
    """Fires when every one of some keys is there and whole, or when one of them can never be read.

    :param landing: URI of the landing root.
    :param keys: what to wait for, below it.
    :param seconds: pause between two looks.
    :param settle_seconds: how long a file must have lain unchanged to count as whole.
    """

    landing: str
    keys: list[str]
    seconds: float
    settle_seconds: float = 0.0

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, in a thread so that a slow store blocks no other trigger, until all keys are there."""
        look = partial(pending_deliveries, self.landing, self.keys, self.settle_seconds)
        try:
            while pending := await asyncio.to_thread(look):
                self.log.debug("waiting for %s", pending)
                await asyncio.sleep(self.seconds)
        except SourceDataError as error:
            yield TriggerEvent({"refused": str(error)})
        else:
            yield TriggerEvent({"delivered": self.keys})


def pending_deliveries(landing: str, keys: list[str], settle_seconds: float) -> dict[str, str]:
    """Return those of some keys that cannot be read yet, and why.

    :raises SourceDataError: naming one under which something else than a plain file lies.
    """
    from airflow_mlops_provider.backends.tables.landing import Landing

    root = Landing(landing)
    reasons = {key: root.pending(key, settle_seconds) for key in keys}
    return {key: reason for key, reason in reasons.items() if reason}


@dataclass(eq=False, repr=False)
class RunEndsTrigger(_FieldsTrigger):
    """Fires when a run of a DAG has ended, well or not, or is no more. :param seconds: pause between two looks."""

    dag_id: str
    run_id: str
    seconds: float

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Query Airflow, in a thread of its own, until the run has ended."""
        from asgiref.sync import sync_to_async

        while await sync_to_async(self._underway)():  # noqa: ASYNC110 - the run is another process's
            await asyncio.sleep(self.seconds)
        yield TriggerEvent({"ended": self.run_id})

    def _underway(self) -> bool:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        return bool(RuntimeTaskInstance.get_dr_count(dag_id=self.dag_id, run_ids=[self.run_id], states=UNDERWAY))
