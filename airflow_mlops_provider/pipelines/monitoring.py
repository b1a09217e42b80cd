"""What the live model saw, said and got right; a crossed limit goes back to training as a drift event.

It runs on new predictions, and every hour for those that no event told of. What model servers answered is collected
from their logs, interval by interval, and judged by version. Where nothing waits to be judged, the run is skipped.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, task_group

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.operators.feedback import FeedbackSendSignalOperator
from airflow_mlops_provider.operators.monitoring import (
    EvidentlyCompareIntervalOperator,
    LabelsJudgePredictionsOperator,
    PredictionsCollectServedOperator,
    PredictionsListCollectedOperator,
    PredictionsListNewOperator,
    PredictionsListServedOperator,
)
from airflow_mlops_provider.pipelines.base import Pipeline, Steps


def settings(product: MLProduct) -> dict[str, Any]:
    """Return the DAG's own arguments: on new predictions, and every hour."""
    timetable = CronTriggerTimetable("35 * * * *", timezone="UTC")
    return {
        "schedule": AssetOrTimeSchedule(timetable=timetable, assets=[assets.predictions(product)]),
        "catchup": False,
        "max_active_runs": 1,
    }


def build(step: Steps) -> None:
    """Make the steps: after the first, the same for each interval."""

    @task_group
    def monitoring(predictions: Any, features: Any, version: Any) -> None:
        """Look at one interval's predictions."""
        drift = step("drift", EvidentlyCompareIntervalOperator, predictions=predictions, version=version)
        performance = step("performance", LabelsJudgePredictionsOperator, predictions=predictions, features=features)
        step("feedback", FeedbackSendSignalOperator, predictions=predictions, drift=drift, performance=performance)

    waiting = step("list_new_predictions", PredictionsListNewOperator)
    monitoring.expand_kwargs(waiting.output)

    @task_group
    def served(predictions: Any, version: Any) -> None:
        """Look at what one version answered over REST in one interval."""
        seen: dict[str, Any] = {
            "drift": step("served_drift", EvidentlyCompareIntervalOperator, predictions=predictions, version=version)
        }
        if step.product.label.truth:  # others' labels come with the features of an interval, to be predicted in batch
            seen["performance"] = step("served_performance", LabelsJudgePredictionsOperator, predictions=predictions)
        step("served_feedback", FeedbackSendSignalOperator, predictions=predictions, **seen)

    windows = step("list_served", PredictionsListServedOperator)
    answers = step("collect", PredictionsCollectServedOperator, over={"window": windows})
    # What an earlier run has collected, and not judged, waits too.
    collected = step("list_collected", PredictionsListCollectedOperator, after=answers, trigger_rule="none_failed")
    served.expand_kwargs(collected.output)


PIPELINE = Pipeline(__doc__, settings, build)
