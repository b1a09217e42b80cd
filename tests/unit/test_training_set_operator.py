"""A training set is filed under the newest interval in it, so that the next plan knows what is new."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.operators.features import FeastBuildTrainingSetOperator
from flight_delay.product import product


def test_a_training_set_bears_its_newest_interval() -> None:
    """Without it every plan would take its training for the first."""
    months = [
        Interval(start=datetime(2013, n, 1, tzinfo=UTC), end=datetime(2013, n + 1, 1, tzinfo=UTC)) for n in (1, 2)
    ]
    features = [Dataset(uri="/any", hash="any", interval=month).to_json() for month in months]
    task = FeastBuildTrainingSetOperator(task_id="any", product=product, features=features)
    assert task.interval({}) == months[-1]
