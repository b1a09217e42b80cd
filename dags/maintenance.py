"""Every hour: pods that no task waits for any more are removed from the cluster.

One for this Airflow, whatever its products. It needs ``[mlops] installation``, a name that no other Airflow in the
cluster bears, and is not scheduled without.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.operators.maintenance import KubernetesRemoveOrphansOperator

with DAG(
    dag_id="mlops_maintenance",
    schedule="0 * * * *" if option("installation") else None,
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["mlops"],
):
    KubernetesRemoveOrphansOperator(task_id="remove_orphans")
