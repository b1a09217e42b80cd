"""Predictions for every interval whose features are there, with the version that is live.

It runs on new features, and every hour for those that no event told of. Several intervals that wait are predicted side
by side; where none does, the run is skipped.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, TaskGroup

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.operators.serving import (
    FeaturesListNewOperator,
    ModelFindLiveVersionOperator,
    ModelPredictIntervalOperator,
)
from airflow_mlops_provider.pipelines.base import Pipeline, Steps


def settings(product: MLProduct) -> dict[str, Any]:
    """Return the DAG's own arguments: on new features, and every hour."""
    timetable = CronTriggerTimetable("5 * * * *", timezone="UTC")
    return {
        "schedule": AssetOrTimeSchedule(timetable=timetable, assets=[assets.features(product)]),
        "catchup": False,
        "max_active_runs": 1,
    }


def build(step: Steps) -> None:
    """Make the steps."""
    with TaskGroup("serving"):
        version = step("find_live_version", ModelFindLiveVersionOperator)
        features = step("list_new_features", FeaturesListNewOperator)
        # Mapped tasks tell Airflow of their outlets here, not in their class.
        step(
            "predict",
            ModelPredictIntervalOperator,
            over={"features": features},
            version=version,
            outlets=[assets.predictions(step.product)],
        )


PIPELINE = Pipeline(__doc__, settings, build)
