"""One pod from its creation to the one decision about its end, as one process sees it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from airflow_mlops_provider.exceptions import BackendError, MLOpsError
from airflow_mlops_provider.places.base import Log
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions.table import ManifestState, PodVerdict
from airflow_mlops_provider.places.kubernetes.task import PodTask
from airflow_mlops_provider.places.kubernetes.watch import PodObserver, Watch, wants_events

#: Pause in seconds while only the manifest of a pod that has ended is still missing.
MANIFEST_PAUSE = 1.0
KEPT = {"none": (), "failed": ("error",), "all": ("error", "success")}


class PodWork(ABC):
    """What a pod is made for: how it looks, and what it leaves. By default it leaves nothing but its status."""

    @abstractmethod
    def build_pod(self, task: PodTask, api: PodApi) -> dict[str, Any]:
        """Return the pod to create, as the API's JSON."""

    def manifest_state(self, name: str) -> ManifestState:
        """Return what the manifest of a pod's job says."""
        return "not_expected"

    def save_log(self, name: str, data: bytes) -> str | None:
        """Keep a pod's whole log, and return where; None if there is no place for it."""
        return None

    def same_work(self, pod: dict[str, Any]) -> bool:
        """Say whether a pod of this task, from an earlier try, does what is wanted now."""
        return True

    def error(self, run: PodRun, verdict: PodVerdict) -> MLOpsError:
        """Return what to raise for a pod that did not end well."""
        return verdict.exception()


class PodRun:
    """One pod, as one process sees it.

    :param event: what a trigger saw of the pod before.
    :ivar pod: the pod as the API last showed it; None if it is gone.
    """

    def __init__(
        self, api: PodApi, name: str, watch: Watch, work: PodWork, log: Log, event: Mapping[str, Any] | None = None
    ) -> None:
        self.api, self.name, self.work, self.log = api, name, work, log
        self.observer = PodObserver(watch, event)
        self.pod: dict[str, Any] | None = None

    @property
    def seen(self) -> bool:
        """Whether the API answered the last look."""
        return self.observer.facts.seen

    def look(self) -> tuple[PodVerdict, bool]:
        """Return what to do about the pod now, and whether it still goes on as far as the pod itself says."""
        try:
            self.pod = self.api.read(self.name)
        except BackendError as error:
            self.log.warning("%s", error)
            self.observer.miss()
        else:
            self.observer.see(self.pod, self.api.events(self.name) if wants_events(self.pod) else ())
        verdict = self.observer.verdict()
        goes_on = verdict.action == "wait"
        return (verdict if goes_on else self.observer.verdict(self.work.manifest_state(self.name))), goes_on

    def wait(self) -> PodVerdict:
        """Wait here for the pod's end, passing its log on."""
        while True:
            verdict, goes_on = self.look()
            if verdict.action != "wait":
                return verdict
            if not self.observer.log.full and (data := self.api.log(self.name, **self.observer.log.query())):
                self._print(data)
            time.sleep(self.observer.pause(None if goes_on else MANIFEST_PAUSE))

    def end(self, verdict: PodVerdict) -> None:
        """Keep the log, then remove the pod: its end is decided."""
        try:
            self._save_log()
        finally:
            if self.pod is not None:
                self._remove(self.pod, verdict)

    def stop(self) -> None:
        """End the pod: somebody stopped the task."""
        self.observer.stopped = True
        pod = self.api.read(self.name)
        if pod is not None:
            self.log.info("deleting pod %s: the task was stopped", self.name)
            self.api.delete(pod)

    def _save_log(self) -> None:
        if (data := self.api.log(self.name)) is not None:
            self._print(data)
            if where := self.work.save_log(self.name, data):
                self.log.info("the pod's whole log (%d bytes) is kept in %s", len(data), where)
        elif self.pod is None:
            self.log.warning("pod %s is gone, and with it what it printed since the last look", self.name)

    def _remove(self, pod: dict[str, Any], verdict: PodVerdict) -> None:
        ended = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
        try:
            if ended and verdict.action in KEPT[self.observer.watch.keep]:  # one that still runs is never kept
                self.log.info("keeping pod %s in namespace %s", self.name, self.api.namespace)
                self.api.mark(self.name)
            else:
                self.api.delete(pod)
        except BackendError as error:  # the decision stands
            self.log.warning("pod %s could not be removed, which is left to the next try: %s", self.name, error)

    def _print(self, data: bytes) -> None:
        for line in self.observer.log.feed(data):
            self.log.info("%s", line)
