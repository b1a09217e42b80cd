"""How good a model is, and how sure that is: a metric with its paired bootstrap interval, as a whole and by slices.

numpy only: a job that judges does not wait for pandas or scikit-learn. A resample is a vector of multinomial counts
used as row weights (Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), 1979,
section 2), which makes 200 resamples of three models cheap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_mlops_provider.exceptions import DataValidationError
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate, Gap
from airflow_mlops_provider.problems.base import Problem, Truth

Floats = npt.NDArray[np.float64]

REPEATS = 200
_BATCH = 16  # resamples held at once: 16 x 27,000 float64 weights are 3.5 MB, which stays in cache
_MISSING = ("<NA>", "NaT")  # how pandas shows a missing value of its own types


def measure(problem: Problem, metric: str | Metric, truth: Any, score: Any) -> float:
    """Return a metric on some rows.

    :param truth: a :class:`~.base.Truth`, or labels as numbers, one a row.
    :raises UnknownNameError: for a metric that this kind of problem does not have.
    :raises DataValidationError: if a value is missing, or the rows can't be judged by.
    """
    truth, score = _numbers(truth, score)
    _flaw(problem, metric, truth)
    return float(problem.values(problem.metric(metric), truth, score)(_counted(truth, np.ones((1, len(truth)))))[0])


def bootstrap(
    problem: Problem, metric: str | Metric, truth: Any, scores: Mapping[str, Any], seed: int, repeats: int = REPEATS
) -> dict[str, Estimate]:
    """Return each model's metric with its 95 % interval; every model sees the same resamples.

    :param scores: model name to its scores for the rows.
    :param repeats: resamples, at least 1. Errors and the truth as in :func:`measure`.
    """
    truth = _truth(truth)
    values, levels = _resampled(problem, metric, truth, scores, repeats, seed), _levels(_units(truth))
    return {name: _estimate(measure(problem, metric, truth, scores[name]), values[name], levels) for name in scores}


def gain(
    problem: Problem, metric: str | Metric, truth: Any, score: Any, other: Any, seed: int, repeats: int = REPEATS
) -> Estimate:
    """Return by how much one model is better than another, judged on the same rows of each resample.

    It is above 0 for a better one, whatever the metric's direction. Parameters and errors as in :func:`bootstrap`.
    """
    truth = _truth(truth)
    a, b = (score, other) if problem.metric(metric).higher_is_better else (other, score)
    values = _resampled(problem, metric, truth, {"a": a, "b": b}, repeats, seed)
    difference = measure(problem, metric, truth, a) - measure(problem, metric, truth, b)
    return _estimate(difference, values["a"] - values["b"], _levels(_units(truth)))


def by_slice(
    problem: Problem, metric: str | Metric, column: Any, truth: Any, score: Any, min_rows: int
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, int]]]:
    """Return ``{"rows": n, "value": metric}`` for each value of a column, and what has none: by reason, rows by value.

    Both have the largest slice first. One of fewer than ``min_rows`` rows, or that can't be judged by, has no metric.

    :param column: one value per row; a missing one counts as the value ``(missing)``.
    :raises UnknownNameError: for a metric that this kind of problem does not have.
    """
    problem.metric(metric)
    truth, score = _truth(truth), np.asarray(score)
    judged, left_out = dict[str, dict[str, Any]](), dict[str, dict[str, int]]()
    for value, rows in _slices(column):
        count = int(rows.sum())
        if reason := problem.unfit(truth.label[rows], min_rows):
            left_out.setdefault(reason, {})[value] = count
        else:
            judged[value] = {"rows": count, "value": measure(problem, metric, truth.part(rows), score[rows])}
    return judged, left_out


def gap(
    problem: Problem, column: Any, truth: Any, score: Any, min_rows: int, figures: Mapping[str, Mapping[str, Any]]
) -> Gap:
    """Return how far the values of a column of at least ``min_rows`` rows lie apart.

    :param figures: those of its slices, as :func:`by_slice` returns them.
    """
    truth, score = _truth(truth), np.asarray(score)
    large = [rows for _, rows in _slices(column) if rows.sum() >= min_rows]
    values = [of["value"] for of in figures.values()]
    rate = None
    if problem.decides and len(large) > 1:
        said, weights = problem.said(score), truth.weights
        shares = [np.average(said[rows], axis=0, weights=weights[rows]) for rows in large if weights[rows].any()]
        rate = float(np.ptp(shares, axis=0).max())
    return Gap(groups=len(large), metric=max(values) - min(values) if len(values) > 1 else None, rate=rate)


def _slices(column: Any) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield each value of a column and which rows have it, the most frequent first."""
    names = np.array([_name(value) for value in column])
    values, place, counts = np.unique(names, return_inverse=True, return_counts=True)
    for at in sorted(range(len(values)), key=lambda at: (-counts[at], values[at])):
        yield str(values[at]), place == at


def _name(value: Any) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in _MISSING
    return "(missing)" if missing else str(value)


def _resampled(
    problem: Problem, metric: str | Metric, truth: Any, scores: Mapping[str, Any], repeats: int, seed: int
) -> dict[str, Floats]:
    """Return ``repeats`` resampled values of the metric for each model, resample by resample the same rows."""
    truth, judged = _truth(truth), problem.metric(metric)
    flaw = _flaw(problem, metric, truth)
    values_of = {name: problem.values(judged, *_numbers(truth, score)) for name, score in scores.items()}
    values: dict[str, list[Floats]] = {name: [] for name in scores}
    for weights in _resamples(truth, flaw, repeats, np.random.default_rng(seed)):
        for name, value in values_of.items():
            values[name].append(value(_counted(truth, weights)))
    return {name: np.concatenate(parts) for name, parts in values.items()}


def _resamples(
    truth: Truth, flaw: Callable[[Floats], str], repeats: int, random: np.random.Generator
) -> Iterator[Floats]:
    """Yield row weights, shape (up to _BATCH, rows): multinomial counts of rows that are taken with replacement.

    Rows of a group are taken together (Davison and Hinkley, "Bootstrap Methods and their Application", 1997, 3.8). A
    resample that can't be judged by is made again.
    """
    units = _units(truth)
    for start in range(0, repeats, _BATCH):
        batch: list[Floats] = []
        while len(batch) < min(_BATCH, repeats - start):
            counts = np.bincount(random.integers(0, units, units), minlength=units).astype(float)
            weights = counts if truth.group is None else counts[truth.group]
            if not flaw(weights):
                batch.append(weights)
        yield np.array(batch)


def _counted(truth: Truth, weights: Floats) -> Floats:
    """Return how much each row counts in each resample."""
    return weights if truth.weight is None else weights * truth.weight


def _flaw(problem: Problem, metric: str | Metric, truth: Truth) -> Callable[[Floats], str]:
    """Return what says why rows of some weights can't be judged by; all of them together can."""
    problem.metric(metric)
    flaw = problem.flaw(truth)
    if reason := flaw(np.ones(len(truth))):
        raise DataValidationError(reason)
    return flaw


def _truth(given: Any) -> Truth:
    return given if isinstance(given, Truth) else Truth(np.asarray(given, dtype=float))


def _numbers(truth: Any, score: Any) -> tuple[Truth, Floats]:
    truth, score = _truth(truth), np.asarray(score, dtype=float)
    label = truth.label
    if len(label) != len(score) or label.ndim not in (1, score.ndim):
        raise DataValidationError(f"labels {label.shape} and scores {score.shape} must be for the same rows")
    missing = int(np.isnan(label).sum()), int(np.isnan(score).sum())
    if any(missing):
        raise DataValidationError(f"{missing[0]} labels and {missing[1]} scores of {len(label)} are missing")
    return truth, score


def _units(truth: Truth) -> int:
    """Return how many independent parts the rows have: themselves, or their groups."""
    return len(truth) if truth.group is None else int(truth.group.max()) + 1


def _levels(units: int) -> list[float]:
    """Return at which percentages the resampled values of so many units are read off, so that 95 % lie between.

    Resamples of few units spread too little. The levels are those of Student's t instead of the normal distribution,
    beyond by sqrt(n / (n - 1)): the expanded percentile interval of Hesterberg, "What teachers should know about the
    bootstrap", The American Statistician 69(4), 2015. The quantile of t is Cornish's and Fisher's expansion (Abramowitz
    and Stegun, 1964, 26.7.5), exact to a hundredth from eight units on.
    """
    normal, free = NormalDist(), max(units - 1, 1)
    z = normal.inv_cdf(0.975)
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    beyond = 100 * normal.cdf(-t * math.sqrt(1 + 1 / free))
    return [beyond, 100 - beyond]


def _estimate(value: float, resampled: Floats, levels: list[float]) -> Estimate:
    """Return a value with the percentiles of the resampled ones.

    They are read off at (repeats + 1) * level (definition 6 of Hyndman and Fan, "Sample quantiles in statistical
    packages", The American Statistician 50(4), 1996): between the percentiles that numpy takes by default, of 200
    values, lie but 94 % of others like them.
    """
    low, high = np.percentile(resampled, levels, method="weibull")
    return Estimate(value=float(value), low=float(low), high=float(high))
