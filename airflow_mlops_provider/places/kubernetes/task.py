"""The task instance on whose behalf a pod runs: who it is, how long it has, and what its earlier tries remembered."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.lifecycle.records.spec import RunIdentity

if TYPE_CHECKING:
    from airflow.sdk import Context


class PodTask:
    """A task instance, or nothing of the kind outside Airflow.

    :param context: Airflow's.
    """

    def __init__(self, context: Context | None) -> None:
        self.context = context
        self._ti = context["ti"] if context else None
        self._store = context.get("task_state_store") if context else None

    @property
    def identity(self) -> RunIdentity:
        """Who it is."""
        return RunIdentity.of(self._ti) if self._ti is not None else RunIdentity()

    @property
    def unique(self) -> str:
        """What no other try has, also of a run that was deleted and made again under the same ids."""
        return str(self._ti.id if self._ti is not None else uuid.uuid4())

    @property
    def deadline(self) -> float | None:
        """When its time is over, deferrals included, in seconds since the epoch; None if it has all the time."""
        task = self.context.get("task") if self.context else None
        limit = getattr(task, "execution_timeout", None)
        if not limit or self._ti is None:
            return None
        return float((self._ti.start_date + limit).timestamp())

    def seconds(self, most: int) -> int:
        """Return how long a pod that is made now may live: what the task has left, but not longer than ``most``."""
        return most if self.deadline is None else max(1, min(most, int(self.deadline - time.time()) + 1))

    def recall(self, key: str) -> Any:
        """Return what this task, now or in an earlier try, has remembered."""
        return self._store.get(key) if self._store is not None else None

    def remember(self, key: str, value: Any) -> None:
        """Remember something for the tries that come after."""
        if self._store is not None:
            self._store.set(key, value)
