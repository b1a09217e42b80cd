"""Predictions for every interval whose features are there, with the version that is live.

For every product beside this file, on new features, and every hour for those that no event told of. Several intervals
that wait are predicted side by side; where none does, the run is skipped.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, TaskGroup

from airflow_mlops_provider import assets
from airflow_mlops_provider.operators.serving import (
    FeaturesListNewOperator,
    ModelFindLiveVersionOperator,
    ModelPredictIntervalOperator,
)
from airflow_mlops_provider.pipelines import defaults, products

for product in products(__file__):
    with (
        DAG(
            dag_id=f"{product.name}_batch_inference",
            schedule=AssetOrTimeSchedule(
                timetable=CronTriggerTimetable("5 * * * *", timezone="UTC"), assets=[assets.features(product)]
            ),
            catchup=False,
            max_active_runs=1,
            **defaults(product, __doc__),
        ),
        TaskGroup("serving"),
    ):
        version = ModelFindLiveVersionOperator(task_id="find_live_version", product=product)
        features = FeaturesListNewOperator(task_id="list_new_features", product=product)
        # Mapped tasks tell Airflow of their outlets here, not in their class.
        ModelPredictIntervalOperator.partial(
            task_id="predict", product=product, version=version.output, outlets=[assets.predictions(product)]
        ).expand(features=features.output)
