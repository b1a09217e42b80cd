"""A pod from its creation to the one decision about its end: found again by whoever comes, and never made twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions.ends import Timeouts
from airflow_mlops_provider.places.kubernetes.decisions.facts import UNSEEN, observe
from airflow_mlops_provider.places.kubernetes.decisions.table import WAIT, ManifestState, PodVerdict, conclude
from airflow_mlops_provider.places.kubernetes.log import LogTail
from airflow_mlops_provider.places.kubernetes.values import LogBounds

Keep = Literal["none", "failed", "all"]
Cause = Literal["timeout", "killed"]
#: How often an end is looked at again for which the manifest is still missing.
SOON = 1.0


@dataclass
class Watch:
    """How a pod is waited for.

    :param deadline: when the task's time is over, in seconds since the epoch.
    """

    timeouts: Timeouts = field(default_factory=Timeouts)
    poll_seconds: float = 10.0
    deadline: float | None = None
    log: LogBounds = field(default_factory=LogBounds)
    keep: Keep = "none"


class PodRun:
    """One pod, as one process sees it.

    :param pod: the pod as the API last showed it; None if it is gone.
    :param standing: tells what the manifest of a pod's job says.
    :param save: keeps a pod's whole log and says where, if there is a place for it.
    :param event: what a trigger saw of the pod before.
    :ivar seen: whether the API answered when it was last asked.
    """

    def __init__(
        self,
        api: PodApi,
        name: str,
        watch: Watch,
        log: Any,
        *,
        standing: Callable[[str], ManifestState],
        save: Callable[[str, bytes], str | None],
        event: dict[str, Any] | None = None,
    ) -> None:
        self.api, self.name, self.watch, self.log = api, name, watch, log
        self.standing, self.save = standing, save
        self.pod: dict[str, Any] | None = None
        self.stopped, self.seen = False, True
        self._tail = LogTail(watch.log, (event or {}).get("passed"))
        self._answered = time.monotonic() - (event or {}).get("unseen", 0.0)
        self._cause: Cause | None = (event or {}).get("cause")

    def look(self) -> tuple[PodVerdict, bool]:
        """Return what to do about the pod now, and whether it still goes on as far as the pod itself says."""
        try:
            self.pod = self.api.read(self.name)
        except BackendError as error:
            self.log.warning("%s", error)
            self.seen, facts, waited = False, UNSEEN, time.monotonic() - self._answered
        else:
            self.seen, self._answered = True, time.monotonic()
            facts = observe(self.pod, self.api.events(self.name) if asks_why(self.pod) else ())
            waited = facts.waited(datetime.now(UTC))
        timeouts, cause = self.watch.timeouts, self.cause()
        if conclude(facts, "not_expected", cause, waited=waited, timeouts=timeouts) == WAIT:
            return WAIT, True
        return conclude(facts, self.standing(self.name), cause, waited=waited, timeouts=timeouts), False

    def cause(self) -> Cause | None:
        """Return why the pod is not to go on, if it is not."""
        over = self.watch.deadline is not None and time.time() >= self.watch.deadline
        return "killed" if self.stopped else self._cause or ("timeout" if over else None)

    def wait(self) -> PodVerdict:
        """Wait here for the pod's end, passing its log on."""
        while True:
            conclusion, goes_on = self.look()
            if conclusion.action != "wait":
                return conclusion
            self.pass_on()
            time.sleep(self._pause(goes_on))

    def pass_on(self) -> None:
        """Pass what is new in the log on."""
        if not self._tail.full and (data := self.api.log(self.name, **self._tail.query())):
            self._print(data)

    def end(self, conclusion: PodVerdict) -> None:
        """Keep the log, then remove the pod: its end is decided."""
        try:
            self._keep_log()
        finally:
            if self.pod is not None:
                self._remove(self.pod, conclusion)

    def _keep_log(self) -> None:
        if (data := self.api.log(self.name)) is not None:
            self._print(data)
            if where := self.save(self.name, data):
                self.log.info("the pod's whole log (%d bytes) is kept in %s", len(data), where)
        elif self.pod is None:
            self.log.warning("pod %s is gone, and with it what it printed since the last look", self.name)

    def stop(self) -> None:
        """End the pod: somebody stopped the task."""
        self.stopped = True
        pod = self.api.read(self.name)
        if pod is not None:
            self.log.info("deleting pod %s: the task was stopped", self.name)
            self.api.delete(pod)

    def to_json(self) -> dict[str, Any]:
        """Return, as plain JSON, what a trigger needs to go on watching."""
        return {
            "namespace": self.api.namespace,
            "name": self.name,
            "deadline": self.watch.deadline,
            "poll_seconds": self.watch.poll_seconds,
            "timeouts": self.watch.timeouts.to_json(),
            "log": self.watch.log.to_json(),
            "passed": self._tail.state,
        }

    def _pause(self, goes_on: bool) -> float:
        pause = self.watch.poll_seconds if goes_on else min(SOON, self.watch.poll_seconds)
        return pause if self.watch.deadline is None else max(0.01, min(pause, self.watch.deadline - time.time()))

    def _remove(self, pod: dict[str, Any], conclusion: PodVerdict) -> None:
        ended = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
        kept = {"none": (), "failed": ("error",), "all": ("error", "success")}[self.watch.keep]
        try:
            if ended and conclusion.action in kept:  # one that still runs goes whatever anybody wants to look at
                self.log.info("keeping pod %s in namespace %s, as asked", self.name, self.api.namespace)
                self.api.mark(self.name)
            else:
                self.api.delete(pod)
        except BackendError as error:  # what is decided stays so
            self.log.warning("pod %s could not be removed, which is left to the next try: %s", self.name, error)

    def _print(self, data: bytes) -> None:
        for line in self._tail.feed(data):
            self.log.info("%s", line)


def asks_why(pod: dict[str, Any] | None) -> bool:
    """Say whether a pod's events may explain what it is waiting for, or where it is."""
    return pod is None or pod.get("status", {}).get("phase") not in {"Running", "Succeeded"}
