"""Every hour: what ought to be the same is made the same, and orphans are removed.

For every product beside this file, model server, release pointer, ledger and MLflow's aliases are compared; what a
killed deployment or a dead server left is put right, and what only a person can put right fails the task. Pods that no
task waits for any more are removed from the cluster; that needs ``[mlops] installation``, a name that no other Airflow
in the cluster has, and is skipped without. What became stale while a run was under way, and by no later one was made
anew, is run again. Requests to forget entities are seen to their end.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_mlops_provider.operators.maintenance import (
    EntitiesForgetOperator,
    FeaturesRemakeStaleOperator,
    ModelServerReconcileOperator,
    PlaceRemoveOrphansOperator,
)
from airflow_mlops_provider.pipelines import products

with DAG(
    dag_id="mlops_maintenance",
    schedule="0 * * * *",
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["mlops"],
):
    PlaceRemoveOrphansOperator(task_id="remove_orphans")
    for product in products(__file__):
        ModelServerReconcileOperator(task_id=f"reconcile_{product.name}", product=product)
        FeaturesRemakeStaleOperator(task_id=f"remake_stale_{product.name}", product=product)
        EntitiesForgetOperator(task_id=f"forget_{product.name}", product=product, entities=())
