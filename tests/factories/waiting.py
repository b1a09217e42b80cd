"""What a sensor is given when it runs without an Airflow, and what its trigger fires."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_mlops_provider.sensors.base import StateSensor
from airflow_mlops_provider.triggers.base import StateTrigger


class Store(dict[str, Any]):
    """Airflow's store of a task's or an asset's state: it outlives tries and processes."""

    _by_name = {"asset": None}
    _by_uri: dict[str, Any] = {}

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)

    async def aget(self, key: str) -> Any:
        return self.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self[key] = value


def context(began: timedelta = timedelta(), store: Store | None = None) -> Any:
    """Return what a task is given that began a while ago."""
    return {
        "ti": SimpleNamespace(start_date=datetime.now(UTC) - began),
        "task_state_store": Store() if store is None else store,
    }


def waits(sensor: StateSensor, given: Any) -> StateTrigger:
    """Run a sensor that is to wait, and return the trigger that it leaves, made again as in another process."""
    with pytest.raises(TaskDeferred) as waiting:
        sensor.execute(given)
    kind, arguments = waiting.value.trigger.serialize()
    assert kind == f"{type(waiting.value.trigger).__module__}.{type(waiting.value.trigger).__name__}"
    trigger: StateTrigger = type(waiting.value.trigger)(**arguments)
    return trigger


def fired(trigger: StateTrigger, *changes: Callable[[], Any]) -> list[Any]:
    """Return the payloads that a trigger fires while something is changed after each of its looks but the last.

    That of a deferred task ends with the first.
    """
    left, payloads = iter(changes), []

    async def pause(seconds: float) -> None:
        change = next(left, None)
        if change is None:
            raise asyncio.CancelledError
        change()

    async def run() -> None:
        async for event in trigger.run():
            payloads.append(event.payload)  # noqa: PERF401 - a comprehension would lose them when it is cancelled

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_mlops_provider.triggers.base.asyncio.sleep", pause)
        deferred = trigger.task_instance is not None
        with suppress(asyncio.CancelledError) if deferred else pytest.raises(asyncio.CancelledError):
            asyncio.run(run())
    return payloads
