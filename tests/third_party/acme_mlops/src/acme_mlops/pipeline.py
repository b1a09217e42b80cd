"""A pipeline: data to train on, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.operators.features import FeastBuildTrainingSetOperator
from airflow_mlops_provider.operators.training import TrainingPlanRunOperator
from airflow_mlops_provider.pipelines.base import Pipeline, Steps

if TYPE_CHECKING:
    from airflow_mlops_provider import MLProduct


def settings(product: MLProduct) -> dict[str, Any]:
    """Return the DAG's own arguments."""
    return {"schedule": None}


def build(step: Steps) -> None:
    """Make the steps."""
    plan = step("plan", TrainingPlanRunOperator)
    step("build_training_set", FeastBuildTrainingSetOperator, features=plan)


acme_split = Pipeline(__doc__, settings, build)
