"""A training set's training rows, split once more by time: to choose settings without the window that judges models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.sections import LabelColumns
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Problem

if TYPE_CHECKING:
    import pandas as pd


class Split(NamedTuple):
    """The earlier rows to learn from, and the later ones to judge on, both in order of time."""

    earlier: pd.DataFrame
    holdout: pd.DataFrame


def split(frame: pd.DataFrame, share: float, problem: Problem, label: LabelColumns) -> Split:
    """Split rows by time.

    Rows whose label was not known when the holdout begins are left out of the earlier ones: as in production, no model
    learns from a truth that lies after what it is judged on. Rows of one moment stay together.

    :param share: the holdout's share of the rows, 0 to 1.
    :raises SourceDataError: if either part would be empty, or have labels that nobody can judge by.
    """
    ordered = frame.sort_values(EVENT_TIME, kind="stable")
    begins = ordered[EVENT_TIME].iloc[int(len(ordered) * (1 - share))]
    later = ordered[EVENT_TIME] >= begins
    parts = Split(ordered[~later & (ordered[label.known_at] < begins)], ordered[later])
    if parts.earlier.empty:
        raise SourceDataError(f"no training row lies before {begins} with its label known by then; take more intervals")
    for name, part in zip(("rows to learn from", "holdout"), parts, strict=True):
        if why := problem.unfit(part[label.column]):
            raise SourceDataError(f"the {name} would be {len(part)} rows with {why}; take more intervals")
    return Split(*(part.reset_index(drop=True) for part in parts))


def measure(problem: Problem, metric: str, label: pd.Series, scores: Any) -> float:
    """Return the metric of some scores. :raises ValueError: if it is no finite number."""
    value = statistics.measure(problem, metric, label.to_numpy(), scores)
    if not math.isfinite(value):
        raise ValueError(f"the model's {metric} is {value}")
    return value
