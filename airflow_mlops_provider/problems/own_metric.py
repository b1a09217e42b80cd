"""A metric that is the user's own function, or scikit-learn's, computed for one resample after another."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import EntryPoint
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.problem import Metric

Floats = npt.NDArray[np.float64]


def weighted(metric: Metric, label: Floats, given: Floats) -> Callable[[Floats], Floats]:
    """Return a metric as a function of row weights, shape (resamples, rows), to one value for each resample.

    :param given: scores or decisions, whichever the metric takes.
    :raises ConfigurationError: if there is no such function, it fails, or what it returns is no finite number.
    """
    function = _function(metric)
    takes_weights = "sample_weight" in signature(function).parameters

    def value(weights: Floats) -> float:
        counted = weights > 0
        args: tuple[Any, ...] = (label[counted], given[counted])
        more = dict(metric.params)
        if takes_weights:
            more["sample_weight"] = weights[counted]
        else:
            times = weights[counted].astype(int)
            if (times != weights[counted]).any():
                raise ConfigurationError(f"rows have weights, and {metric.code} has no parameter sample_weight")
            args = tuple(np.repeat(values, times, axis=0) for values in args)
        return _number(metric, function(*args, **more))

    return lambda weights: np.array([value(row) for row in weights])


def _function(metric: Metric) -> Callable[..., Any]:
    try:
        function = EntryPoint("", str(metric.code), "").load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"metric {metric.name!r}: {metric.code} can't be loaded: {error}") from error
    if not callable(function):
        raise ConfigurationError(f"metric {metric.name!r}: {metric.code} is a {type(function).__name__}, no function")
    return function  # type: ignore[no-any-return]


def _number(metric: Metric, value: Any) -> float:
    number = float(value) if isinstance(value, int | float | np.number) else math.nan
    if not math.isfinite(number):
        raise ConfigurationError(f"metric {metric.name!r}: {metric.code} returned {value!r:.80}, no finite number")
    return number
