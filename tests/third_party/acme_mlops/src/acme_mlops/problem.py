"""A kind of problem: how much something will be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.problems.base import Problem, Truth

if TYPE_CHECKING:
    import pandas as pd


class Amount(Problem):
    """An amount, judged by how far off predictions are."""

    metrics = (Metric("mean_absolute_error", higher_is_better=False, high=None),)
    label_type = "float64"
    answer = "amount"

    def labels(self, label: pd.Series) -> pd.Series:
        return label.astype("float64")

    def learnable(self, label: pd.Series, rows: str) -> pd.Series:
        labels = self.labels(label)
        if labels.isna().any():
            raise SourceDataError(f"label {label.name!r} is missing in {int(labels.isna().sum())} of {rows}")
        return labels

    def weighted(self, metric: str, truth: Truth, score: Any) -> Callable[[Any], Any]:
        return lambda weights: (weights @ abs(truth.label - score)) / weights.sum(axis=1)
