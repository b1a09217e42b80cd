"""The metrics of forecasts that have no unit, so that series of different size can be judged together; numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from airflow_mlops_provider.exceptions import DataValidationError
from airflow_mlops_provider.problems.base import Truth
from airflow_mlops_provider.problems.regression.metrics import Weighted, mean, ratio

Floats = npt.NDArray[np.float64]


def weighted(metric: str, truth: Truth, predicted: Floats) -> Weighted:
    """Return a metric as a function of row weights, shape (resamples, rows), to one value for each resample.

    - ``mean_absolute_scaled_error``: the mean absolute error, of each series in units of that of naive forecasts: below
      1 is better than these (Hyndman and Koehler, "Another look at measures of forecast accuracy", International
      Journal of Forecasting 22(4), 2006, section 3).
    - ``weighted_absolute_percentage_error``: the sum of absolute errors over the sum of absolute labels (Kolassa and
      Schütz, "Advantages of the MAD/mean ratio over the MAPE", Foresight 6, 2007).
    - ``symmetric_mean_absolute_percentage_error``: the mean of 2 * |y - s| / (|y| + |s|), 0 where both are 0; from 0 to
      2 (Makridakis, "Accuracy measures", International Journal of Forecasting 9(4), 1993).

    :raises DataValidationError: if nothing is known of naive forecasts' errors, or all labels are 0.
    """
    label = truth.label
    errors = np.abs(label - predicted)
    if metric == "mean_absolute_scaled_error":
        return mean(errors / _scale(truth))
    if metric == "weighted_absolute_percentage_error":
        if not label.any():
            raise DataValidationError(f"all {len(label)} labels are 0: no error is a share of them; judge by another")
        return ratio(errors, np.abs(label))
    size = np.abs(label) + np.abs(predicted)
    return mean(2 * errors / np.where(size > 0, size, 1.0))


def over_time(truth: Truth, predicted: Floats) -> tuple[tuple[float, float], ...]:
    """Return number and mean absolute error of each block of time that has rows."""
    weight = truth.weights
    block = np.zeros(len(truth), dtype=np.intp) if truth.group is None else truth.group
    total = np.bincount(block, weight)
    errors = np.bincount(block, weight * np.abs(truth.label - predicted))
    return tuple((float(at + 1), float(errors[at] / total[at])) for at in np.flatnonzero(total > 0))


def _scale(truth: Truth) -> Floats:
    scale = truth.scale
    if scale is None or not (scale > 0).all():
        raise DataValidationError(
            "no naive forecast has an error to measure others by: no row has an earlier one of its series, or all are "
            "exact; name a request column that holds a naive forecast, Forecasting(naive=…), or judge by another metric"
        )
    return scale
