"""A task's pod: made once, found again by whoever comes, decided once, and never left behind."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.places.base import Log
from airflow_mlops_provider.places.deferral import Deferred
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions import identity
from airflow_mlops_provider.places.kubernetes.run import PodRun, PodWork
from airflow_mlops_provider.places.kubernetes.task import PodTask
from airflow_mlops_provider.places.kubernetes.watch import Watch

TRIGGER = "airflow_mlops_provider.triggers.pods.PodTrigger"
POD_KEY = "mlops_pod"


class PodLifecycle:
    """Brings the pod of one task to its end. A worker, a triggerer or an API server that dies meanwhile costs nothing.

    :param deferrable: wait in the triggerer, where there is one; if not, here.
    :param log: receives the pod's lines and what there is to say of it.
    """

    def __init__(self, api: PodApi, work: PodWork, watch: Watch, log: Log, *, deferrable: bool) -> None:
        self.api, self.work, self.watch, self.log, self.deferrable = api, work, watch, log, deferrable
        self._run: PodRun | None = None

    def attend(self, task: PodTask, event: dict[str, Any] | None = None) -> PodRun:
        """Find the task's pod or make it, wait for its end, decide that, and remove it.

        :param event: what the trigger saw, after a deferral.
        :raises Deferred: if the trigger is to wait.
        :raises MLOpsError: how it ended, if not well.
        """
        event = event or {}
        watched = self._observe(event["name"], task, event) if "name" in event else None
        run = self._run = watched or self._find(task) or self._create(task)
        verdict, goes_on = run.look()
        if verdict.action == "wait":
            if goes_on and self.deferrable and task.context is not None and "stay" not in event:
                raise Deferred(TRIGGER, self._trigger_arguments(run))
            verdict = run.wait()
        if run.seen:  # else the pod may well be alive, and the next try goes on with it
            run.end(verdict)
            task.remember(POD_KEY, {"name": run.name, "decided": True})
        if verdict.action == "error":
            raise self.work.error(run, verdict)
        return run

    def stop(self) -> None:
        """Delete the pod: somebody stopped the task."""
        if self._run is not None:
            try:
                self._run.stop()
            except MLOpsError as error:  # its own deadline ends it
                self.log.warning("the pod could not be deleted: %s", error)

    def _find(self, task: PodTask) -> PodRun | None:
        """Return the pod that an earlier try has made, if that is still to be decided."""
        stored = task.recall(POD_KEY) or {}
        if "name" in stored and (run := self._resume(stored["name"], task, decided=stored.get("decided", False))):
            return run
        mine = task.identity
        for pod in self.api.find(identity.selector(mine)) if mine.dag_id else ():
            theirs = identity.run_of(pod)
            if theirs and theirs.same_task(mine) and (run := self._resume(pod["metadata"]["name"], task)):
                return run
        return None

    def _resume(self, name: str, task: PodTask, *, decided: bool = False) -> PodRun | None:
        """Return a pod of an earlier try, or remove it if it is of no more use."""
        pod = self.api.read(name)
        if pod is None:
            has_result = not decided and self.work.manifest_state(name) in {"success", "failed"}
            return self._observe(name, task) if has_result else None
        if not decided and self.work.same_work(pod):
            self.log.info("going on with pod %s of an earlier try", name)
            return self._observe(name, task)
        if identity.DECIDED not in pod["metadata"]["labels"]:  # else it is kept for somebody to look at
            self.log.info("removing pod %s, which an earlier try has left", name)
            self.api.delete(pod)
        return None

    def _create(self, task: PodTask) -> PodRun:
        pod = self.work.build_pod(task, self.api)
        name = pod["metadata"]["name"]
        if installation := option("installation"):
            pod["metadata"]["labels"][identity.INSTALLATION] = identity.label(installation)
        run = self._run = self._observe(name, task)  # before there is a pod, so that stop() finds it
        task.remember(POD_KEY, {"name": name})
        self.api.create(pod)
        self.log.info("created pod %s in namespace %s", name, self.api.namespace)
        if run.observer.stopped:
            run.stop()
        return run

    def _observe(self, name: str, task: PodTask, event: dict[str, Any] | None = None) -> PodRun:
        watch = self.watch.model_copy(update={"deadline": task.deadline})
        return PodRun(self.api, name, watch, self.work, self.log, event)

    def _trigger_arguments(self, run: PodRun) -> dict[str, Any]:
        """Return what the trigger is made with: names and numbers, the credentials it finds by itself."""
        return {
            "access": self.api.access,
            "namespace": self.api.namespace,
            "name": run.name,
            "watch": run.observer.watch.to_json(),
            "passed": run.observer.log.state,
        }
