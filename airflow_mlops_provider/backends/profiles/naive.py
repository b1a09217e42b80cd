"""What somebody would predict who knows no other column, and how good that is: the least that a model must beat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from airflow_mlops_provider.backends.profiles.values import Floats, Rows, Values
from airflow_mlops_provider.backends.tables.sample import Hashes
from airflow_mlops_provider.lifecycle.initiation.profile import Grain, Naive

#: The share of rows that are judged on.
SHARE = 0.2
#: After so many steps a season comes again.
SEASONS: Mapping[Grain, int] = {"hour": 24, "day": 7, "week": 52, "month": 12, "quarter": 4, "year": 1}


def split(seconds: Floats | None, hashes: Hashes) -> Rows:
    """Return which rows are judged on: the newest, else those that a hash of what is in them chooses."""
    if seconds is None:
        return np.asarray(hashes % np.uint64(1000) < np.uint64(1000 * SHARE))
    newest = np.nanquantile(seconds, 1 - SHARE)
    return np.asarray(seconds > newest if (seconds > newest).any() else seconds >= newest)


def naive(label: Values, problem: str, metric: str, judged: Rows) -> Naive | None:
    """Return the naive prediction and its metric; None where this kind of problem has none that needs no model."""
    learned, judged = ~judged & ~label.missing, judged & ~label.missing
    rows = int(judged.sum())
    if not rows or not learned.any():
        return None
    if problem in ("regression", "forecasting") and label.numbers is not None:
        value = float(np.abs(label.numbers[judged] - np.median(label.numbers[learned])).mean())
        return Naive(name="the median of the rows learned from", metric=metric, value=value, rows=rows)
    usual = int(np.bincount(label.codes[learned]).argmax())
    right = float((label.codes[judged] == usual).mean())
    if problem == "multiclass_classification":
        value = 1 / len(np.unique(label.codes[judged])) if metric == "balanced_accuracy" else right
        return Naive(name="the most frequent class", metric=metric, value=value, rows=rows)
    if problem == "binary_classification":
        value = 0.5 if metric == "roc_auc" else 1 - right
        return Naive(name="the same probability for all", metric=metric, value=value, rows=rows)
    return None


def seasonal(label: Values, judged: Rows, seconds: Floats, series: Hashes, step: Grain, metric: str) -> Naive | None:
    """Return the better of the last value of a series and the one a season ago, by their mean absolute errors."""
    if label.numbers is None:
        return None
    order, errors = np.lexsort((seconds, series)), dict[int, tuple[float, int]]()
    for lag in sorted({1, SEASONS[step]}):
        before, after = order[:-lag], order[lag:]
        wrong = np.abs(label.numbers[after] - label.numbers[before])
        usable = (series[before] == series[after]) & judged[after] & ~np.isnan(wrong)
        if usable.any():
            errors[lag] = float(wrong[usable].mean()), int(usable.sum())
    if not errors:
        return None
    lag = min(errors, key=lambda each: errors[each][0])
    name = "the last value" if lag == 1 else f"the value {lag} {step}s before"
    return Naive(name=name, metric=metric, value=errors[lag][0], rows=errors[lag][1])
