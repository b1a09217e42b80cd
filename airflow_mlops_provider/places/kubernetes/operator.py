"""A KubernetesPodOperator that loses nothing: its pod is made once, found again, decided once, and never left behind.

Importing this file loads the Kubernetes provider, as any KubernetesPodOperator does; the operators of jobs do so only
when their task runs.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import Context

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.places.deferral import Deferred, Resumable
from airflow_mlops_provider.places.kubernetes.api import PodApi
from airflow_mlops_provider.places.kubernetes.decisions import identity
from airflow_mlops_provider.places.kubernetes.decisions.ends import Timeouts
from airflow_mlops_provider.places.kubernetes.run import PodRun, PodTask
from airflow_mlops_provider.places.kubernetes.watch import Keep, LogBounds, Watch
from airflow_mlops_provider.places.retry_policy import final_failures

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
ACCESS = {"conn_id": "kubernetes_conn_id", **{name: name for name in ("in_cluster", "cluster_context", "config_file")}}


class DurablePodOperator(Resumable, KubernetesPodOperator):
    """Runs a pod to its end, and says how it ended by one of our exceptions, with the cluster's own reason.

    It takes what a KubernetesPodOperator takes, but for what it would have to ignore. By default it waits in the
    triggerer; a worker, a triggerer or an API server that dies meanwhile costs nothing.

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

    @final_failures()
    def resume(self, context: Context, event: dict[str, Any] | None) -> None:
        """Go on after a deferral. :raises MLOpsError: how the pod ended, if not well.

        :raises AirflowFailException: if no retry helps.
        """
        try:
            self.attend(context, event)
        except Deferred as deferred:
            self.defer(trigger=deferred.trigger(), method_name="resume")

    def attend(self, context: Context | None, event: dict[str, Any] | None = None) -> PodRun:
        """Bring the task's pod to its end, and return it. See :meth:`.PodRun.attend`."""
        self._run = _OperatorsPod(self, PodTask(context), event)
        self._run.attend()
        return self._run

    def on_kill(self) -> None:
        if self._run is not None:
            self._run.stop()

    @cached_property
    def api(self) -> PodApi:
        access = {name: getattr(self, field) for name, field in ACCESS.items()}
        return PodApi({name: value for name, value in access.items() if value is not None}, self.namespace)


class _OperatorsPod(PodRun):
    """The pod that a KubernetesPodOperator's arguments describe, under a name and labels of ours."""

    def __init__(self, operator: DurablePodOperator, task: PodTask, event: dict[str, Any] | None) -> None:
        watch = Watch(
            timeouts=Timeouts(schedule=operator.schedule_timeout_seconds, startup=operator.startup_timeout_seconds),
            poll_seconds=operator.poll_interval,
            log=operator.log_bounds,
            keep=KEEP[operator.on_finish_action.value],
        )
        super().__init__(operator.api, task, watch, operator.log, event, deferrable=operator.deferrable)
        self.operator = operator

    def build_pod(self) -> dict[str, Any]:
        pod = self.api.plain(self.operator.build_pod_request_obj(self.task.context))
        meta, run = pod["metadata"], self.task.identity
        meta["name"] = identity.pod_name(run, self.task.unique)
        meta["labels"] = {**(meta.get("labels") or {}), **identity.labels(run)}
        meta["annotations"] = {**(meta.get("annotations") or {}), **identity.full_ids(run)}
        pod["spec"]["activeDeadlineSeconds"] = self.task.seconds(self.operator.active_deadline_seconds or 24 * 3600)
        return pod
