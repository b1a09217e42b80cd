"""The metrics of amounts equal scikit-learn's, and those of quantiles their own definitions."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from airflow_mlops_provider import Regression
from airflow_mlops_provider.exceptions import DataValidationError, UnknownNameError
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Truth

POINT, COUNTS = Regression(), Regression(loss="poisson")
QUANTILES = Regression(quantiles=(0.1, 0.5, 0.8))
THEIRS = {
    "mean_absolute_error": sklearn.metrics.mean_absolute_error,
    "root_mean_squared_error": sklearn.metrics.root_mean_squared_error,
    "r2": sklearn.metrics.r2_score,
    "mean_absolute_percentage_error": sklearn.metrics.mean_absolute_percentage_error,
    "median_absolute_error": sklearn.metrics.median_absolute_error,
    "mean_poisson_deviance": sklearn.metrics.mean_poisson_deviance,
}


def case(rows: int = 1001, decimals: int = 1, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and predictions above 0 that agree somewhat; few decimals make many ties."""
    random = np.random.default_rng(seed)
    label = random.poisson(3.0, rows).astype(float)
    return label, np.clip(label + random.normal(0.3, 1.5, rows), 0.1, None).round(decimals)


def value(problem: Regression, metric: str, label: np.ndarray, score: np.ndarray, weight: np.ndarray) -> float:
    """Return a metric of weighted rows."""
    return float(problem.weighted(metric, Truth(label), score)(weight[None, :].astype(float))[0])


@pytest.mark.parametrize("decimals", [1, 12])
@pytest.mark.parametrize("weights", ["none", "counts", "amounts"])
@pytest.mark.parametrize("metric", THEIRS)
def test_equals_scikit_learn(metric: str, weights: str, decimals: int) -> None:
    """With ties, without, and with row weights, whole numbers among which are zeros, or others."""
    label, score = case(decimals=decimals)
    random = np.random.default_rng(2)
    weight = {
        "none": np.ones(len(label)),
        "counts": random.integers(0, 4, len(label)).astype(float),
        "amounts": random.uniform(0.1, 3.0, len(label)),
    }[weights]
    theirs = THEIRS[metric](label, score, sample_weight=None if weights == "none" else weight)
    assert value(COUNTS, metric, label, score, weight) == pytest.approx(theirs, rel=1e-11)


@pytest.mark.parametrize("metric", sorted(set(THEIRS) - {"mean_poisson_deviance"}))
def test_labels_that_do_not_vary(metric: str) -> None:
    """As in scikit-learn: of the variance that is not there, all is explained by what is exact, else nothing."""
    label = np.full(5, 0.1)
    for score in (label, label + 1):
        assert value(POINT, metric, label, score, np.ones(5)) == THEIRS[metric](label, score)
    one_row_often = np.array([0.0, 3, 0, 0, 0])
    assert value(POINT, "r2", np.array([0.1, 0.7, 3, 4, 5]), np.zeros(5), one_row_often) == 0.0


def test_resampled_values_are_those_of_resampled_rows() -> None:
    """Many resamples at once give what each gives of really repeated rows."""
    label, score = case(rows=200)
    random = np.random.default_rng(7)
    picked = [random.integers(0, 200, 200) for _ in range(5)]
    weights = np.array([np.bincount(rows, minlength=200) for rows in picked], dtype=float)
    for metric, theirs in THEIRS.items():
        together = COUNTS.weighted(metric, Truth(label), score)(weights)
        np.testing.assert_allclose(together, [theirs(label[rows], score[rows]) for rows in picked], rtol=1e-11)


def test_pinball_loss_equals_scikit_learn() -> None:
    """It is the mean over the quantiles; with one quantile, of half, half the mean absolute error."""
    label, score = case()
    scores = np.column_stack([score - 1, score, score + 2])
    weight = np.random.default_rng(2).integers(0, 4, len(label)).astype(float)
    theirs = [
        sklearn.metrics.mean_pinball_loss(label, scores[:, at], sample_weight=weight, alpha=level)
        for at, level in enumerate(QUANTILES.quantiles)
    ]
    assert value(QUANTILES, "pinball_loss", label, scores, weight) == pytest.approx(np.mean(theirs), rel=1e-12)
    half = Regression(quantiles=(0.5,))
    error = value(half, "mean_absolute_error", label, score, weight)
    assert value(half, "pinball_loss", label, score, weight) == pytest.approx(error / 2, rel=1e-12)


def test_intervals_are_scored() -> None:
    """Coverage counts both ends; the score is the width, and what lies outside by how rarely it should."""
    label, scores = np.array([1.0, 2.0, 9.0, -1.0]), np.tile([1.0, 2.0, 5.0], (4, 1))
    assert value(QUANTILES, "coverage", label, scores, np.ones(4)) == 0.5
    expected = [4.0, 4.0, 4 + 4 / 0.2, 4 + 2 / 0.1]
    assert value(QUANTILES, "interval_score", label, scores, np.ones(4)) == pytest.approx(np.mean(expected))


def test_the_interval_score_is_what_it_is_made_of() -> None:
    """For a central interval it is that of the paper: half of alpha times it is the sum of two pinball losses."""
    central = Regression(quantiles=(0.1, 0.9))
    label, score = case()
    scores = np.column_stack([score - 1, score + 2])
    weight = np.ones(len(label))
    losses = 2 * value(central, "pinball_loss", label, scores, weight)
    assert value(central, "interval_score", label, scores, weight) * 0.1 == pytest.approx(losses, rel=1e-12)


def test_point_metrics_of_quantiles_are_those_of_the_middle() -> None:
    """The quantile nearest to 0.5 is what is predicted."""
    label, score = case()
    scores = np.column_stack([score - 1, score, score + 2])
    for metric in ("mean_absolute_error", "r2"):
        assert statistics.measure(QUANTILES, metric, label, scores) == statistics.measure(POINT, metric, label, score)


def test_a_deviance_is_of_counts() -> None:
    """What is no count has none, and it is said what was given."""
    with pytest.raises(DataValidationError, match=r"least label is -1 and the least prediction 2; .* from 0 on"):
        COUNTS.weighted("mean_poisson_deviance", Truth(np.array([-1.0, 3.0])), np.array([2.0, 2.0]))


@pytest.mark.parametrize(
    ("problem", "judged_by", "lacks"),
    [
        (POINT, "root_mean_squared_error", "pinball_loss"),
        (Regression(loss="absolute"), "mean_absolute_error", "mean_poisson_deviance"),
        (COUNTS, "mean_poisson_deviance", "coverage"),
        (QUANTILES, "pinball_loss", "mean_poisson_deviance"),
        (Regression(quantiles=(0.9,)), "pinball_loss", "coverage"),
    ],
)
def test_options_choose_the_metric(problem: Regression, judged_by: str, lacks: str) -> None:
    """Judged is by what the loss lets a model learn; what makes no sense is not on the list."""
    assert problem.metric().name == judged_by
    with pytest.raises(UnknownNameError, match=f"unknown metric '{lacks}'; known: .*{judged_by}"):
        problem.metric(lacks)


@pytest.mark.parametrize("problem", [POINT, COUNTS, QUANTILES], ids=str)
def test_a_better_model_is_better(problem: Regression) -> None:
    """By each metric with a direction, a planted better model gains, and its interval excludes none at all."""
    label, score = case(rows=2000, decimals=12)
    worse = np.clip(score + np.random.default_rng(5).normal(0, 3, len(label)), 0.1, None)
    if problem.quantiles:
        score, worse = (np.column_stack([middle - 2, middle, middle + 1.3]) for middle in (score, worse))
    for metric in problem.available_metrics:
        assert statistics.gain(problem, metric, label, score, worse, 0).low > 0, metric
        assert statistics.gain(problem, metric, label, worse, score, 0).high < 0, metric
