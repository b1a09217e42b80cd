"""The numbers by which models are judged, held against scikit-learn and against their own definitions."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from typing import Any

import numpy as np
import pytest

from airflow_mlops_provider.exceptions import DataValidationError, UnknownNameError
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Truth
from airflow_mlops_provider.problems.binary_classification import PROBLEM, BinaryClassification


class Mean(BinaryClassification):
    """Judged by the mean label."""

    metrics = (Metric("mean", low=None, high=None),)

    def flaw(self, truth: Truth) -> Any:
        return lambda weight: ""

    def weighted(self, metric: str, truth: Truth, score: Any) -> Any:
        return lambda weights: (weights @ truth.label) / weights.sum(axis=1)


MEAN = Mean()
METRICS = [metric.name for metric in PROBLEM.metrics]


def roc_auc(label: Any, score: Any) -> float:
    """Return the area under the curve."""
    return statistics.measure(PROBLEM, "roc_auc", label, score)


def weighted_value(metric: str, label: np.ndarray, score: np.ndarray, weight: np.ndarray) -> float:
    """Return a metric of weighted rows."""
    return float(PROBLEM.weighted(metric, Truth(label), score)(weight[None, :].astype(float))[0])


def _case(rows: int = 2000, decimals: int = 2, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and scores that agree somewhat; few decimals make many ties."""
    random = np.random.default_rng(seed)
    label = (random.random(rows) < 0.25).astype(int)
    return label, np.clip(random.normal(0.4 + 0.15 * label, 0.15), 0.01, 0.99).round(decimals)


def _theirs(metric: str, label: np.ndarray, score: np.ndarray, weight: np.ndarray | None) -> float:
    """Return scikit-learn's value of a metric; it has none of calibration, which is computed bin by bin."""
    import sklearn.metrics

    of_scores = {
        "roc_auc": sklearn.metrics.roc_auc_score,
        "average_precision": sklearn.metrics.average_precision_score,
        "log_loss": sklearn.metrics.log_loss,
        "brier_score": sklearn.metrics.brier_score_loss,
    }
    of_decisions = {
        "precision": partial(sklearn.metrics.precision_score, zero_division=0.0),
        "recall": sklearn.metrics.recall_score,
        "f1": sklearn.metrics.f1_score,
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
        "matthews_correlation": sklearn.metrics.matthews_corrcoef,
    }
    if metric in of_scores:
        return float(of_scores[metric](label, score, sample_weight=weight))
    if metric in of_decisions:
        return float(of_decisions[metric](label, (score >= 0.5).astype(int), sample_weight=weight))
    weight = np.ones(len(label)) if weight is None else weight
    bins = [(score > low) & (score <= low + 0.1) for low in np.linspace(0, 0.9, 10)]
    return float(sum(abs((weight * (label - score))[rows].sum()) for rows in bins) / weight.sum())


@pytest.mark.parametrize("decimals", [1, 2, 12])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_equals_scikit_learn(metric: str, weighted: bool, decimals: int) -> None:
    """Each metric equals scikit-learn's to 1e-12, with ties, without, and with row weights, some of them zero."""
    label, score = _case(decimals=decimals)
    weight = np.random.default_rng(2).integers(0, 4, len(label)) if weighted else None
    mine = statistics.measure(PROBLEM, metric, label, score)
    if weight is not None:
        mine = weighted_value(metric, label, score, weight)
    assert mine == pytest.approx(_theirs(metric, label, score, weight), abs=1e-12)


@pytest.mark.parametrize("metric", ["precision", "recall", "f1", "balanced_accuracy", "matthews_correlation"])
def test_decisions_are_made_at_the_threshold(metric: str) -> None:
    """A score that reaches it is a yes; another threshold is other decisions, of the same scores."""
    label, score = _case()
    moved = np.where(score >= 0.4, 0.9, 0.1)
    given = statistics.measure(BinaryClassification(threshold=0.4), metric, label, score)
    assert (
        given == statistics.measure(PROBLEM, metric, label, moved) != statistics.measure(PROBLEM, metric, label, score)
    )
    nobody = statistics.measure(BinaryClassification(threshold=1.0), metric, label, score)
    assert nobody == (0.5 if metric == "balanced_accuracy" else 0.0)


def test_equal_scores_say_nothing() -> None:
    """When all scores tie, the area is exactly one half, in whatever order the rows come."""
    assert roc_auc([1, 0, 1, 0, 0], [0.3] * 5) == 0.5
    assert roc_auc([0, 0, 0, 1, 1], [0.3] * 5) == 0.5


def test_certain_and_wrong_is_finite() -> None:
    """A probability of 0 for what happened costs about 36 nats, not infinity."""
    assert 15 < statistics.measure(PROBLEM, "log_loss", [1, 0], [0.0, 0.0]) < 20


def test_resampled_values_are_those_of_resampled_rows() -> None:
    """The weighted value of a resample equals the metric on the really repeated rows."""
    label, score = _case(rows=400)
    picked = np.random.default_rng(7).integers(0, 400, 400)
    weight = np.bincount(picked, minlength=400)
    for metric in METRICS:
        repeated = statistics.measure(PROBLEM, metric, label[picked], score[picked])
        assert weighted_value(metric, label, score, weight) == pytest.approx(repeated, abs=1e-12)


def test_same_seed_same_interval() -> None:
    """A seed fixes the interval, another seed moves it, and the value itself never depends on it."""
    label, score = _case()
    first, again, other = (
        statistics.bootstrap(PROBLEM, "roc_auc", label, {"m": score}, seed, 50)["m"] for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other
    assert first.value == other.value == roc_auc(label, score)
    assert first.low < first.value < first.high


KNOWN = {
    "roc_auc": (0.7035478313962363, 0.6545748021035656, 0.7571910073246099),
    "average_precision": (0.44864500356241355, 0.3391350052485252, 0.5210402104053361),
    "log_loss": (0.5833244189789735, 0.558784651845386, 0.6114344186204649),
}


@pytest.mark.parametrize("metric", KNOWN)
def test_the_figures_stay(metric: str) -> None:
    """Value and interval of a seed are always the same, to the last digits."""
    label, score = _case(rows=500)
    found = statistics.bootstrap(PROBLEM, metric, label, {"m": score}, 7, 40)["m"]
    assert (found.value, found.low, found.high) == pytest.approx(KNOWN[metric], rel=1e-14)


def test_interval_has_the_known_width() -> None:
    """The interval of an area is within a quarter of the closed-form one of Hanley and McNeil."""
    label, score = _case(rows=4000, decimals=12)
    got = statistics.bootstrap(PROBLEM, "roc_auc", label, {"m": score}, 0, 400)["m"]
    area, positive, negative = got.value, label.sum(), (1 - label).sum()
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (positive - 1) * (q1 - area**2) + (negative - 1) * (q2 - area**2)) / (
        positive * negative
    )
    assert got.high - got.low == pytest.approx(2 * 1.96 * np.sqrt(variance), rel=0.25)


def test_few_units_have_wide_intervals() -> None:
    """Of rows in eight groups that are alike, plain percentiles would hold the true mean in but 90 % of samples."""
    random, held, samples = np.random.default_rng(8), 0, 500
    for seed in range(samples):
        means = random.normal(0, 1, 8)
        truth = Truth(np.repeat(means, 5), group=np.repeat(np.arange(8), 5))
        estimate = statistics.bootstrap(MEAN, "mean", truth, {"m": np.zeros(40)}, seed)["m"]
        held += estimate.low <= 0 <= estimate.high
    assert 0.93 <= held / samples <= 0.97


def test_models_are_compared_on_the_same_rows() -> None:
    """A model differs from itself by exactly zero, and from a near copy by less than two intervals would say."""
    label, score = _case()
    assert statistics.gain(PROBLEM, "roc_auc", label, score, score, 0, 30) == Estimate(value=0.0, low=0.0, high=0.0)
    near = score + np.random.default_rng(5).normal(0, 0.01, len(score))
    paired = statistics.gain(PROBLEM, "roc_auc", label, score, near, 0, 200)
    alone = statistics.bootstrap(PROBLEM, "roc_auc", label, {"m": score}, 0, 200)["m"]
    assert paired.high - paired.low < (alone.high - alone.low) / 3


def test_a_gain_is_positive_for_the_better_one() -> None:
    """A better model gains over a worse one by more than zero, whichever direction its metric has."""
    label, score = _case()
    noise = np.random.default_rng(6).uniform(0.01, 0.99, len(score))
    assert statistics.gain(PROBLEM, "roc_auc", label, score, noise, 0, 50).low > 0
    gained = statistics.gain(PROBLEM, "log_loss", label, score, noise, 0, 50)
    lost = statistics.gain(PROBLEM, "log_loss", label, noise, score, 0, 50)
    assert gained.low > 0 > lost.high and gained.value == -lost.value
    worse = {metric.name for metric in PROBLEM.metrics if not metric.higher_is_better}
    assert worse == {"log_loss", "brier_score", "calibration_error"}


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1, 1], []])
def test_one_class_is_refused_with_its_counts(label: list[int]) -> None:
    """Rows of one class only have no metric; the error names how many there were of each."""
    positive, negative = sum(label), len(label) - sum(label)
    for metric in METRICS:
        with pytest.raises(DataValidationError, match=f"{positive} positive and {negative} negative"):
            statistics.measure(PROBLEM, metric, label, [0.5] * len(label))
    with pytest.raises(DataValidationError, match=f"{positive} positive and {negative} negative"):
        statistics.bootstrap(PROBLEM, "roc_auc", label, {"m": [0.5] * len(label)}, 0, 5)


def test_missing_values_are_refused() -> None:
    """A missing score or label is named, never ranked."""
    with pytest.raises(DataValidationError, match="0 labels and 1 scores of 3"):
        roc_auc([0, 1, 1], [0.1, float("nan"), 0.3])
    with pytest.raises(DataValidationError, match="0 or 1, found"):
        roc_auc([0, 1, 2], [0.1, 0.2, 0.3])
    with pytest.raises(DataValidationError, match="must be for the same rows"):
        roc_auc([0, 1, 1], [0.1, 0.2])


def test_unknown_metric_lists_the_known() -> None:
    """A metric nobody declared is refused by every function, naming those that exist."""
    for call in (
        lambda: statistics.bootstrap(PROBLEM, "kappa", [0, 1], {"m": [0, 1]}, 0, 1),
        lambda: statistics.gain(PROBLEM, "kappa", [0, 1], [0, 1], [0, 1], 0, 1),
        lambda: statistics.by_slice(PROBLEM, "kappa", ["a", "b"], [0, 1], [0, 1], 1),
    ):
        with pytest.raises(
            UnknownNameError, match=r"'kappa'; known: average_precision, balanced_accuracy, .*, roc_auc"
        ):
            call()


def test_slices() -> None:
    """A slice is judged on its own rows; one that is small or of one class is left out; missing is a value."""
    label, score = _case(rows=1000)
    column = np.array(["A"] * 500 + ["B"] * 300 + [None] * 100 + [float("nan")] * 50 + ["S"] * 50, dtype=object)
    got, _ = statistics.by_slice(PROBLEM, "roc_auc", column, label, score, min_rows=100)
    assert {name: part["rows"] for name, part in got.items()} == {"A": 500, "B": 300, "(missing)": 150}
    assert list(got) == ["A", "B", "(missing)"]
    assert got["B"]["value"] == roc_auc(label[500:800], score[500:800])
    one_class = np.where(column == "B", 0, label)
    assert "B" not in statistics.by_slice(PROBLEM, "roc_auc", column, one_class, score, min_rows=100)[0]


def test_slices_left_out_are_counted_by_reason() -> None:
    """What has no metric of its own is told with its rows, and with what is judged makes up all rows."""
    column = ["A"] * 150 + ["B"] * 120 + ["C"] * 3 + [None] * 2 + [f"D{n}" for n in range(40)]
    label = np.array(([0, 1] * 75) + [1] * 120 + [0, 1, 0] + [1, 0] + [1] * 40)
    judged, left = statistics.by_slice(PROBLEM, "roc_auc", column, label, label, min_rows=100)
    assert left["labels of one class only"] == {"B": 120}
    assert list(left["fewer than 100 rows"].items())[:2] == [("C", 3), ("(missing)", 2)]
    told = sum(one["rows"] for one in judged.values()) + sum(sum(rows.values()) for rows in left.values())
    assert told == len(column) and len(left["fewer than 100 rows"]) == 42


@pytest.mark.parametrize("metric", METRICS)
def test_fast_enough_for_a_month_of_flights(metric: str) -> None:
    """27,000 rows, 200 resamples, 3 models take well under 4 s even on a busy core (about 1 s on an idle one)."""
    label, score = _case(rows=27_000, decimals=12)
    began = time.process_time()
    statistics.bootstrap(PROBLEM, metric, label, {"a": score, "b": score[::-1].copy(), "c": score.round(2)}, 0, 200)
    assert time.process_time() - began < 4


def test_loads_only_numpy() -> None:
    """The module brings in neither scikit-learn nor scipy nor pandas, which would cost seconds in every job."""
    code = (
        "import sys, airflow_mlops_provider.problems.statistics\n"
        "print([m for m in ('sklearn', 'scipy', 'pandas', 'airflow') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_rows_of_a_group_are_resampled_together() -> None:
    """Of groups whose rows are all alike the interval is as wide as of the groups alone, not of so many rows."""
    random = np.random.default_rng(2)
    label, score = _case(rows=80, decimals=6)
    many = np.repeat(np.arange(80), 25)
    as_rows = statistics.bootstrap(PROBLEM, "log_loss", label[many], {"m": score[many]}, 0)["m"]
    grouped = Truth(label[many].astype(float), group=random.permutation(80)[many])
    as_groups = statistics.bootstrap(PROBLEM, "log_loss", grouped, {"m": score[many]}, 0)["m"]
    alone = statistics.bootstrap(PROBLEM, "log_loss", label, {"m": score}, 0)["m"]
    assert as_groups.value == pytest.approx(as_rows.value)
    assert as_rows.high - as_rows.low < 0.4 * (as_groups.high - as_groups.low)
    assert as_groups.high - as_groups.low == pytest.approx(alone.high - alone.low, rel=0.35)


def test_rows_count_as_much_as_they_weigh() -> None:
    """In the metric, its interval and each slice; a weight of two is a row twice."""
    label, score = _case(rows=200)
    weight = np.resize([1.0, 2.0], 200)
    twice = np.repeat(np.arange(200), weight.astype(int))
    weighed = Truth(label.astype(float), weight=weight)
    assert statistics.measure(PROBLEM, "roc_auc", weighed, score) == pytest.approx(roc_auc(label[twice], score[twice]))
    kind = np.resize(["a", "b"], 200)
    slices, _ = statistics.by_slice(PROBLEM, "log_loss", kind, weighed, score, 10)
    plain, _ = statistics.by_slice(PROBLEM, "log_loss", kind[twice], label[twice], score[twice], 10)
    assert {name: part["value"] for name, part in slices.items()} == pytest.approx(
        {name: part["value"] for name, part in plain.items()}
    )
