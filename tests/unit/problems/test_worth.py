"""What predictions brought, by each form in which a product may say so."""

from __future__ import annotations

import pandas as pd
import pytest

from airflow_mlops_provider import MulticlassClassification
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.sections import Value
from airflow_mlops_provider.problems.binary_classification import PROBLEM

ROWS = pd.DataFrame({"late": [1, 1, 0, 0], "prediction": [0.9, 0.1, 0.8, 0.2]})


def half(rows: pd.DataFrame) -> pd.Series:
    """Return half a euro a row that was late."""
    return rows["late"] * 0.5


def too_few(rows: pd.DataFrame) -> pd.Series:
    """Return too little."""
    return rows["late"][:1]


def test_by_alarm() -> None:
    """Alarms are given from the probability on from which one pays."""
    worth = PROBLEM.realised_value(Value(per_hit=10, per_false_alarm=10), ROWS, "late")
    assert worth == {"hits": 1, "recall": 0.5, "false_alarms": 1, "amount": 0.0, "currency": "USD"}


def test_by_a_function() -> None:
    """Of all that a row has; one that does not say it of each row is named."""
    worth = PROBLEM.realised_value(Value(function=f"{__name__}:half", currency="EUR"), ROWS, "late")
    assert worth == {"rows": 4, "amount": 1.0, "currency": "EUR"}
    for name, said in (("too_few", "what each of 4 rows brought"), ("gone", "can't be loaded")):
        with pytest.raises(ConfigurationError, match=said):
            PROBLEM.realised_value(Value(function=f"{__name__}:{name}"), ROWS, "late")


def test_by_true_class() -> None:
    """A pair that is not in the matrix brings nothing."""
    said = pd.DataFrame({"sky": ["rain", "dry", "rain"], "prediction": ["rain", "rain", "dry"]})
    matrix = {"rain": {"rain": 5.0, "dry": -20.0}}
    skies = MulticlassClassification(classes=("rain", "dry"))
    assert skies.realised_value(Value(matrix=matrix), said, "sky") == {"rows": 3, "amount": -15.0, "currency": "USD"}
