"""A task's pod from its creation to the one decision about its end: found again by every retry, never made twice."""

from __future__ import annotations

import time
import uuid
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider.exceptions import BackendError, MLOpsError
from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.places.base import Log
from airflow_mlops_provider.places.deferral import Deferred
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions import identity
from airflow_mlops_provider.places.kubernetes.decisions.table import ManifestState, PodVerdict
from airflow_mlops_provider.places.kubernetes.watch import PodObserver, Watch, wants_events

TRIGGER = "airflow_mlops_provider.triggers.pods.PodTrigger"
POD_KEY = "mlops_pod"
#: Pause in seconds while only the manifest of a pod that has ended is still missing.
MANIFEST_PAUSE = 1.0
KEPT = {"none": (), "failed": ("error",), "all": ("error", "success")}


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
        return self._store.get(key) if self._store is not None else None

    def remember(self, key: str, value: Any) -> None:
        """Remember something for the tries that come after."""
        if self._store is not None:
            self._store.set(key, value)


class PodRun:
    """Brings a task's pod to its end. A worker, a triggerer or an API server that dies meanwhile costs nothing.

    A subclass says how the pod looks, and what it leaves; by default nothing but its status.

    :param log: receives the pod's lines and what there is to say of it.
    :param event: what the trigger saw, after a deferral.
    :param deferrable: wait in the triggerer, where there is one; if not, here.
    :ivar name: of the pod, once it is known.
    :ivar pod: the pod as the API last showed it; None if it is gone.
    """

    def __init__(
        self, api: PodApi, task: PodTask, watch: Watch, log: Log, event: dict[str, Any] | None, *, deferrable: bool
    ) -> None:
        event = event or {}
        self.api, self.task, self.log = api, task, log
        self.observer = PodObserver(watch.model_copy(update={"deadline": task.deadline}), event)
        self.name: str = event.get("name", "")
        self.pod: dict[str, Any] | None = None
        self._deferrable = deferrable and task.context is not None and "stay" not in event

    def attend(self) -> None:
        """Find the task's pod or make it, wait for its end, decide that, and remove it.

        :raises Deferred: if the trigger is to wait.
        :raises MLOpsError: how it ended, if not well.
        """
        if not (self.name or self._find()):
            self._create()
        verdict, goes_on = self._look()
        if verdict.action == "wait":
            if goes_on and self._deferrable:
                raise Deferred(TRIGGER, self._trigger_arguments())
            verdict = self._wait()
        if self.observer.facts.seen:  # else the pod may well be alive, and the next try goes on with it
            self._end(verdict)
            self.task.remember(POD_KEY, {"name": self.name, "decided": True})
        if verdict.action == "error":
            raise self.error(verdict)

    def stop(self) -> None:
        self.observer.stopped = True
        try:
            if self.name and (pod := self.api.read(self.name)):
                self.log.info("deleting pod %s: the task was stopped", self.name)
                self.api.delete(pod)
        except MLOpsError as error:  # its own deadline ends it
            self.log.warning("the pod could not be deleted: %s", error)

    def build_pod(self) -> dict[str, Any]:
        """Return the pod to create, as the API's JSON."""
        raise NotImplementedError

    def manifest_state(self, name: str) -> ManifestState:
        """Return what the manifest of a pod's job says."""
        return "not_expected"

    def save_log(self, data: bytes) -> str | None:
        """Keep the pod's whole log, and return where; None if there is no place for it."""
        return None

    def same_work(self, pod: dict[str, Any]) -> bool:
        """Say whether a pod of this task, from an earlier try, does what is wanted now."""
        return True

    def error(self, verdict: PodVerdict) -> MLOpsError:
        """Return what to raise for a pod that did not end well."""
        assert verdict.error is not None  # a manifest is not expected, so the pod's end is the error
        return verdict.error

    def _find(self) -> bool:
        """Look for the pod that an earlier try has made, if that is still to be decided."""
        stored = self.task.recall(POD_KEY) or {}
        if "name" in stored and self._resume(stored["name"], decided=stored.get("decided", False)):
            return True
        mine = self.task.identity
        pods = self.api.find(identity.selector(mine)) if mine.dag_id else ()
        runs = ((pod["metadata"]["name"], identity.run_of(pod)) for pod in pods)
        return any(run and run.same_task(mine) and self._resume(name) for name, run in runs)

    def _resume(self, name: str, *, decided: bool = False) -> bool:
        """Go on with a pod of an earlier try, or remove it if it is of no more use."""
        pod = self.api.read(name)
        if pod is None:
            resumed = not decided and self.manifest_state(name) in {"success", "failed"}
        elif resumed := not decided and self.same_work(pod):
            self.log.info("going on with pod %s of an earlier try", name)
        elif identity.DECIDED not in pod["metadata"]["labels"]:  # else it is kept for a look at it
            self.log.info("removing pod %s, which an earlier try has left", name)
            self.api.delete(pod)
        self.name = name if resumed else ""
        return resumed

    def _create(self) -> None:
        pod = self.build_pod()
        if installation := option("installation"):
            pod["metadata"]["labels"][identity.INSTALLATION] = identity.label(installation)
        self.name = pod["metadata"]["name"]  # before there is a pod, so that stop() finds it
        self.task.remember(POD_KEY, {"name": self.name})
        self.api.create(pod)
        self.log.info("created pod %s in namespace %s", self.name, self.api.namespace)
        if self.observer.stopped:
            self.stop()

    def _look(self) -> tuple[PodVerdict, bool]:
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
        return (verdict if goes_on else self.observer.verdict(self.manifest_state(self.name))), goes_on

    def _wait(self) -> PodVerdict:
        """Wait here for the pod's end, passing its log on."""
        while True:
            verdict, goes_on = self._look()
            if verdict.action != "wait":
                return verdict
            if not self.observer.log.full and (data := self.api.log(self.name, **self.observer.log.query())):
                self._print(data)
            time.sleep(self.observer.pause(None if goes_on else MANIFEST_PAUSE))

    def _end(self, verdict: PodVerdict) -> None:
        """Keep the log, then remove the pod: its end is decided."""
        try:
            if (data := self.api.log(self.name)) is not None:
                self._print(data)
                if where := self.save_log(data):
                    self.log.info("the pod's whole log (%d bytes) is kept in %s", len(data), where)
            elif self.pod is None:
                self.log.warning("pod %s is gone, and with it what it printed since the last look", self.name)
        finally:
            if self.pod is not None:
                self._remove(self.pod, verdict)

    def _remove(self, pod: dict[str, Any], verdict: PodVerdict) -> None:
        ended = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
        try:
            if ended and verdict.action in KEPT[self.observer.watch.keep]:  # one that still runs is never kept
                self.log.info("keeping pod %s in namespace %s", self.name, self.api.namespace)
                self.api.mark(self.name)
            else:
                self.api.delete(pod)
        except BackendError as error:  # the decision holds all the same
            self.log.warning("pod %s could not be removed, which is left to the next try: %s", self.name, error)

    def _print(self, data: bytes) -> None:
        for line in self.observer.log.feed(data):
            self.log.info("%s", line)

    def _trigger_arguments(self) -> dict[str, Any]:
        """Return what the trigger is made with: names and numbers, the credentials it finds by itself."""
        return {
            "access": self.api.access,
            "namespace": self.api.namespace,
            "name": self.name,
            "watch": self.observer.watch.to_json(),
            "passed": self.observer.log.state,
        }
