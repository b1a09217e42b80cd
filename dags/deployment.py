"""A version that passed all gates goes live, or what served before goes on serving.

For every product beside this file, on the event that a version has become production-ready.
"""

from __future__ import annotations

from airflow.sdk import DAG, TaskGroup

from airflow_mlops_provider import assets
from airflow_mlops_provider.operators.deployment import ModelServerDeployVersionOperator
from airflow_mlops_provider.pipelines import defaults, products

for product in products(__file__):
    with (
        DAG(
            dag_id=f"{product.name}_deployment",
            schedule=[assets.production_ready(product)],
            max_active_runs=1,
            **defaults(product, __doc__),
        ),
        TaskGroup("deployment"),
    ):
        ModelServerDeployVersionOperator(task_id="deploy", product=product)
