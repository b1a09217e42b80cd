"""Started by hand, with a form: look at any data, and propose a product for it, before there is one.

The task's link *Report* shows what is in the data, what is proposed and why, and what is left to decide; ``airflow
mlops init`` writes the product.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_mlops_provider.operators.initiation import DataProfileOperator

OPEN = {"type": ["null", "string"], "description": "Empty for what is proposed."}

with DAG(
    dag_id="mlops_initiation",
    schedule=None,
    doc_md=__doc__,
    tags=["mlops"],
    params={
        "data": Param(
            type="string", minLength=1, title="Data", description="A file, a pattern, or a folder with a / at its end."
        ),
        "label": Param(None, title="Label", **OPEN),
        "time": Param(None, title="Time of a row", **OPEN),
        "problem": Param(None, title="Kind of problem", **OPEN),
    },
):

    @task
    def read_form(params: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what was filled in beside the data, for a look."""
        return [{name: value for name, value in params.items() if value and name != "data"}]

    DataProfileOperator.partial(task_id="look", data="{{ params.data }}").expand_kwargs(read_form())
