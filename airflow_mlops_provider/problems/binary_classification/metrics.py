"""The metrics of binary classification, with exact ties and row weights, computed for many resamples at once.

numpy only: importing ``sklearn.metrics`` costs seconds, and presorted scores make a weighted metric cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airflow_mlops_provider.exceptions import DataValidationError

Floats = npt.NDArray[np.float64]
BINS = 10


@dataclass(frozen=True)
class Ranked:
    """One model's rows in descending order of score, with the last row of each group of equal scores."""

    order: npt.NDArray[np.intp]
    label: Floats
    score: Floats
    ends: npt.NDArray[np.intp]


def weighted(metric: str, label: Floats, score: Floats) -> Callable[[Floats], Floats]:
    """Return a metric as a function of row weights. :raises DataValidationError: for labels other than 0 and 1."""
    if not np.isin(label, (0.0, 1.0)).all():
        raise DataValidationError(f"labels must be 0 or 1, found {np.unique(label)[:5].tolist()}")
    rows, values = _ranked(label, score), _METRICS[metric]
    return lambda weights: values(rows, weights[:, rows.order])


def roc_auc(rows: Ranked, weights: Floats) -> Floats:
    """Return the area under the ROC curve: P(score of a positive > that of a negative) + half of P(equal).

    Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 143(1), 1982.
    """
    true, false = _cumulated(rows, weights)
    before = np.concatenate([np.zeros((len(true), 1)), true[:, :-1]], axis=1)
    wide = np.diff(false, axis=1, prepend=0.0)
    area: Floats = (wide * (before + true) / 2).sum(axis=1) / (true[:, -1] * false[:, -1])
    return area


def average_precision(rows: Ranked, weights: Floats) -> Floats:
    """Return the average precision: the sum of (recall_n - recall_(n-1)) * precision_n over distinct scores.

    No interpolation; Zhu, "Recall, precision and average precision", University of Waterloo, 2004, and
    scikit-learn's ``average_precision_score``.
    """
    true, false = _cumulated(rows, weights)
    gained = np.diff(true, axis=1, prepend=0.0) / true[:, -1:]
    total = true + false
    precision: Floats = (gained * np.divide(true, total, out=np.zeros_like(true), where=total > 0)).sum(axis=1)
    return precision


def log_loss(rows: Ranked, weights: Floats) -> Floats:
    """Return the mean of -ln(probability given to what happened), in nats.

    Good, "Rational decisions", Journal of the Royal Statistical Society B 14(1), 1952. A probability is kept
    one float64 epsilon away from 0 and 1.
    """
    epsilon = np.finfo(float).eps
    chance = np.clip(rows.score, epsilon, 1 - epsilon)
    loss = -np.log(np.where(rows.label == 1, chance, 1 - chance))
    mean: Floats = (weights @ loss) / weights.sum(axis=1)
    return mean


def calibration_curve(label: Floats, score: Floats, weight: Floats) -> tuple[tuple[float, float], ...]:
    """Return the mean probability and the share of positives in each of ten equally wide bins that holds rows.

    That is a reliability diagram (Murphy and Winkler, "Reliability of subjective probability forecasts of
    precipitation and temperature", Applied Statistics 26(1), 1977).
    """
    place = _bins(score)
    total, said, was = (np.bincount(place, weight * values, BINS) for values in (np.ones_like(score), score, label))
    kept = total > 0
    points = np.stack([said[kept] / total[kept], was[kept] / total[kept]], axis=1)
    return tuple((float(x), float(y)) for x, y in points)


def _bins(score: Floats) -> npt.NDArray[np.intp]:
    """Return in which of the equally wide bins from 0 to 1 each probability lies; 1 is in the last."""
    return np.minimum((score * BINS).astype(np.intp), BINS - 1)


def _ranked(label: Floats, score: Floats) -> Ranked:
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return Ranked(order=order, label=label[order], score=ordered, ends=ends)


def _cumulated(rows: Ranked, weights: Floats) -> tuple[Floats, Floats]:
    """Return true and false positives down to each distinct score, shape (resamples, distinct scores)."""
    true = np.cumsum(weights * rows.label, axis=1)[:, rows.ends]
    return true, np.cumsum(weights, axis=1)[:, rows.ends] - true


_METRICS: dict[str, Callable[[Ranked, Floats], Floats]] = {
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "log_loss": log_loss,
}
