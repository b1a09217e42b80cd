"""The metrics of multilabel classification, with row weights, computed for many resamples at once; numpy only.

Tsoumakas and Katakis, "Multi-label classification: an overview", International Journal of Data Warehousing and Mining
3(3), 2007, and scikit-learn's metrics of the same names.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from airflow_mlops_provider.problems.binary_classification import metrics as binary

Floats = npt.NDArray[np.float64]
Values = Callable[[Floats], Floats]


def weighted(metric: str, label: Floats, score: Floats, said: Floats) -> Values:
    """Return a metric as a function of row weights.

    :param label, said: 1 for each label that a row has, and was given, else 0; shape (rows, labels), as the scores.
    :raises DataValidationError: for labels other than 0 and 1.
    """
    binary.check_labels(label)
    return average_precision(label, score) if metric == "average_precision" else _OF_DECISIONS[metric](label, said)


def hamming_loss(label: Floats, said: Floats) -> Values:
    """Return the share of rows and labels of which the wrong is said."""
    return _mean((label != said).mean(axis=1))


def subset_accuracy(label: Floats, said: Floats) -> Values:
    """Return the share of rows of which the right is said of all labels."""
    return _mean((label == said).all(axis=1).astype(float))


def micro_f1(label: Floats, said: Floats) -> Values:
    """Return F1 of the hits, false alarms and misses of all labels together."""
    right, either = (label * said).sum(axis=1), (label + said).sum(axis=1)
    return lambda weights: binary.ratio(2 * (weights @ right), weights @ either)


def macro_f1(label: Floats, said: Floats) -> Values:
    """Return the mean F1 of all labels; 0 for one that no row has or was given."""
    right, either = label * said, label + said
    return lambda weights: binary.ratio(2 * (weights @ right), weights @ either).mean(axis=1)


def average_precision(label: Floats, score: Floats) -> Values:
    """Return the average precision of rows and labels together, as :func:`.binary.average_precision` has it."""
    rows = binary.ranked(label.ravel(), score.ravel())
    place = rows.order // label.shape[1]
    return lambda weights: binary.average_precision(rows, weights[:, place])


def per_label(label: Floats, said: Floats, weight: Floats | None) -> list[tuple[float | int | None, ...]]:
    """Return precision, recall, F1 and rows of each label; None where there is nothing to divide by."""
    counted = np.ones(len(label)) if weight is None else weight
    right, given, there = (counted @ table for table in (label * said, said, label))
    shares = ((right, given), (right, there), (2 * right, given + there))
    columns = [[float(part / whole) if whole else None for part, whole in zip(*pair, strict=True)] for pair in shares]
    return list(zip(*columns, [int(n) if weight is None else float(n) for n in there], strict=True))


def _mean(values: Floats) -> Values:
    return lambda weights: (weights @ values) / weights.sum(axis=1)


_OF_DECISIONS: dict[str, Callable[[Floats, Floats], Values]] = {
    metric.__name__: metric for metric in (hamming_loss, subset_accuracy, micro_f1, macro_f1)
}
