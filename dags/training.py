"""A new model when one is due: after drift, after enough new features, or when the clock says so.

For every product beside this file. Each run first decides whether a training is due; if not, it is skipped and says
why. A version that passes all gates sends the event on which deployment is scheduled. Triggered by hand, its form takes
another trainer, the place of the training, and how much it learns from.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, TaskGroup, XComArg

from airflow_mlops_provider import assets
from airflow_mlops_provider.operators.evaluation import ModelEvaluateOperator, ModelRetuneOperator
from airflow_mlops_provider.operators.features import FeastBuildTrainingSetOperator
from airflow_mlops_provider.operators.registry import MlflowRegisterModelOperator, ModelPromoteVersionOperator
from airflow_mlops_provider.operators.training import ModelTrainOperator, TrainingPlanRunOperator, form
from airflow_mlops_provider.operators.validation import GreatExpectationsValidateDatasetOperator
from airflow_mlops_provider.pipelines import defaults, products

for product in products(__file__):
    common = defaults(product, __doc__)
    with DAG(
        dag_id=f"{product.name}_training",
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable("0 3 * * 0", timezone="UTC"),
            assets=assets.features(product) | assets.drift(product),
        ),
        catchup=False,
        max_active_runs=1,
        **{**common, "params": {**form(product), **common["params"]}},
    ):
        with TaskGroup("features"):
            plan = TrainingPlanRunOperator(task_id="plan", product=product, window="{{ params.window }}")
            data = FeastBuildTrainingSetOperator(task_id="build_training_set", product=product, features=plan.output)

        with TaskGroup("validation"):
            valid = GreatExpectationsValidateDatasetOperator(
                task_id="validate_training_set", product=product, dataset=data.output, what="training"
            )

        with TaskGroup("training"):
            model = ModelTrainOperator(
                task_id="train",
                product=product,
                training_set=data.output,
                trainer="{{ params.trainer }}",
                place="{{ params.place }}",
            )

        with TaskGroup("evaluation"):
            evaluation = ModelEvaluateOperator(
                task_id="evaluate", product=product, model=model.output, training_set=data.output
            )
            retuned = ModelRetuneOperator(
                task_id="retune",
                product=product,
                model=model.output,
                training_set=data.output,
                evaluation=evaluation.output,
                trainer="{{ params.trainer }}",
                place="{{ params.place }}",
            )

        with TaskGroup("registry"):
            version = MlflowRegisterModelOperator(
                task_id="register",
                product=product,
                model=XComArg(retuned, "model"),
                evaluation=retuned.output,
                cause=XComArg(plan, "cause"),
                reason=XComArg(plan, "reason"),
            )
            ModelPromoteVersionOperator(
                task_id="promote",
                product=product,
                version=version.output,
                validation=valid.output,
                evaluation=retuned.output,
            )

        valid >> model
