"""What the product's code is given to make model inputs of."""

from __future__ import annotations

import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.sections import Scoring
from airflow_mlops_provider.scoring import inputs
from airflow_mlops_provider.scoring.inputs import model_inputs
from tests.factories.serving import StandInFeatures, make_rows


def test_only_declared_columns_reach_assemble(shape: Scoring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Request columns, time and features arrive with their types, a stored whole number as float64; nothing else."""
    seen: list[pd.DataFrame] = []
    monkeypatch.setattr(inputs, "load", lambda code: lambda rows: seen.append(rows) or rows)
    rows = pd.DataFrame(make_rows(3))
    model_inputs(shape, pd.concat([rows.assign(returned=1), StandInFeatures().online(rows)], axis=1))
    kinds = {name: str(dtype) for name, dtype in seen[0].dtypes.items()}
    request = {"customer": "object", "price": "float64", "pieces": "int64", "event_time": "datetime64[ns, UTC]"}
    assert kinds == {**request, "orders": "float64", "mean_price": "float64"}
    assert shape.feature_types == {"orders": "int64", "mean_price": "float64"}
