"""Metrics that are functions of the user's, or scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Truth
from airflow_mlops_provider.problems.binary_classification import PROBLEM

RANDOM = np.random.default_rng(5)
LABEL = (RANDOM.random(300) < 0.4).astype(float)
SCORE = np.clip(0.3 + 0.3 * LABEL + RANDOM.normal(0, 0.2, 300), 0, 1)
KAPPA = Metric("kappa", code="sklearn.metrics:cohen_kappa_score", takes="decisions", low=-1)


def off(label: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean difference: a function that knows no weights."""
    return float(np.abs(label - prediction).mean())


def nothing(label: np.ndarray, prediction: np.ndarray) -> None:
    """Return nothing, as a function does whose last line was forgotten."""


def mine(name: str) -> Metric:
    """Return a metric of this file."""
    return Metric(name, higher_is_better=False, high=None, code=f"{__name__}:{name}")


def test_scikit_learns_with_weights() -> None:
    """The value is the function's own, weights included; its interval is paired as any other."""
    weight = RANDOM.integers(1, 4, 300).astype(float)
    value = statistics.measure(PROBLEM, KAPPA, Truth(LABEL, weight=weight), SCORE)
    assert value == pytest.approx(metrics.cohen_kappa_score(LABEL, SCORE >= 0.5, sample_weight=weight))
    estimate = statistics.bootstrap(PROBLEM, KAPPA, LABEL, {"m": SCORE}, seed=1)["m"]
    assert estimate.low < estimate.value < estimate.high
    loss = Metric("hinge", code="sklearn.metrics:brier_score_loss", higher_is_better=False)
    assert statistics.gain(PROBLEM, loss, LABEL, LABEL * 0.98 + 0.01, SCORE, seed=1).low > 0


def test_a_function_without_weights_is_given_rows_as_often() -> None:
    """A resample is then made of rows; weights that are no counts can't be had."""
    assert statistics.measure(PROBLEM, mine("off"), LABEL, SCORE) == pytest.approx(np.abs(LABEL - SCORE).mean())
    counts = RANDOM.integers(0, 3, 300).astype(float)
    rows = np.repeat(np.arange(300), counts.astype(int))
    assert statistics.measure(PROBLEM, mine("off"), Truth(LABEL, weight=counts), SCORE) == pytest.approx(
        np.abs(LABEL - SCORE)[rows].mean()
    )
    with pytest.raises(ConfigurationError, match="no parameter sample_weight"):
        statistics.measure(PROBLEM, mine("off"), Truth(LABEL, weight=np.full(300, 0.5)), SCORE)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (mine("nothing"), r"'nothing': .* returned None, no finite number"),
        (Metric("gone", code="sklearn.metrics:gone"), "'gone': sklearn.metrics:gone can't be loaded"),
        (Metric("no_function", code="sklearn.metrics:__all__"), "is a list, no function"),
    ],
)
def test_what_is_no_metric_is_named(metric: Metric, said: str) -> None:
    """With the function, and what it returned."""
    with pytest.raises(ConfigurationError, match=said):
        statistics.measure(PROBLEM, metric, LABEL, SCORE)
