"""Operators that send asset events do so when they are mapped, too."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_mlops_provider import assets
from airflow_mlops_provider.operators.experimentation import ExperimentRunTrialOperator
from airflow_mlops_provider.operators.serving import ModelPredictIntervalOperator
from flight_delay.product import product


@pytest.mark.parametrize("outlets", [{}, {"outlets": [assets.predictions(product)]}], ids=["unnamed", "named"])
def test_a_mapped_operator_keeps_its_outlet_once(outlets: dict[str, Any]) -> None:
    """Airflow hands a mapped task's outlets to its constructor even if there are none."""
    with DAG("any", schedule=None, start_date=datetime(2020, 1, 1, tzinfo=UTC)):
        partial = ModelPredictIntervalOperator.partial(task_id="predict", product=product, version={}, **outlets)
        mapped = partial.expand(features=[{}])
    task = mapped.unmap({"features": {}})
    assert task.outlets == [assets.predictions(product)]


def test_a_mapped_operator_without_outlets_has_a_list_of_none() -> None:
    """Airflow adds a mapped task's inlets and outlets up before it is made, so both must be lists."""
    with DAG("any", schedule=None, start_date=datetime(2020, 1, 1, tzinfo=UTC)):
        mapped = ExperimentRunTrialOperator.partial(task_id="trial", product=product, split={}).expand(slot=[0])
    assert mapped.inlets + mapped.outlets == []
    assert mapped.unmap({"slot": 0}).outlets == []
