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
    """One model's rows in descending order of score, with the last row of each group of equal scores.

    :param said: 1 where the score is at least the threshold of decisions, else 0.
    """

    order: npt.NDArray[np.intp]
    label: Floats
    score: Floats
    ends: npt.NDArray[np.intp]
    said: Floats


def weighted(metric: str, label: Floats, score: Floats, threshold: float = 0.5) -> Callable[[Floats], Floats]:
    """Return a metric as a function of row weights. :raises DataValidationError: for labels other than 0 and 1."""
    check_labels(label)
    rows, values = ranked(label, score, threshold), _METRICS[metric]
    return lambda weights: values(rows, weights[:, rows.order])


def check_labels(label: Floats) -> None:
    """Make sure that labels are 0 or 1. :raises DataValidationError: if there are others, with some of them."""
    if not np.isin(label, (0.0, 1.0)).all():
        raise DataValidationError(f"labels must be 0 or 1, found {np.unique(label)[:5].tolist()}")


def roc_auc(rows: Ranked, weights: Floats) -> Floats:
    """Return the area under the ROC curve: P(score of a positive > that of a negative) + half of P(equal).

    Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 143(1), 1982.
    """
    true, false = cumulated(rows, weights)
    before = np.concatenate([np.zeros((len(true), 1)), true[:, :-1]], axis=1)
    wide = np.diff(false, axis=1, prepend=0.0)
    area: Floats = (wide * (before + true) / 2).sum(axis=1) / (true[:, -1] * false[:, -1])
    return area


def average_precision(rows: Ranked, weights: Floats) -> Floats:
    """Return the average precision: the sum of (recall_n - recall_(n-1)) * precision_n over distinct scores.

    No interpolation; Zhu, "Recall, precision and average precision", University of Waterloo, 2004, and
    scikit-learn's ``average_precision_score``.
    """
    true, false = cumulated(rows, weights)
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


def brier_score(rows: Ranked, weights: Floats) -> Floats:
    """Return the mean squared difference of probability and outcome.

    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78(1), 1950, for one of
    its two classes: half of what he defines for both.
    """
    mean: Floats = (weights @ (rows.score - rows.label) ** 2) / weights.sum(axis=1)
    return mean


def calibration_error(rows: Ranked, weights: Floats) -> Floats:
    """Return the expected calibration error of ten equally wide bins of probability.

    The mean over rows of how far, in a row's bin, the mean probability is from the share of positives: Naeini, Cooper
    and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; Guo et al., "On
    calibration of modern neural networks", ICML 2017, eq. 3. Of few rows it is too high, also for a calibrated model
    (Kumar, Liang and Ma, "Verified uncertainty calibration", NeurIPS 2019).
    """
    one_of_bins = _bins(rows.score)[:, None] == np.arange(BINS)
    apart = weights @ (one_of_bins * (rows.label - rows.score)[:, None])
    error: Floats = np.abs(apart).sum(axis=1) / weights.sum(axis=1)
    return error


def precision(rows: Ranked, weights: Floats) -> Floats:
    """Return the share of positives among rows that are said to be; 0 if none is."""
    hits, false_alarms, _, _ = _counts(rows, weights)
    return ratio(hits, hits + false_alarms)


def recall(rows: Ranked, weights: Floats) -> Floats:
    """Return the share of positives that are said to be."""
    hits, _, missed, _ = _counts(rows, weights)
    return ratio(hits, hits + missed)


def f1(rows: Ranked, weights: Floats) -> Floats:
    """Return the harmonic mean of precision and recall (van Rijsbergen, "Information Retrieval", 1979, chapter 7)."""
    hits, false_alarms, missed, _ = _counts(rows, weights)
    return ratio(2 * hits, 2 * hits + false_alarms + missed)


def balanced_accuracy(rows: Ranked, weights: Floats) -> Floats:
    """Return the mean of the shares of positives and of negatives that are said to be such.

    Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.
    """
    hits, false_alarms, missed, rejected = _counts(rows, weights)
    return (ratio(hits, hits + missed) + ratio(rejected, rejected + false_alarms)) / 2


def matthews_correlation(rows: Ranked, weights: Floats) -> Floats:
    """Return the correlation of what is and what is said, from -1 to 1; 0 if all rows are said to be the same.

    Matthews, "Comparison of the predicted and observed secondary structure of T4 phage lysozyme", Biochimica et
    Biophysica Acta 405(2), 1975.
    """
    hits, false_alarms, missed, rejected = _counts(rows, weights)
    said, positive = hits + false_alarms, hits + missed
    rest = (rejected + false_alarms) * (rejected + missed)
    return np.clip(ratio(hits * rejected - false_alarms * missed, np.sqrt(said * positive * rest)), -1.0, 1.0)


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
    """Return in which of the equally wide bins from 0 to 1 each probability lies; an edge is of the bin below it."""
    return np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], score)


def ranked(label: Floats, score: Floats, threshold: float = 0.5) -> Ranked:
    """Return the rows of one model in the order of its scores."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return Ranked(
        order=order, label=label[order], score=ordered, ends=ends, said=(ordered >= threshold).astype("float64")
    )


def cumulated(rows: Ranked, weights: Floats) -> tuple[Floats, Floats]:
    """Return true and false positives down to each distinct score, shape (resamples, distinct scores)."""
    true = np.cumsum(weights * rows.label, axis=1)[:, rows.ends]
    return true, np.cumsum(weights, axis=1)[:, rows.ends] - true


def _counts(rows: Ranked, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the weights of hits, false alarms, positives that were missed, and negatives that were rejected."""
    label, said = rows.label, rows.said
    hits, false_alarms = weights @ (label * said), weights @ ((1 - label) * said)
    return hits, false_alarms, weights @ (label * (1 - said)), weights @ ((1 - label) * (1 - said))


def ratio(part: Floats, whole: Floats) -> Floats:
    """Return a quotient, 0 where nothing is divided by nothing."""
    shares: Floats = np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
    return shares


_METRICS: dict[str, Callable[[Ranked, Floats], Floats]] = {
    metric.__name__: metric
    for metric in (
        roc_auc,
        average_precision,
        log_loss,
        brier_score,
        calibration_error,
        precision,
        recall,
        f1,
        balanced_accuracy,
        matthews_correlation,
    )
}
