"""The operator for a first look refuses a kind that there is not, where the DAG is written."""

from __future__ import annotations

import pytest

from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.operators.initiation import DataProfileOperator


def test_an_unknown_kind_is_refused() -> None:
    """With those there are."""
    with pytest.raises(UnknownNameError, match="known: anomaly_detection"):
        DataProfileOperator(task_id="look", data="x.csv", problem="clustering")


def test_what_is_known_goes_to_the_job() -> None:
    """What is not said stays to be proposed."""
    task = DataProfileOperator(task_id="look", data="x.csv", label="late", owner="ada")
    assert task.overrides == {"label": "late", "owner": "ada"}
