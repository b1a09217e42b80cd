"""A version that passed all gates goes live, at once or step by step, or what served before goes on serving.

Where the product says so, people must agree first. It runs on the event that a version has become production-ready.
Triggered by hand, its form takes the number of a version, and *Rollback* brings back one that was retired.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, TaskGroup

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.operators.approval import ModelApproveVersionOperator
from airflow_mlops_provider.operators.deployment import ModelServerDeployVersionOperator
from airflow_mlops_provider.pipelines.base import Pipeline, Steps


def settings(product: MLProduct) -> dict[str, Any]:
    """Return the DAG's own arguments: on production-ready versions, and a form for other ones."""
    version = Param(
        None,
        type=["integer", "null"],
        minimum=1,
        title="Version",
        description="Empty: the newest production-ready one.",
    )
    rollback = Param(
        False, type="boolean", title="Rollback", description="The version was retired, and is to come back."
    )
    reason = Param("", type="string", title="Reason", description="Of a rollback: why it is made, for the ledger.")
    share = Param(
        None,
        type=["number", "null"],
        exclusiveMinimum=0,
        maximum=1,
        title="Share",
        description="Of calls that the canary answers; 1: all at once. Empty: what the product says.",
    )
    further = {"share": share} if product.deployment.rollout else {}
    return {
        "schedule": [assets.production_ready(product)],
        "max_active_runs": 1,
        "params": {"version": version, "rollback": rollback, "reason": reason, **further},
    }


def build(step: Steps) -> None:
    """Make the steps; people are asked only where the product names them."""
    version: Any = "{{ params.version }}"
    share: dict[str, Any] = {"share": "{{ params.share }}"} if step.product.deployment.rollout else {}
    with TaskGroup("deployment"):
        if step.product.deployment.approval:
            version = step("approve", ModelApproveVersionOperator, version=version)
        step(
            "deploy",
            ModelServerDeployVersionOperator,
            version=version,
            rollback="{{ params.rollback }}",
            reason="{{ params.reason }}",
            **share,
        )


PIPELINE = Pipeline(__doc__, settings, build)
