"""How good a model is, and how sure that is: metrics with exact ties and the paired bootstrap.

numpy only: importing ``sklearn.metrics`` costs seconds, and a weighted metric over presorted scores makes 200 resamples
of three models cheap. A resample is a vector of multinomial counts used as row weights (Efron, "Bootstrap methods:
another look at the jackknife", Annals of Statistics 7(1), 1979, section 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_mlops_provider.exceptions import DataValidationError, UnknownNameError

Floats = npt.NDArray[np.float64]
Metric = Callable[..., float]

_BATCH = 16  # resamples held at once: 16 x 27,000 float64 weights are 3.5 MB, which stays in cache

_MISSING = ("<NA>", "NaT")  # how pandas shows a missing value of its own types


@dataclass(frozen=True)
class Estimate:
    """A value on all rows and its 95 % interval (2.5th and 97.5th percentile of the resampled values)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class _Prepared:
    """One model's rows in descending order of score, with the last row of each group of equal scores."""

    order: npt.NDArray[np.intp]
    label: Floats
    score: Floats
    ends: npt.NDArray[np.intp]


def roc_auc(label: Any, score: Any, weight: Any = None) -> float:
    """Return the area under the ROC curve: P(score of a positive > that of a negative) + half of P(equal).

    Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 143(1), 1982.

    :param label: 0/1 or bool, one per row.
    :param score: higher means more likely positive; ties are counted half.
    :param weight: non-negative row weights; None for 1 each.
    :raises DataValidationError: if the rows do not hold both classes, or a value is missing.
    """
    return _single("roc_auc", label, score, weight)


def average_precision(label: Any, score: Any, weight: Any = None) -> float:
    """Return the average precision: the sum of (recall_n - recall_(n-1)) * precision_n over distinct scores.

    No interpolation; Zhu, "Recall, precision and average precision", University of Waterloo, 2004, and
    scikit-learn's ``average_precision_score``. Parameters and errors as in :func:`roc_auc`.
    """
    return _single("average_precision", label, score, weight)


def log_loss(label: Any, score: Any, weight: Any = None) -> float:
    """Return the mean of -ln(probability given to what happened), in nats; lower is better.

    Good, "Rational decisions", Journal of the Royal Statistical Society B 14(1), 1952. A probability is kept
    one float64 epsilon away from 0 and 1. Parameters and errors as in :func:`roc_auc`.
    """
    return _single("log_loss", label, score, weight)


METRICS: dict[str, Metric] = {"roc_auc": roc_auc, "average_precision": average_precision, "log_loss": log_loss}
HIGHER_IS_BETTER: dict[str, bool] = {"roc_auc": True, "average_precision": True, "log_loss": False}


def bootstrap(
    label: Any, scores: Mapping[str, Any], metric: str, repeats: int = 200, seed: int = 0
) -> dict[str, Estimate]:
    """Return each model's metric with its interval; every model sees the same resamples.

    :param label: 0/1, one per row.
    :param scores: model name to its scores for those rows.
    :param repeats: resamples, at least 1.
    :raises UnknownNameError: for a metric that is not in ``METRICS``.
    :raises DataValidationError: if the rows do not hold both classes.
    """
    draws = _draws(label, scores, metric, repeats, seed)
    return {name: _estimate(METRICS[metric](label, scores[name]), draws[name]) for name in scores}


def difference(label: Any, a: Any, b: Any, metric: str, repeats: int = 200, seed: int = 0) -> Estimate:
    """Return metric(a) - metric(b) with its interval, both judged on the same rows of each resample.

    Parameters and errors as in :func:`bootstrap`; the sign is the metric's, see ``HIGHER_IS_BETTER``.
    """
    draws = _draws(label, {"a": a, "b": b}, metric, repeats, seed)
    return _estimate(METRICS[metric](label, a) - METRICS[metric](label, b), draws["a"] - draws["b"])


def by_slice(column: Any, label: Any, score: Any, metric: str, min_rows: int) -> dict[str, dict[str, Any]]:
    """Return ``{"rows": n, "value": metric}`` for each value of a column, the largest slice first.

    A slice of fewer than ``min_rows`` rows, or of one class only, is left out: it has no metric to judge by.

    :param column: one value per row; a missing one counts as the value ``(missing)``.
    :raises UnknownNameError: for a metric that is not in ``METRICS``.
    """
    measure = _known(metric)
    label, score = np.asarray(label), np.asarray(score)
    return {
        value: {"rows": int(chosen.sum()), "value": measure(label[chosen], score[chosen])}
        for value, chosen in _slices(column)
        if not _unfit(label[chosen], min_rows)
    }


def left_out(column: Any, label: Any, min_rows: int) -> dict[str, dict[str, int]]:
    """Return the slices that :func:`by_slice` leaves out: by reason, the rows of each value, the largest first."""
    label = np.asarray(label)
    found: dict[str, dict[str, int]] = {}
    for value, chosen in _slices(column):
        if why := _unfit(label[chosen], min_rows):
            found.setdefault(why, {})[value] = int(chosen.sum())
    return found


def _slices(column: Any) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield each value of a column and which rows have it, the most frequent first."""
    names = np.array([_name(value) for value in column])
    values, place, counts = np.unique(names, return_inverse=True, return_counts=True)
    for at in sorted(range(len(values)), key=lambda at: (-counts[at], values[at])):
        yield str(values[at]), place == at


def _unfit(label: Any, min_rows: int) -> str:
    """Return why a slice has no metric to judge by; empty if it has one."""
    if len(label) < min_rows:
        return f"fewer than {min_rows} rows"
    return "labels of one class only" if len(np.unique(label)) != 2 else ""


def _name(value: Any) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in _MISSING
    return "(missing)" if missing else str(value)


def _known(metric: str) -> Metric:
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    return METRICS[metric]


def _single(metric: str, label: Any, score: Any, weight: Any) -> float:
    label, score = _checked(label, score)
    weights = np.ones(len(label)) if weight is None else np.asarray(weight, dtype=float)
    positive = float(weights[label == 1].sum())
    _both_classes(positive, float(weights.sum()) - positive)
    prepared = _prepare(label, score)
    return float(_VECTORISED[metric](prepared, weights[prepared.order][None, :])[0])


def _draws(label: Any, scores: Mapping[str, Any], metric: str, repeats: int, seed: int) -> dict[str, Floats]:
    """Return ``repeats`` resampled values of the metric for each model, resample by resample the same rows."""
    _known(metric)
    prepared = {name: _prepare(*_checked(label, score)) for name, score in scores.items()}
    values: dict[str, list[Floats]] = {name: [] for name in scores}
    for weights in _resamples(np.asarray(label, dtype=float), repeats, np.random.default_rng(seed)):
        for name, rows in prepared.items():
            values[name].append(_VECTORISED[metric](rows, weights[:, rows.order]))
    return {name: np.concatenate(parts) for name, parts in values.items()}


def _resamples(label: Floats, repeats: int, random: np.random.Generator) -> Iterator[Floats]:
    """Yield row weights, shape (up to _BATCH, rows). A resample without both classes is drawn again."""
    rows, positives = len(label), label == 1
    _both_classes(float(positives.sum()), float(rows - positives.sum()))
    for start in range(0, repeats, _BATCH):
        weights = np.empty((min(_BATCH, repeats - start), rows))
        for row in weights:
            row[:] = _counts(rows, random)
            while not 0 < row[positives].sum() < rows:
                row[:] = _counts(rows, random)
        yield weights


def _counts(rows: int, random: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return how often each row is drawn when ``rows`` are drawn with replacement: multinomial counts."""
    return np.bincount(random.integers(0, rows, rows), minlength=rows)


def _checked(label: Any, score: Any) -> tuple[Floats, Floats]:
    label, score = np.asarray(label, dtype=float), np.asarray(score, dtype=float)
    if label.shape != score.shape or label.ndim != 1:
        raise DataValidationError(f"labels {label.shape} and scores {score.shape} must be one value per row each")
    missing = int(np.isnan(label).sum()), int(np.isnan(score).sum())
    if any(missing):
        raise DataValidationError(f"{missing[0]} labels and {missing[1]} scores of {len(label)} are missing")
    if not np.isin(label, (0.0, 1.0)).all():
        raise DataValidationError(f"labels must be 0 or 1, found {np.unique(label)[:5].tolist()}")
    return label, score


def _both_classes(positive: float, negative: float) -> None:
    if positive <= 0 or negative <= 0:
        raise DataValidationError(
            f"the rows hold {positive:g} positive and {negative:g} negative labels; both kinds are needed to judge by"
        )


def _prepare(label: Floats, score: Floats) -> _Prepared:
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return _Prepared(order=order, label=label[order], score=ordered, ends=ends)


def _cumulated(rows: _Prepared, weights: Floats) -> tuple[Floats, Floats]:
    """Return true and false positives down to each distinct score, shape (resamples, distinct scores)."""
    true = np.cumsum(weights * rows.label, axis=1)[:, rows.ends]
    return true, np.cumsum(weights, axis=1)[:, rows.ends] - true


def _roc_auc(rows: _Prepared, weights: Floats) -> Floats:
    true, false = _cumulated(rows, weights)
    before = np.concatenate([np.zeros((len(true), 1)), true[:, :-1]], axis=1)
    wide = np.diff(false, axis=1, prepend=0.0)
    area: Floats = (wide * (before + true) / 2).sum(axis=1) / (true[:, -1] * false[:, -1])
    return area


def _average_precision(rows: _Prepared, weights: Floats) -> Floats:
    true, false = _cumulated(rows, weights)
    gained = np.diff(true, axis=1, prepend=0.0) / true[:, -1:]
    total = true + false
    precision: Floats = (gained * np.divide(true, total, out=np.zeros_like(true), where=total > 0)).sum(axis=1)
    return precision


def _log_loss(rows: _Prepared, weights: Floats) -> Floats:
    epsilon = np.finfo(float).eps
    chance = np.clip(rows.score, epsilon, 1 - epsilon)
    loss = -np.log(np.where(rows.label == 1, chance, 1 - chance))
    mean: Floats = (weights @ loss) / weights.sum(axis=1)
    return mean


def _estimate(value: float, draws: Floats) -> Estimate:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(value=float(value), low=float(low), high=float(high))


_VECTORISED: dict[str, Callable[[_Prepared, Floats], Floats]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
}
