"""Waits, without holding a worker, until deliveries are complete in the landing root."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlops_provider.exceptions import SourceDataError


class DeliveriesTrigger(BaseTrigger):
    """Fires when every one of some keys is there and whole, or when one of them can never be read.

    :param landing: URI of the landing root.
    :param keys: what to wait for, below it.
    :param seconds: pause between two looks.
    :param settle_seconds: how long a file must have lain unchanged to count as whole.
    """

    def __init__(self, landing: str, keys: list[str], seconds: float, settle_seconds: float = 0.0) -> None:
        super().__init__()
        self.landing = landing
        self.keys = keys
        self.seconds = seconds
        self.settle_seconds = settle_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and arguments from which to make this trigger again."""
        path = f"{type(self).__module__}.{type(self).__name__}"
        names = ("landing", "keys", "seconds", "settle_seconds")
        return path, {name: getattr(self, name) for name in names}

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
