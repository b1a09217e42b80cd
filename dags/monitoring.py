"""What the live model saw, said and got right; a crossed limit goes back to training as a drift event.

For every product beside this file, on new predictions, and every hour for those that no event told of. Where none waits
to be judged, the run is skipped.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, task_group

from airflow_mlops_provider import assets
from airflow_mlops_provider.operators.feedback import FeedbackSendSignalOperator
from airflow_mlops_provider.operators.monitoring import (
    EvidentlyCompareIntervalOperator,
    LabelsJudgePredictionsOperator,
    PredictionsListNewOperator,
)
from airflow_mlops_provider.pipelines import defaults, products

for product in products(__file__):
    with DAG(
        dag_id=f"{product.name}_monitoring",
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable("35 * * * *", timezone="UTC"), assets=[assets.predictions(product)]
        ),
        catchup=False,
        max_active_runs=1,
        **defaults(product, __doc__),
    ):

        @task_group
        def monitoring(predictions, features, version):
            """Look at one interval's predictions."""
            drift = EvidentlyCompareIntervalOperator(
                task_id="drift", product=product, predictions=predictions, version=version
            )
            performance = LabelsJudgePredictionsOperator(
                task_id="performance", product=product, predictions=predictions, features=features
            )
            FeedbackSendSignalOperator(
                task_id="feedback",
                product=product,
                predictions=predictions,
                drift=drift.output,
                performance=performance.output,
            )

        monitoring.expand_kwargs(PredictionsListNewOperator(task_id="list_new_predictions", product=product).output)
