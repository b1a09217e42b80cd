"""A KubernetesPodOperator that loses nothing: its pod is made once, found again, decided once, and never left behind.

Importing this file loads the Kubernetes provider, as any KubernetesPodOperator does; the operators of jobs do so only
when their task runs.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError
from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.places.deferral import Deferred, Resumable
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions import identity as pod_identity
from airflow_mlops_provider.places.kubernetes.decisions.ends import Timeouts
from airflow_mlops_provider.places.kubernetes.decisions.table import ManifestState, PodVerdict
from airflow_mlops_provider.places.kubernetes.run import Keep, PodRun, Watch
from airflow_mlops_provider.places.kubernetes.task import PodTask
from airflow_mlops_provider.places.kubernetes.values import LogBounds

if TYPE_CHECKING:
    from airflow.sdk import Context

TRIGGER = "airflow_mlops_provider.triggers.pods.PodTrigger"
MEMORY_KEY = "mlops_pod"
KEEP: dict[str, Keep] = {
    "delete_pod": "none",
    "delete_succeeded_pod": "failed",
    "delete_active_pod": "all",
    "keep_pod": "all",
}
#: What KubernetesPodOperator takes and this one could not honour.
REFUSED = {
    **dict.fromkeys(("callbacks", "progress_callback", "trigger_kwargs", "log_formatter"), "it would not be called"),
    **dict.fromkeys(("durable", "reattach_on_restart"), "a pod is always found again"),
    **dict.fromkeys(("on_kill_action", "is_delete_operator_pod"), "a stopped task leaves no pod"),
    **dict.fromkeys(("init_container_logs", "container_logs"), "the log is that of the container 'base'"),
    "base_container_name": "the container that decides is named 'base'",
    "do_xcom_push": "results get lost in a sidecar; leave them in the artifact root",
    "logging_interval": "the trigger passes the log on",
    "skip_on_exit_code": "a status other than 0 is a failure",
}


class DurablePodOperator(Resumable, KubernetesPodOperator):
    """Runs a pod to its end, and says how it ended by one of our exceptions, with the cluster's own reason.

    It takes what a KubernetesPodOperator takes, but for what it would have to ignore. It waits in the triggerer unless
    told otherwise; a worker, a triggerer or an API server that dies meanwhile costs nothing.

    :param active_deadline_seconds: how long the pod may live at most; a shorter ``execution_timeout`` counts more.
    :param schedule_timeout_seconds: how long a node may take to be found, or to be provisioned.
    :param startup_timeout_seconds: how long the container may take to start, from then on.
    :param log_bounds: how much of the pod's log goes into the task's.
    """

    def __init__(
        self,
        *,
        deferrable: bool = True,
        poll_interval: float = 10,
        active_deadline_seconds: int = 24 * 3600,
        schedule_timeout_seconds: int = 1800,
        startup_timeout_seconds: int = 900,
        log_bounds: LogBounds | None = None,
        **kwargs: Any,
    ) -> None:
        for name in REFUSED.keys() & kwargs.keys():
            if kwargs[name]:
                raise ConfigurationError(f"{type(self).__name__} takes no {name}: {REFUSED[name]}")
        super().__init__(
            deferrable=deferrable,
            poll_interval=poll_interval,
            active_deadline_seconds=active_deadline_seconds,
            schedule_timeout_seconds=schedule_timeout_seconds,
            startup_timeout_seconds=startup_timeout_seconds,
            **kwargs,
        )
        self.log_bounds = log_bounds or LogBounds()
        self._run: PodRun | None = None

    def execute(self, context: Context) -> None:
        """Run the pod. :raises MLOpsError: how it ended, if not well."""
        self.resume(context, None)

    def resume(self, context: Context, event: dict[str, Any] | None) -> None:
        """Go on after a deferral. :raises MLOpsError: how the pod ended, if not well.

        :raises AirflowFailException: if no retry can mend that.
        """
        try:
            self.attend(context, event)
        except Deferred as waiting:
            self.defer(trigger=waiting.trigger(), method_name="resume")
        except MLOpsError as error:
            if error.retryable:
                raise
            raise AirflowFailException(f"{type(error).__name__}: {error}") from None

    def on_kill(self) -> None:
        """Delete the pod: somebody stopped the task."""
        if self._run is not None:
            try:
                self._run.stop()
            except MLOpsError as error:  # its own deadline ends it
                self.sink.warning("the pod could not be deleted: %s", error)

    def attend(self, context: Context | None, event: dict[str, Any] | None = None) -> PodRun:
        """Find the task's pod or make it, wait for its end, decide that, and remove it.

        :param event: what the trigger saw, after a deferral.
        :raises Elsewhere: if the trigger is to wait.
        :raises MLOpsError: how it ended, if not well.
        """
        task, event = PodTask(context), event or {}
        told = self._watched(event["name"], task, event) if "name" in event else None
        run = self._run = told or self._found(task) or self._begun(task)
        conclusion, goes_on = run.look()
        if conclusion.action == "wait":
            if goes_on and self.deferrable and context is not None and "stay" not in event:
                raise Deferred(TRIGGER, {**self._way(), **run.to_json()})
            conclusion = run.wait()
        if run.seen:  # else the pod may well be alive, and the next try goes on with it
            run.end(conclusion)
            task.remember(MEMORY_KEY, {"name": run.name, "decided": True})
        if conclusion.action == "error":
            raise self.error(run, conclusion)
        return run

    # --- what a job does differently ----------------------------------------------------------------------------------

    def build_pod(self, task: PodTask) -> dict[str, Any]:
        """Return the pod to create, as the API's JSON."""
        request = self.build_pod_request_obj(task.context)
        pod = self.api.plain(request)
        meta = pod["metadata"]
        meta["name"] = pod_identity.pod_name(task.identity, task.unique)
        meta["labels"] = {**(meta.get("labels") or {}), **pod_identity.labels(task.identity)}
        meta["annotations"] = {**(meta.get("annotations") or {}), **pod_identity.full_ids(task.identity)}
        pod["spec"]["activeDeadlineSeconds"] = task.seconds(self.active_deadline_seconds or 24 * 3600)
        return pod

    def standing(self, name: str) -> ManifestState:
        """Return what the manifest of a pod's job says; this pod leaves none."""
        return "not_expected"

    def save_log(self, name: str, data: bytes) -> str | None:
        """Keep a pod's whole log, and return where; None if there is no place for it."""
        return None

    def same_work(self, pod: dict[str, Any]) -> bool:
        """Say whether a pod of this task, from an earlier try, does what is asked for now."""
        return True

    @property
    def sink(self) -> Any:
        """What receives the pod's lines, and what there is to say of it."""
        return self.log

    def error(self, run: PodRun, conclusion: PodVerdict) -> MLOpsError:
        """Return what to raise for a pod that did not end well."""
        return conclusion.exception()

    # --- the pod ------------------------------------------------------------------------------------------------------

    @cached_property
    def api(self) -> PodApi:
        """The cluster."""
        return PodApi(self.hook, self.namespace, self._incluster_namespace)

    def _found(self, task: PodTask) -> PodRun | None:
        """Return the pod that an earlier try has made, if that is still to be decided."""
        stored = task.recall(MEMORY_KEY) or {}
        if "name" in stored and (run := self._left(stored["name"], task, decided=stored.get("decided", False))):
            return run
        mine = task.identity
        for pod in self.api.find(pod_identity.selector(mine)) if mine.dag_id else ():
            theirs = pod_identity.run_of(pod)
            if theirs and theirs.same_task(mine) and (run := self._left(pod["metadata"]["name"], task)):
                return run
        return None

    def _left(self, name: str, task: PodTask, *, decided: bool = False) -> PodRun | None:
        """Return a pod that an earlier try left, or remove it if it is of no more use."""
        pod = self.api.read(name)
        if pod is None:
            told = not decided and self.standing(name) in {"success", "failed"}
            return self._watched(name, task) if told else None
        if not decided and self.same_work(pod):
            self.sink.info("going on with pod %s of an earlier try", name)
            return self._watched(name, task)
        if pod_identity.DECIDED not in pod["metadata"]["labels"]:  # else it is kept for somebody to look at
            self.sink.info("removing pod %s, which an earlier try has left", name)
            self.api.delete(pod)
        return None

    def _begun(self, task: PodTask) -> PodRun:
        pod = self.build_pod(task)
        name = pod["metadata"]["name"]
        if installation := option("installation"):
            pod["metadata"]["labels"][pod_identity.INSTALLATION] = pod_identity.label(installation)
        run = self._run = self._watched(name, task)  # before there is a pod, so that on_kill finds it
        task.remember(MEMORY_KEY, {"name": name})
        self.api.create(pod)
        self.sink.info("created pod %s in namespace %s", name, self.api.namespace)
        if run.stopped:
            run.stop()
        return run

    def _watched(self, name: str, task: PodTask, event: dict[str, Any] | None = None) -> PodRun:
        watch = Watch(
            timeouts=Timeouts(schedule=self.schedule_timeout_seconds, startup=self.startup_timeout_seconds),
            poll_seconds=self.poll_interval,
            deadline=task.deadline,
            log=self.log_bounds,
            keep=KEEP[self.on_finish_action.value],
        )
        return PodRun(self.api, name, watch, self.sink, standing=self.standing, save=self.save_log, event=event)

    def _way(self) -> dict[str, Any]:
        """Return how the triggerer reaches the cluster: names only, the credentials it finds by itself."""
        named = {name: getattr(self, name) for name in ("in_cluster", "cluster_context", "config_file")}
        return {"conn_id": self.kubernetes_conn_id, **{key: value for key, value in named.items() if value is not None}}
