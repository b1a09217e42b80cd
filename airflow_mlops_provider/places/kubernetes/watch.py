"""What worker and triggerer do alike when they wait for a pod: they look, decide whether it goes on, and pause."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.places.kubernetes.decisions.ends import Timeouts
from airflow_mlops_provider.places.kubernetes.decisions.facts import UNSEEN, PodFacts, observe
from airflow_mlops_provider.places.kubernetes.decisions.table import ManifestState, PodVerdict, conclude
from airflow_mlops_provider.places.kubernetes.log import LogBounds, LogCursor

Cause = Literal["timeout", "killed"]
#: Pods to leave in the cluster after their end, for a look at them.
Keep = Literal["none", "failed", "all"]


class Watch(Frozen):
    """How a pod is waited for.

    :param deadline: when the task's time is over, in seconds since the epoch.
    """

    timeouts: Timeouts = Timeouts()
    poll_seconds: float = 10.0
    deadline: float | None = None
    log: LogBounds = LogBounds()
    keep: Keep = "none"


class PodObserver:
    """What one process knows of a pod from its looks so far.

    :param event: what another process saw before; see :meth:`to_event`.
    :ivar facts: what the last look has shown.
    :ivar stopped: whether the task was stopped.
    """

    def __init__(self, watch: Watch, event: Mapping[str, Any] | None = None) -> None:
        event = event or {}
        self.watch, self.stopped = watch, False
        self.log = LogCursor(watch.log, event.get("passed"))
        self.facts: PodFacts = UNSEEN
        self._waited = 0.0
        self._cause: Cause | None = event.get("cause")
        self._answered = time.monotonic() - event.get("unseen", 0.0)

    @property
    def cause(self) -> Cause | None:
        """Why the pod must not go on, if so."""
        over = self.watch.deadline is not None and time.time() >= self.watch.deadline
        return "killed" if self.stopped else self._cause or ("timeout" if over else None)

    def see(self, pod: dict[str, Any] | None, events: Sequence[dict[str, Any]]) -> None:
        """Take in what the API answered. :param pod: None if there is no such pod (any more)."""
        self._answered = time.monotonic()
        self.facts = observe(pod, events)
        self._waited = self.facts.waited(datetime.now(UTC))

    def miss(self) -> None:
        """Take in that the API did not answer."""
        self.facts, self._waited = UNSEEN, time.monotonic() - self._answered

    def verdict(self, manifest: ManifestState = "not_expected") -> PodVerdict:
        """Return what to do about the pod; by default as far as the pod itself says."""
        return conclude(self.facts, manifest, self.cause, waited=self._waited, timeouts=self.watch.timeouts)

    def pause(self, longest: float | None = None) -> float:
        """Return the seconds until the next look: at most ``longest``, and no longer than the task has time."""
        pause = min(self.watch.poll_seconds, longest or self.watch.poll_seconds)
        return pause if self.watch.deadline is None else max(0.01, min(pause, self.watch.deadline - time.time()))

    def to_event(self) -> dict[str, Any]:
        """Return, as plain JSON, what the next process needs to go on from here."""
        unseen = 0.0 if self.facts.seen else self._waited
        return {"cause": self.cause, "unseen": unseen, "passed": self.log.state}


def wants_events(pod: dict[str, Any] | None) -> bool:
    """Say whether a pod's events may explain what it is waiting for, or where it is."""
    return pod is None or pod.get("status", {}).get("phase") not in {"Running", "Succeeded"}
