"""Waits, without holding a worker, until deliveries lie in the landing root."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class DeliveriesTrigger(BaseTrigger):
    """Fires when every one of some keys is there.

    :param landing: URI of the landing root.
    :param keys: what to wait for, below it.
    :param seconds: pause between two looks.
    """

    def __init__(self, landing: str, keys: list[str], seconds: float) -> None:
        super().__init__()
        self.landing = landing
        self.keys = keys
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and arguments from which to make this trigger again."""
        path = f"{type(self).__module__}.{type(self).__name__}"
        return path, {"landing": self.landing, "keys": self.keys, "seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, in a thread so that a slow store holds nobody up, until all keys are there."""
        while missing := await asyncio.to_thread(missing_deliveries, self.landing, self.keys):
            self.log.debug("waiting for %s", missing)
            await asyncio.sleep(self.seconds)
        yield TriggerEvent({"delivered": self.keys})


def missing_deliveries(landing: str, keys: list[str]) -> list[str]:
    """Return those of some keys that do not lie in the landing root yet."""
    from airflow_mlops_provider.backends.artifacts import open_store

    store = open_store(landing)
    return [key for key in keys if not store.exists(key)]
