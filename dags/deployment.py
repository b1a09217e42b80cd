"""A version that passed all gates goes live, or what served before goes on serving.

For every product beside this file, on the event that a version has become production-ready. Triggered by hand, its form
takes the number of a version, and *Rollback* brings back one that was retired.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, TaskGroup

from airflow_mlops_provider import assets
from airflow_mlops_provider.operators.deployment import ModelServerDeployVersionOperator
from airflow_mlops_provider.pipelines import defaults, products

FORM = {
    "version": Param(
        None,
        type=["integer", "null"],
        minimum=1,
        title="Version",
        description="Empty: the newest production-ready one.",
    ),
    "rollback": Param(
        False, type="boolean", title="Rollback", description="The version was retired, and is to come back."
    ),
}

for product in products(__file__):
    settings = defaults(product, __doc__)
    with (
        DAG(
            dag_id=f"{product.name}_deployment",
            schedule=[assets.production_ready(product)],
            max_active_runs=1,
            **{**settings, "params": {**settings["params"], **FORM}},
        ),
        TaskGroup("deployment"),
    ):
        ModelServerDeployVersionOperator(
            task_id="deploy", product=product, version="{{ params.version }}", rollback="{{ params.rollback }}"
        )
