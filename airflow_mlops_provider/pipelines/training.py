"""A new model when one is due: after drift, after enough new features, or when the clock says so.

Each run first decides whether a training is due; if not, it is skipped and says why. A version that passes all gates
sends the event on which deployment is scheduled. Triggered by hand, its form takes another trainer, the place of the
training, and how much it learns from.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, TaskGroup

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.operators.evaluation import ModelEvaluateOperator, ModelRetuneOperator
from airflow_mlops_provider.operators.features import FeastBuildTrainingSetOperator
from airflow_mlops_provider.operators.registry import MlflowRegisterModelOperator, ModelPromoteVersionOperator
from airflow_mlops_provider.operators.training import ModelTrainOperator, TrainingPlanRunOperator, form
from airflow_mlops_provider.operators.validation import GreatExpectationsValidateDatasetOperator
from airflow_mlops_provider.pipelines.base import Pipeline, Steps


def settings(product: MLProduct) -> dict[str, Any]:
    """Return the DAG's own arguments: on new features, on drift, and once a week."""
    timetable = CronTriggerTimetable("0 3 * * 0", timezone="UTC")
    events = assets.features(product) | assets.drift(product)
    return {
        "schedule": AssetOrTimeSchedule(timetable=timetable, assets=events),
        "catchup": False,
        "max_active_runs": 1,
        "params": form(product),
    }


def build(step: Steps) -> None:
    """Make the steps. What is trained has been validated; without retuning, the first evaluation counts."""
    chosen: dict[str, Any] = {"trainer": "{{ params.trainer }}", "place": "{{ params.place }}"}
    with TaskGroup("features"):
        plan = step("plan", TrainingPlanRunOperator, window="{{ params.window }}")
        data = step("build_training_set", FeastBuildTrainingSetOperator, features=plan)

    with TaskGroup("validation"):
        valid = step("validate_training_set", GreatExpectationsValidateDatasetOperator, dataset=data, what="training")

    with TaskGroup("training"):
        model = step("train", ModelTrainOperator, training_set=data, after=valid, **chosen)

    with TaskGroup("evaluation"):
        evaluation = step("evaluate", ModelEvaluateOperator, model=model, training_set=data)
        retuned = step("retune", ModelRetuneOperator, model=model, training_set=data, evaluation=evaluation, **chosen)

    with TaskGroup("registry"):
        version = step(
            "register",
            MlflowRegisterModelOperator,
            model=retuned["model"] or model,
            evaluation=retuned or evaluation,
            cause=plan["cause"],
            reason=plan["reason"],
        )
        step(
            "promote",
            ModelPromoteVersionOperator,
            version=version,
            validation=valid,
            evaluation=retuned or evaluation,
        )


PIPELINE = Pipeline(__doc__, settings, build)
