"""The metrics of multiclass classification, with row weights, computed for many resamples at once; numpy only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from airflow_mlops_provider.problems.binary_classification.metrics import ranked, ratio, roc_auc

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Values = Callable[[Floats], Floats]


def weighted(metric: str, label: Floats, score: Floats) -> Values:
    """Return a metric as a function of row weights.

    :param label: the place of each row's class. :param score: the probability of each class, shape (rows, classes).
    """
    return _METRICS[metric](label.astype(np.intp), score)


def log_loss(label: Places, score: Floats) -> Values:
    """Return the mean of -ln(probability given to what happened), in nats.

    Good, "Rational decisions", Journal of the Royal Statistical Society B 14(1), 1952. A probability is kept one
    float64 epsilon away from 0 and 1.
    """
    epsilon = np.finfo(float).eps
    return _mean(-np.log(np.clip(score[np.arange(len(label)), label], epsilon, 1 - epsilon)))


def accuracy(label: Places, score: Floats) -> Values:
    """Return the share of rows whose most probable class is theirs."""
    return _mean(label == score.argmax(axis=1))


def top_2_accuracy(label: Places, score: Floats) -> Values:
    """Return the share of rows whose class is one of the two most probable; of equals the first come first."""
    rows = np.arange(len(label))
    own = score[rows, label][:, None]
    first = np.arange(score.shape[1]) < label[:, None]
    return _mean(((score > own) | ((score == own) & first)).sum(axis=1) < 2)


def balanced_accuracy(label: Places, score: Floats) -> Values:
    """Return the mean, over the classes that are there, of the share of their rows that are said to be such.

    Mosley, "A balanced approach to the multi-class imbalance problem", Iowa State University, 2013; scikit-learn's
    ``balanced_accuracy_score``.
    """
    right, there = _hits(label, score), _of_classes(label, score.shape[1])

    def values(weights: Floats) -> Floats:
        rows = there(weights)
        shares: Floats = ratio(right(weights), rows).sum(axis=1) / (rows > 0).sum(axis=1)
        return shares

    return values


def macro_f1(label: Places, score: Floats) -> Values:
    """Return the mean F1 of the classes that are there, or are said to be.

    The averaged F1 of Opitz and Burst, "Macro F1 and macro F1", 2019; scikit-learn's ``f1_score(average="macro")``.
    """
    classes = score.shape[1]
    right, there, said = _hits(label, score), _of_classes(label, classes), _of_classes(score.argmax(axis=1), classes)

    def values(weights: Floats) -> Floats:
        both = there(weights) + said(weights)
        means: Floats = ratio(2 * right(weights), both).sum(axis=1) / (both > 0).sum(axis=1)
        return means

    return values


def roc_auc_ovr(label: Places, score: Floats) -> Values:
    """Return the mean area under the ROC curves of each class against the rest; classes that are not there have none.

    Provost and Domingos, "Well-trained PETs: improving probability estimation trees", CeDER working paper 00-04, Stern
    School of Business, 2000, without their weights; scikit-learn's ``roc_auc_score(multi_class="ovr")``.
    """
    own = [ranked((label == place).astype(float), score[:, place]) for place in range(score.shape[1])]

    def values(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            areas = np.array([roc_auc(rows, weights[:, rows.order]) for rows in own])
        means: Floats = np.nanmean(areas, axis=0)
        return means

    return values


def confusion(label: Floats, said: Floats, classes: int, weight: Floats | None) -> npt.NDArray[np.float64 | np.int64]:
    """Return the weight of rows by true (down) and predicted class (across); counts where no weights are declared."""
    places = label.astype(np.intp) * classes + said.astype(np.intp)
    counts = np.bincount(places, weight, classes * classes).reshape(classes, classes)
    return counts if weight is not None else counts.astype(np.int64)


def per_class(counts: npt.NDArray[np.float64 | np.int64]) -> list[tuple[float | int | None, ...]]:
    """Return precision, recall, F1 and rows of each class; None where there is nothing to divide by."""
    right, there, said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    shares = ((right, said), (right, there), (2 * right, said + there))
    columns = [[float(part / whole) if whole else None for part, whole in zip(*pair, strict=True)] for pair in shares]
    return list(zip(*columns, there.tolist(), strict=True))


def _mean(values: npt.NDArray[np.float64 | np.bool_]) -> Values:
    return lambda weights: (weights @ values.astype(float)) / weights.sum(axis=1)


def _hits(label: Places, score: Floats) -> Values:
    """Return a function to the weight of each class's rows that are said to be such, shape (resamples, classes)."""
    right = np.flatnonzero(label == score.argmax(axis=1))
    counts = _of_classes(label[right], score.shape[1])
    return lambda weights: counts(weights[:, right])


def _of_classes(places: Places, classes: int) -> Values:
    """Return a function to the weight of each class's rows, shape (resamples, classes)."""
    return lambda weights: np.array([np.bincount(places, row, classes) for row in weights])


_METRICS: dict[str, Callable[[Places, Floats], Values]] = {
    metric.__name__: metric for metric in (log_loss, accuracy, balanced_accuracy, macro_f1, roc_auc_ovr, top_2_accuracy)
}
