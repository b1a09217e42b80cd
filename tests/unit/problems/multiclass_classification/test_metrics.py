"""The metrics of several classes are scikit-learn's, with ties and weights, for many resamples at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics

from airflow_mlops_provider import MulticlassClassification
from airflow_mlops_provider.exceptions import DataValidationError
from airflow_mlops_provider.lifecycle.figures import Matrix
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Truth

CLASSES = ("high", "middle", "low", "none")
PROBLEM = MulticlassClassification(classes=CLASSES)
METRICS = [metric.name for metric in PROBLEM.metrics]


def case(rows: int = 1500, ties: bool = True, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return places of classes of different frequency, and probabilities that agree somewhat; tenths make ties."""
    random = np.random.default_rng(seed)
    label = random.choice(4, rows, p=[0.5, 0.3, 0.15, 0.05])
    counts = random.multinomial(10, [0.25] * 4, rows) + 5 * np.eye(4)[label] * random.integers(0, 3, (rows, 1))
    odds = counts if ties else counts + random.random(counts.shape)
    return label.astype(float), odds / odds.sum(axis=1, keepdims=True)


def theirs(metric: str, label: np.ndarray, score: np.ndarray, weight: np.ndarray | None) -> float:
    """Return scikit-learn's value."""
    said, places = score.argmax(axis=1), np.arange(4)
    of: dict[str, Any] = {
        "log_loss": lambda: sklearn.metrics.log_loss(label, score, labels=places, sample_weight=weight),
        "accuracy": lambda: sklearn.metrics.accuracy_score(label, said, sample_weight=weight),
        "balanced_accuracy": lambda: sklearn.metrics.balanced_accuracy_score(label, said, sample_weight=weight),
        "macro_f1": lambda: sklearn.metrics.f1_score(label, said, average="macro", sample_weight=weight),
        "roc_auc_ovr": lambda: np.mean(
            [sklearn.metrics.roc_auc_score(label == place, score[:, place], sample_weight=weight) for place in places]
        ),
        # Of equal probabilities theirs takes the last class first, ours the first one.
        "top_2_accuracy": lambda: sklearn.metrics.top_k_accuracy_score(
            3 - label, score[:, ::-1], k=2, labels=places, sample_weight=weight
        ),
    }
    return float(of[metric]())


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("metric", METRICS)
def test_equals_scikit_learn(metric: str, weighted: bool, ties: bool) -> None:
    """Each metric to 1e-12; some rows have no weight."""
    label, score = case(ties=ties)
    weight = np.random.default_rng(4).choice([0.0, 0.5, 1.0, 2.5], len(label)) if weighted else None
    mine = statistics.measure(PROBLEM, metric, Truth(label, weight=weight), score)
    assert mine == pytest.approx(theirs(metric, label, score, weight), abs=1e-12)


def test_the_area_is_their_macro_average() -> None:
    """Where every class is there, it is what scikit-learn calls one against the rest."""
    label, score = case()
    whole = sklearn.metrics.roc_auc_score(label, score, multi_class="ovr", average="macro")
    assert statistics.measure(PROBLEM, "roc_auc_ovr", label, score) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_resamples_are_computed_at_once(metric: str) -> None:
    """A row of weights gives what the repeated rows give, also where a class is in none of them."""
    label, score = case(rows=60)
    random = np.random.default_rng(5)
    picked = [random.integers(0, 60, 60) for _ in range(5)] + [np.flatnonzero(label < 2)]
    weights = np.array([np.bincount(rows, minlength=60) for rows in picked], dtype=float)
    values = PROBLEM.weighted(metric, Truth(label), score)(weights)
    assert values == pytest.approx([statistics.measure(PROBLEM, metric, label[rows], score[rows]) for rows in picked])
    assert np.isfinite(values).all()


def test_certain_and_wrong_is_finite() -> None:
    """A probability of 0 for what happened costs about 36 nats, not infinity."""
    sure = np.eye(4)[[0, 1, 2]]
    assert 30 < statistics.measure(PROBLEM, "log_loss", [1, 2, 3], sure) < 40


def test_one_class_is_not_enough() -> None:
    """It is said which one it is; two are enough, though four are declared."""
    score = np.full((3, 4), 0.25)
    with pytest.raises(DataValidationError, match="the rows hold labels of middle; two classes are needed"):
        statistics.measure(PROBLEM, "log_loss", [1, 1, 1], score)
    assert statistics.measure(PROBLEM, "log_loss", [1, 3, 1], score) == pytest.approx(np.log(4))
    judged, left = statistics.by_slice(PROBLEM, "accuracy", [*"aaabb"], [1, 1, 1, 0, 1], np.full((5, 4), 0.25), 2)
    assert judged == {"b": {"rows": 2, "value": 0.5}} and left == {"labels of one class only": {"a": 3}}


def test_which_classes_are_confused() -> None:
    """Counts by true and predicted class, and each class's figures, are scikit-learn's; of weights, sums."""
    label, score = case(rows=300)
    said = score.argmax(axis=1)
    confused, classes = PROBLEM.figures(Truth(label), score)
    assert isinstance(confused, Matrix) and isinstance(classes, Matrix)
    np.testing.assert_array_equal(confused.values, sklearn.metrics.confusion_matrix(label, said))
    figures = sklearn.metrics.precision_recall_fscore_support(label, said)
    np.testing.assert_allclose(np.array(classes.values, dtype=float), np.array(figures).T)
    assert all(type(cell) is int for row in confused.values for cell in row)
    weighted, _ = PROBLEM.figures(Truth(label, weight=np.full(300, 0.5)), score)
    assert isinstance(weighted, Matrix)
    np.testing.assert_allclose(weighted.values, np.array(confused.values) / 2)
    _, few = PROBLEM.figures(Truth(np.array([0.0, 1.0])), np.eye(4)[[0, 0]])
    assert isinstance(few, Matrix)
    assert few.values[2] == (None, None, None, 0) and few.values[1] == (None, 0.0, 0.0, 1)
