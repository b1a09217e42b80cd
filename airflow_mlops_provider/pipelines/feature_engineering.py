"""Features of one data interval after another: from the sources to the feature store.

A run waits until its interval's data has been delivered and no earlier run is on its way, so that intervals go through
in order; running one again replaces what it wrote, also while the newest waits. Nothing reaches the store from data
that is not valid. Rows that come late, and deliveries that are corrected, go to their interval: what stood on the old
is made anew, one run after another.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronDataIntervalTimetable, TaskGroup

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.operators.features import (
    FeastLoadIntervalOperator,
    FeaturesComputeIntervalOperator,
    RulesCleanIntervalOperator,
    SourceExtractIntervalOperator,
)
from airflow_mlops_provider.operators.maintenance import FeaturesRemakeStaleOperator
from airflow_mlops_provider.operators.validation import GreatExpectationsValidateDatasetOperator
from airflow_mlops_provider.pipelines import last_start
from airflow_mlops_provider.pipelines.base import Pipeline, Steps
from airflow_mlops_provider.sensors.features import SourceDeliverySensor


def settings(product: MLProduct) -> dict[str, Any]:
    """Return the DAG's own arguments: every interval of the product's schedule."""
    return {
        "schedule": CronDataIntervalTimetable(product.schedule.cron, timezone="UTC"),
        "start_date": product.schedule.start,
        "end_date": last_start(product),
        "catchup": product.schedule.start is not None,
        # A run that waits for its data counts as running: with fewer, a past one that is started again would wait too.
        "max_active_runs": 64,
    }


def build(step: Steps) -> None:
    """Make the steps."""
    with TaskGroup("sources"):
        delivered = step("wait_for_delivery", SourceDeliverySensor)
        raw = step("extract", SourceExtractIntervalOperator, after=delivered)

    with TaskGroup("validation"):
        valid = step("validate_raw", GreatExpectationsValidateDatasetOperator, dataset=raw, what="raw")

    with TaskGroup("features"):
        clean = step("clean", RulesCleanIntervalOperator, raw=raw)
        features = step("compute", FeaturesComputeIntervalOperator, clean=clean)
        loaded = step("load", FeastLoadIntervalOperator, features=features, after=valid)
        step("remake_stale", FeaturesRemakeStaleOperator, after=loaded)


PIPELINE = Pipeline(__doc__, settings, build)
