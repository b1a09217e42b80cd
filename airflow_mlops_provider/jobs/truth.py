"""What turned out to be true of rows: in their own interval's examples, or in a table where it arrives when it does."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.tables.column_types import typed_table
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError
from airflow_mlops_provider.jobs.tables import EXAMPLES, PREDICTIONS, SAID
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.shape import LabelColumns, Shape
from airflow_mlops_provider.problems.base import Problem
from airflow_mlops_provider.runtime.context import AnyContext

if TYPE_CHECKING:
    import pandas as pd

#: Tells rows apart that are alike.
_NTH = "__nth"


def until(truth: Iterable[Dataset], end: datetime) -> datetime:
    """Return up to when truth has arrived: the end of the last interval in which it did, or the given one."""
    return max([end, *(dataset.interval.end for dataset in truth if dataset.interval)])


def with_truth(
    context: AnyContext, shape: Shape, rows: pd.DataFrame, truth: tuple[Dataset, ...], until: datetime
) -> pd.DataFrame:
    """Return rows with their label and when it became known, both missing where it was not known by some moment.

    Of several truths of a row the one counts that became known last; of two at once, the one that arrived last.

    :param truth: the clean tables of the intervals in which it may have arrived, oldest first.
    :raises ConfigurationError, UnknownNameError: if there are none, or they hold no such table.
    :raises SourceDataError: for a value that is not of its type, or a missing key; names column, row and value.
    """
    import pandas as pd

    label, by = shape.label, [*shape.label.by]
    if not truth or not label.truth:
        raise ConfigurationError(f"the truth of {shape.name!r} arrives in clean tables, and none are given")
    keys = {name: shape.row_columns[name] for name in by}
    types = {**keys, label.column: problems.find(shape.problem).label_type, label.known_at: "timestamp"}
    frames = [pd.read_parquet(context.file(dataset, label.truth)) for dataset in truth]
    arrived = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    arrived[label.column] = problems.find(shape.problem).labels(arrived[label.column])
    table = typed_table(arrived, types, f"table {label.truth!r}", by, needed=by)
    arrived = table.to_pandas().dropna(subset=[label.column, label.known_at])
    arrived = arrived[arrived[label.known_at] < until].sort_values(label.known_at, kind="stable")
    arrived = arrived.drop_duplicates(by, keep="last")
    own = typed_table(rows, keys, "rows", by).to_pandas()
    matched = own.merge(arrived, how="left", on=by).set_index(rows.index)
    return rows.assign(**{name: matched[name] for name in (label.column, label.known_at)})


def known(rows: pd.DataFrame, label: LabelColumns, until: Any, *, unknown: bool = False) -> pd.DataFrame:
    """Return the rows whose label was known by some moment.

    :param unknown: all of them instead, with those labels missing that were not known.
    """
    there = rows[label.column].notna() & (rows[label.known_at] < until)
    if unknown:
        return rows.assign(**{label.column: rows[label.column].where(there)}).reset_index(drop=True)
    return rows[there].reset_index(drop=True)


def judged(problem: Problem, rows: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the rows to judge on: of a problem whose models learn without labels those that have one.

    :raises SourceDataError: if they have none, or such as nobody can judge by.
    """
    if not problem.learns_without_labels:
        return rows
    labelled = rows[rows[label].notna()].reset_index(drop=True)
    if why := "no label" if labelled.empty else problem.unfit(labelled[label]):
        raise SourceDataError(f"the {len(rows)} rows to judge on have {why} in {label!r}; {problem.without_labels}")
    return labelled


def with_examples(context: AnyContext, shape: Shape, rows: pd.DataFrame, features: Dataset) -> pd.DataFrame:
    """Return rows beside the label in their interval's examples; those are left out of which there is no example."""
    label = shape.label
    further = [label.weight] if label.weight and label.weight not in shape.row_columns else []
    examples = context.read(features, EXAMPLES)[[*shape.row_columns, label.column, label.known_at, *further]]
    on = [*shape.row_columns, _NTH]
    return numbered(rows, on).merge(numbered(examples, on), on=on).drop(columns=_NTH)


def said(context: AnyContext, predictions: Dataset) -> pd.DataFrame:
    """Return what was said of each row first, of an interval that may have been predicted several times."""
    return context.read(predictions, SAID if SAID in context.tables(predictions) else PREDICTIONS)


def new_rows(rows: pd.DataFrame, known: pd.DataFrame, columns: Collection[str]) -> pd.Series:
    """Say of each row whether there is none like it among those known; of two alike each counts for itself."""
    on = [*columns, _NTH]
    merged = numbered(rows, on)[on].merge(numbered(known, on)[on], how="left", on=on, indicator="__in")
    return (merged["__in"] == "left_only").set_axis(rows.index)


def numbered(rows: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """Return rows with a number that tells those apart that are alike in some columns."""
    return rows.assign(**{_NTH: rows.groupby(on[:-1], dropna=False).cumcount()})
