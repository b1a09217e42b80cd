"""The metrics of amounts, with row weights, computed for many resamples at once; numpy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from airflow_mlops_provider.exceptions import DataValidationError

Floats = npt.NDArray[np.float64]
Weighted = Callable[[Floats], Floats]
TENTHS = 10


def weighted(metric: str, label: Floats, predicted: Floats) -> Weighted:
    """Return a metric as a function of row weights, shape (resamples, rows), to one value for each resample.

    :raises DataValidationError: for a Poisson deviance of what is no count.
    """
    return _METRICS[metric](label, predicted)


def mean(loss: Floats) -> Weighted:
    """Return the weighted mean of a loss of each row."""
    return lambda weights: (weights @ loss) / weights.sum(axis=1)


def ratio(of: Floats, to: Floats) -> Weighted:
    """Return the weighted sum of an amount of each row over that of another; 0 of 0 is 0."""

    def value(weights: Floats) -> Floats:
        above, below = weights @ of, weights @ to
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(above == 0, 0.0, above / below)

    return value


def of_quantiles(metric: str, label: Floats, scores: Floats, quantiles: Sequence[float]) -> Weighted:
    """Return a metric of predicted quantiles, shape (rows, quantiles).

    - ``pinball_loss``: the mean over all quantiles of q * (y - s) above and (1 - q) * (s - y) below (Koenker and
      Bassett, "Regression quantiles", Econometrica 46(1), 1978).
    - ``coverage``: the share of labels between the outermost quantiles, both included.
    - ``interval_score``: (u - l) + (l - y) / a below l + (y - u) / (1 - b) above u, of the outermost quantiles a and b;
      with a = 1 - b the interval score of Gneiting and Raftery, "Strictly proper scoring rules, prediction, and
      estimation", Journal of the American Statistical Association 102(477), 2007, eq. 43.
    """
    low, high, y = scores[:, 0], scores[:, -1], label[:, None]
    if metric == "pinball_loss":
        levels = np.asarray(quantiles)
        return mean(np.maximum(levels * (y - scores), (levels - 1) * (y - scores)).mean(axis=1))
    if metric == "coverage":
        return mean(((label >= low) & (label <= high)).astype("float64"))
    outside = np.maximum(low - label, 0) / quantiles[0] + np.maximum(label - high, 0) / (1 - quantiles[-1])
    return mean(high - low + outside)


def root_mean_squared_error(label: Floats, predicted: Floats) -> Weighted:
    """Return the root of the mean squared error."""
    squared = mean((label - predicted) ** 2)
    return lambda weights: np.sqrt(squared(weights))


def r2(label: Floats, predicted: Floats) -> Weighted:
    """Return the share of the labels' variance that predictions explain; below 0 if they are worse than the mean.

    Labels that do not vary are explained wholly, 1, by what is exact, and not at all, 0, by anything else: as
    scikit-learn's ``r2_score`` has it.
    """
    centered, errors = label - label.mean(), (label - predicted) ** 2

    def value(weights: Floats) -> Floats:
        total, left = weights.sum(axis=1), weights @ errors
        squares = weights @ centered**2
        spread = squares - (weights @ centered) ** 2 / total
        varies = spread > 1e-12 * squares  # what is left by rounding is nothing
        share = 1 - left / np.where(varies, spread, 1.0)
        return np.where(varies, share, (left == 0).astype("float64"))

    return value


def median_absolute_error(label: Floats, predicted: Floats) -> Weighted:
    """Return the weighted median of the absolute errors: the mean of the two in the middle where it lies between."""
    errors = np.abs(label - predicted)
    order = np.argsort(errors, kind="stable")
    ordered = errors[order]

    def value(weights: Floats) -> Floats:
        below = np.cumsum(weights[:, order], axis=1)
        half = below[:, -1:] / 2
        near = 1e-12 * below[:, -1:]  # sums of weights that are no whole numbers are not exact
        lower, upper = (below < half - near).sum(axis=1), (below <= half + near).sum(axis=1)
        middle: Floats = (ordered[lower] + ordered[upper]) / 2
        return middle

    return value


def mean_poisson_deviance(label: Floats, predicted: Floats) -> Weighted:
    """Return the mean of 2 * (y * ln(y / s) - y + s) over counts (McCullagh and Nelder, 1989, section 2.3)."""
    if (label < 0).any() or (predicted <= 0).any():
        raise DataValidationError(
            f"the least label is {label.min():g} and the least prediction {predicted.min():g}; a Poisson deviance is "
            "of counts from 0 on and of predictions above 0"
        )
    logs = np.log(np.where(label > 0, label, 1.0) / np.where(label > 0, predicted, 1.0))
    return mean(2 * (label * logs - label + predicted))


def by_tenth(label: Floats, predicted: Floats, weight: Floats) -> tuple[tuple[float, float], ...]:
    """Return mean prediction and mean label of each tenth of the rows, from the lowest predictions to the highest."""
    parts = np.array_split(np.argsort(predicted, kind="stable"), TENTHS)
    counted = [rows for rows in parts if weight[rows].any()]
    means = ([float(np.average(of[rows], weights=weight[rows])) for of in (predicted, label)] for rows in counted)
    return tuple((said, was) for said, was in means)


def shares_below(
    label: Floats, scores: Floats, quantiles: Sequence[float], weight: Floats
) -> tuple[tuple[float, float], ...]:
    """Return each quantile and the share of labels that were no higher than what the model gave for it."""
    below = (label[:, None] <= scores.reshape(len(label), -1)).astype("float64")
    shares = np.average(below, axis=0, weights=weight)
    return tuple((float(level), float(share)) for level, share in zip(quantiles, shares, strict=True))


def _percentages(label: Floats, predicted: Floats) -> Floats:
    """Return each absolute error over its label, of which 0 is taken for the smallest number above it that matters."""
    return np.abs(label - predicted) / np.maximum(np.abs(label), np.finfo(float).eps)


_METRICS: dict[str, Callable[[Floats, Floats], Weighted]] = {
    "mean_absolute_error": lambda label, predicted: mean(np.abs(label - predicted)),
    "root_mean_squared_error": root_mean_squared_error,
    "r2": r2,
    "mean_absolute_percentage_error": lambda label, predicted: mean(_percentages(label, predicted)),
    "median_absolute_error": median_absolute_error,
    "mean_poisson_deviance": mean_poisson_deviance,
}
