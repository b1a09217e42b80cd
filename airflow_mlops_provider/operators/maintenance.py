"""What keeps the loop's own house in order. No stage of the loop: nothing waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.deployment import failing, port
from airflow_mlops_provider.operators.events import artifact_store
from airflow_mlops_provider.places.kubernetes.decisions.orphans import GONE
from airflow_mlops_provider.storage.layout import product_key

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from airflow_mlops_provider.places.kubernetes.api import PodApi


class KubernetesRemoveOrphansOperator(BaseOperator):
    """Removes the pods of this Airflow whose task instance is finished or gone, and hands on their names.

    Which pods are this Airflow's, ``[mlops] installation`` says: without it, or without a cluster, it is skipped.

    :param conn_id, namespace: the Airflow connection to the cluster, and where in it; by default as
        ``[mlops] kubernetes_pod`` says. Places that go elsewhere need a task of their own for it.
    :param keep_hours: for how long pods stay that a place was told to keep.
    """

    template_fields: Sequence[str] = ("conn_id", "namespace")
    ui_color = "#dcecf5"

    def __init__(
        self,
        *,
        conn_id: str | None = None,
        namespace: str | None = None,
        keep_hours: float = 72,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        self.namespace = namespace
        self.keep_hours = keep_hours

    def execute(self, context: Context) -> list[str]:
        """Look at each pod that this provider manages, and remove the orphans."""
        from airflow_mlops_provider.places.kubernetes.reaper import reap

        installation = option("installation")
        if installation is None:
            raise AirflowSkipException("[mlops] installation is not set: no pod is known to be this Airflow's own")
        ti = context["ti"]
        with failing():
            removed = reap(self._api(), installation, lambda run: state_of(ti, run), self.log, self.keep_hours)
        self.log.info("removed %d pods", len(removed))
        return removed

    def _api(self) -> PodApi:
        """Return the pods where this Airflow makes them. :raises AirflowSkipException: if no cluster is configured."""
        from kubernetes.config import ConfigException

        from airflow_mlops_provider.places.default import configured_pod
        from airflow_mlops_provider.places.kubernetes.operator import DurablePodOperator

        usual = configured_pod() if option("kubernetes_pod") else None
        conn_id = self.conn_id or (usual.conn_id if usual else "kubernetes_default")
        namespace = self.namespace or (usual.namespace if usual else None)
        api = DurablePodOperator(task_id="pods", kubernetes_conn_id=conn_id, namespace=namespace).api
        try:
            api.hook.get_conn()
        except ConfigException as error:
            raise AirflowSkipException(f"no Kubernetes cluster is configured: {error}") from None
        return api


class ModelServerReconcileOperator(JobOperator):
    """Brings model server, release pointer, ledger and MLflow's aliases back to one truth, and says what differed.

    What a killed deployment left is finished or taken back, and a local server that died is started again. It fails if
    something differs that only a person can put right; a product without versions is skipped.
    """

    job = "reconcile"

    def execute(self, context: Context) -> dict[str, Any]:
        if not artifact_store().list(product_key(self.product.name, "ledger")):
            raise AirflowSkipException(f"no version of {self.product.name} was ever registered")
        return super().execute(context)

    def interval(self, context: Context) -> Interval | None:
        return None

    def params_of(self, context: Context) -> dict[str, Any]:
        return port()

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        report = manifest.result
        assert isinstance(report, Report)
        if not report.passed:
            raise AirflowFailException("; ".join(report.broken))
        return report.to_json()


def state_of(ti: RuntimeTaskInstanceProtocol, run: RunIdentity) -> str | None:
    """Return a task instance's state as Airflow knows it: None if it has none yet, ``gone`` if there is none.

    A worker may not read Airflow's database; its task's own interface may be asked.
    """
    mapped = run.map_index >= 0
    found = ti.get_task_states(
        dag_id=run.dag_id,
        map_index=run.map_index if mapped else None,
        task_ids=[run.task_id],
        run_ids=[run.run_id],
    )
    states: dict[str, str | None] = found.get(run.run_id, {})
    return states.get(f"{run.task_id}_{run.map_index}" if mapped else run.task_id, GONE)
