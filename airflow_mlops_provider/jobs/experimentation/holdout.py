"""A training set's training rows, split once more by time: to choose settings without the window that judges models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.jobs.truth import judged, known
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.shape import LabelColumns, Scoring, TimedTarget
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Problem, Truth

if TYPE_CHECKING:
    import pandas as pd


#: Of which kind, as pandas calls it, values are by which rows can be put in order of time.
ORDERED = frozenset({"datetime64", "datetime", "date", "integer", "floating"})


class Split(NamedTuple):
    """The earlier rows to learn from, and the later ones to judge on, both in order of time."""

    earlier: pd.DataFrame
    holdout: pd.DataFrame


def columns(scoring: Scoring | TimedTarget) -> tuple[LabelColumns, str]:
    """Return the columns of the truth, and the one by which rows are split."""
    if isinstance(scoring, TimedTarget):
        return LabelColumns(column=scoring.column, known_at=scoring.time), scoring.time
    return scoring.label, EVENT_TIME


def split(frame: pd.DataFrame, share: float, problem: Problem, label: LabelColumns, time: str = EVENT_TIME) -> Split:
    """Split rows by time.

    Rows whose label was not known when the holdout begins are left out of the earlier ones: as in production, no model
    learns from a truth that lies after what it is judged on. A model that learns without labels learns from all earlier
    rows, and is judged on those that have a label. Rows of one moment stay together, and so do those of a
    group, if the problem has such.

    :param share: the holdout's share of the rows, 0 to 1.
    :param time: the column that says when a row was: times, days, or numbers.
    :raises SourceDataError: if either part would be empty, or have labels that nobody can judge by; or if rows can't be
        put in order.
    """
    _check_order(frame, label, time)
    ordered = frame.sort_values(time, kind="stable")
    begins = ordered[time].iloc[int(len(ordered) * (1 - share))]
    later = ordered[time] >= begins
    if problem.group is not None:  # a group of which some rows are later is not learned from
        later |= ordered[problem.group].isin(ordered.loc[later, problem.group])
    earlier, anyhow = ordered[~later], problem.learns_without_labels
    in_time = problem.known_from(earlier, label.known_at) < begins
    learned = known(earlier, label, begins, unknown=True) if anyhow else earlier[in_time]
    if learned.empty:
        raise SourceDataError(f"no training row lies before {begins} with its label known by then; take more intervals")
    parts = Split(learned, judged(problem, ordered[later], label.column))
    checked = {"holdout": parts.holdout} if anyhow else {"rows to learn from": learned, "holdout": parts.holdout}
    for name, part in checked.items():
        if why := problem.unfit(part[label.column]):
            raise SourceDataError(f"the {name} would be {len(part)} rows with {why}; take more intervals")
    return Split(*(part.reset_index(drop=True) for part in parts))


def _check_order(frame: pd.DataFrame, label: LabelColumns, time: str) -> None:
    from pandas.api.types import infer_dtype

    if missing := [column for column in (label.column, time) if column not in frame.columns]:
        raise SourceDataError(f"no column {missing[0]!r}; there are: {', '.join(map(str, frame.columns))}")
    kind, gaps = infer_dtype(frame[time], skipna=True), int(frame[time].isna().sum())
    if gaps or kind not in ORDERED:
        what = f"{gaps} of {len(frame)} rows without one" if gaps else f"values that are {kind}"
        raise SourceDataError(f"rows are split by their time, and {time!r} has {what}; name a column of times")


def measure(problem: Problem, metric: Metric, truth: Truth, scores: Any) -> float:
    """Return the metric of some scores. :raises ValueError: if it is no finite number."""
    value = statistics.measure(problem, metric, truth, scores)
    if not math.isfinite(value):
        raise ValueError(f"the model's {metric.name} is {value}")
    return value
