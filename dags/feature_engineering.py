"""Features of one data interval after another: from the sources to the feature store.

For every product beside this file. A run waits until its interval's data has been delivered and no earlier run is on
its way, so that intervals go through in order; running one again replaces what it wrote, also while the newest waits.
Nothing reaches the store from data that is not valid.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup

from airflow_mlops_provider.operators.features import (
    FeastLoadIntervalOperator,
    FeaturesComputeIntervalOperator,
    RulesCleanIntervalOperator,
    SourceExtractIntervalOperator,
)
from airflow_mlops_provider.operators.validation import GreatExpectationsValidateDatasetOperator
from airflow_mlops_provider.pipelines import defaults, last_start, products
from airflow_mlops_provider.sensors.features import SourceDeliverySensor

for product in products(__file__):
    with DAG(
        dag_id=f"{product.name}_feature_engineering",
        schedule=CronDataIntervalTimetable(product.schedule.cron, timezone="UTC"),
        start_date=product.schedule.start,
        end_date=last_start(product),
        catchup=True,
        **defaults(product, __doc__),
    ):
        with TaskGroup("sources"):
            delivered = SourceDeliverySensor(task_id="wait_for_delivery", product=product)
            raw = SourceExtractIntervalOperator(task_id="extract", product=product)

        with TaskGroup("validation"):
            valid = GreatExpectationsValidateDatasetOperator(
                task_id="validate_raw", product=product, dataset=raw.output, what="raw"
            )

        with TaskGroup("features"):
            clean = RulesCleanIntervalOperator(task_id="clean", product=product, raw=raw.output)
            features = FeaturesComputeIntervalOperator(task_id="compute", product=product, clean=clean.output)
            loaded = FeastLoadIntervalOperator(task_id="load", product=product, features=features.output)

        delivered >> raw
        valid >> loaded
