"""What follows of probabilities and of the options: decisions, weights in training, what predictions are worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from airflow_mlops_provider import BinaryClassification, Value
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Truth
from airflow_mlops_provider.problems.binary_classification import PROBLEM

ROWS = pd.DataFrame({"late": [True, False, True, False], "prediction": [0.9, 0.6, 0.4, 0.1]})


def test_the_threshold_decides() -> None:
    """What reaches it is a yes; it is a probability."""
    assert list(PROBLEM.decisions(np.array([0.5, 0.49]))) == [1.0, 0.0]
    assert list(BinaryClassification(threshold=0.3).decisions(np.array([0.3, 0.29]))) == [1.0, 0.0]
    with pytest.raises(ValidationError, match="threshold"):
        BinaryClassification(threshold=1.5)


def test_both_classes_may_count_the_same() -> None:
    """However rare one is, and whatever weights are declared; those of a class keep their proportions."""
    balanced = BinaryClassification(balance=True)
    label = pd.Series([True, False, False, False], index=[3, 4, 5, 6])
    weights = balanced.training_weights(label, None)
    assert weights is not None and weights.to_dict() == pytest.approx({3: 2.0, 4: 2 / 3, 5: 2 / 3, 6: 2 / 3})
    declared = pd.Series([1.0, 1.0, 3.0, 0.0], index=label.index)
    weights = balanced.training_weights(label, declared)
    assert weights is not None and weights.to_dict() == pytest.approx({3: 2.5, 4: 0.625, 5: 1.875, 6: 0.0})
    assert PROBLEM.training_weights(label, declared) is declared


def test_alarms_are_given_where_one_pays() -> None:
    """By what a hit brings and a false alarm costs, not by the threshold of decisions."""
    value = Value(per_hit=10, per_false_alarm=4)  # an alarm pays from 4 / 14 on
    expected = {"hits": 2, "recall": 1.0, "false_alarms": 1, "amount": 16.0, "currency": "USD"}
    assert PROBLEM.realised_value(value, ROWS, "late") == expected


def test_a_matrix_says_what_decisions_are_worth() -> None:
    """Classes are 0 and 1; what is decided is what a matrix is of, and another threshold decides otherwise."""
    value = Value(matrix={"1": {"1": 10, "0": -5}, "0": {"1": -4}})
    assert PROBLEM.realised_value(value, ROWS, "late") == {"rows": 4, "amount": 10 - 4 - 5, "currency": "USD"}
    lower = BinaryClassification(threshold=0.4)
    assert lower.realised_value(value, ROWS, "late") == {"rows": 4, "amount": 10 - 4 + 10, "currency": "USD"}
    with pytest.raises(ConfigurationError, match=r"value\.matrix names 'late'; classes are '0', '1'"):
        PROBLEM.realised_value(Value(matrix={"late": {"1": 1}}), ROWS, "late")


def test_the_calibration_error_of_few_rows_is_too_high() -> None:
    """Of a model whose probabilities are right it is far from 0, and the nearer the more rows there are."""
    random, errors = np.random.default_rng(2), []
    for rows in (300, 3_000, 300_000):
        score = random.random(rows)
        label = (random.random(rows) < score).astype(float)
        errors.append(statistics.measure(PROBLEM, "calibration_error", label, score))
    assert errors[0] > 0.03 > errors[1] > 0.006 > errors[2]
    wrong = statistics.measure(PROBLEM, "calibration_error", Truth(label), score**2)
    assert wrong == pytest.approx(1 / 6, abs=0.01)
