"""The metrics of several labels a row are scikit-learn's, with ties and weights, for many resamples at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics

from airflow_mlops_provider import MultilabelClassification
from airflow_mlops_provider.exceptions import DataValidationError
from airflow_mlops_provider.lifecycle.figures import Matrix
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Truth

PROBLEM = MultilabelClassification(labels=("a", "b", "c"))
METRICS = [metric.name for metric in PROBLEM.metrics]


def case(rows: int = 1000, decimals: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of different frequency, the last of them never there nor said, and probabilities with ties."""
    random = np.random.default_rng(3)
    label = (random.random((rows, 3)) < (0.5, 0.2, 0.0)).astype(float)
    score = np.clip(random.normal(0.35 + 0.25 * label, 0.2), 0, 1)
    score[:, 2] *= 0.3
    return label, score.round(decimals)


def theirs(metric: str, label: np.ndarray, score: np.ndarray, weight: np.ndarray | None) -> float:
    """Return scikit-learn's value."""
    said = (score >= 0.5).astype(int)
    of: dict[str, Any] = {
        "hamming_loss": sklearn.metrics.hamming_loss,
        "subset_accuracy": sklearn.metrics.accuracy_score,
    }
    if metric in of:
        return float(of[metric](label, said, sample_weight=weight))
    if metric == "average_precision":
        return float(sklearn.metrics.average_precision_score(label, score, average="micro", sample_weight=weight))
    average = metric.removesuffix("_f1")
    return float(sklearn.metrics.f1_score(label, said, average=average, sample_weight=weight, zero_division=0.0))


@pytest.mark.parametrize("decimals", [1, 12])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("metric", METRICS)
def test_equals_scikit_learn(metric: str, weighted: bool, decimals: int) -> None:
    """Each metric to 1e-12; some rows have no weight, and a label is in no row."""
    label, score = case(decimals=decimals)
    weight = np.random.default_rng(4).choice([0.0, 0.5, 1.0, 2.5], len(label)) if weighted else None
    mine = statistics.measure(PROBLEM, metric, Truth(label, weight=weight), score)
    assert mine == pytest.approx(theirs(metric, label, score, weight), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_resamples_are_computed_at_once(metric: str) -> None:
    """A row of weights gives what the repeated rows give."""
    label, score = case(rows=60)
    picked = [np.random.default_rng(seed).integers(0, 60, 60) for seed in range(5)]
    weights = np.array([np.bincount(rows, minlength=60) for rows in picked], dtype=float)
    values = PROBLEM.weighted(metric, Truth(label), score)(weights)
    assert values == pytest.approx([statistics.measure(PROBLEM, metric, label[rows], score[rows]) for rows in picked])


@pytest.mark.parametrize("metric", ["hamming_loss", "micro_f1", "macro_f1", "subset_accuracy"])
def test_decisions_are_made_at_the_threshold(metric: str) -> None:
    """Another threshold is other decisions, of the same probabilities."""
    label, score = case()
    lower = MultilabelClassification(labels=("a", "b", "c"), threshold=0.3)
    moved = statistics.measure(lower, metric, label, score)
    assert moved == statistics.measure(PROBLEM, metric, label, (score >= 0.3).astype(float))
    assert moved != statistics.measure(PROBLEM, metric, label, score)


def test_rows_of_one_kind_are_not_enough() -> None:
    """Where no row has a label, or each has all, nothing can be said; a slice of such is left out."""
    score = np.full((2, 3), 0.5)
    with pytest.raises(DataValidationError, match="the rows have 0 labels, and do not have 6; both are needed"):
        statistics.measure(PROBLEM, "micro_f1", np.zeros((2, 3)), score)
    with pytest.raises(DataValidationError, match="the rows have 6 labels, and do not have 0"):
        statistics.measure(PROBLEM, "micro_f1", np.ones((2, 3)), score)
    label = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=float)
    judged, left = statistics.by_slice(PROBLEM, "hamming_loss", [*"aabb"], label, np.full((4, 3), 0.1), 2)
    assert judged == {"b": {"rows": 2, "value": pytest.approx(1 / 3)}}
    assert left == {"none of the labels in each row": {"a": 2}}


def test_each_label_has_its_figures() -> None:
    """Those of scikit-learn; None where there is nothing to divide by."""
    label, score = case(rows=200)
    (figure,) = PROBLEM.figures(Truth(label), score)
    assert isinstance(figure, Matrix) and figure.rows == ("a", "b", "c")
    known = sklearn.metrics.precision_recall_fscore_support(label, score >= 0.5, zero_division=np.nan)
    assert figure.values[2] == (None, None, None, 0)
    np.testing.assert_allclose(np.array(figure.values[:2], dtype=float), np.array(known).T[:2])
