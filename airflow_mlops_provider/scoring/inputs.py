"""What a row to predict is made of, and the one way from it to model inputs: for training, batch and REST alike.

Types depend on the declared ones alone, wherever the rows came from: JSON, Parquet, a store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from airflow_mlops_provider.backends.models.columns import Columns, assembled_columns, is_by_columns
from airflow_mlops_provider.backends.models.inputs import assembled
from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.frozen import only_known
from airflow_mlops_provider.lifecycle.shape import Scoring, Target
from airflow_mlops_provider.lifecycle.source import DataType
from airflow_mlops_provider.problems.base import Problem, Truth
from airflow_mlops_provider.runtime.code import load

_NULLABLE: dict[DataType, DataType] = {"int64": "float64", "bool": "float64"}


def model_inputs(scoring: Scoring | Target, rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the model gets for some rows: the output of ``assemble`` on request columns, time and features.

    Other columns are left out: neither a label nor a column that is known only later can slip in with the rows. Of a
    table as it is, it gets all but the truth and what was said to be left out, text as categories.

    :raises SourceDataError: if a declared column is missing, or not of its type.
    :raises ConfigurationError: if ``assemble`` returns anything but a row of inputs for each row.
    """
    if isinstance(scoring, Target):
        return _as_they_are(scoring, rows)
    frame, assemble = conform(rows, {**scoring.row_columns, **stored_types(scoring)}), load(scoring.assemble)
    if is_by_columns(assemble):
        return assembled_columns(assemble, Columns.of(frame), scoring.assemble).frame(rows.index)
    return assembled(assemble(frame), rows.index, scoring.assemble)


def column_inputs(scoring: Scoring, columns: Columns) -> Columns:
    """Return the same inputs of rows that come as columns of their types: for a server, whose rows are few.

    :param columns: request columns, time and features, in the order in which :func:`model_inputs` has them.
    """
    assemble = load(scoring.assemble)
    if is_by_columns(assemble):
        return assembled_columns(assemble, columns, scoring.assemble)
    frame = columns.frame()
    return Columns.of(assembled(assemble(frame), frame.index, scoring.assemble))


def stored_types(scoring: Scoring) -> dict[str, DataType]:
    """Return the types of stored features: any may be missing, so whole numbers and booleans are float64."""
    return {name: _NULLABLE.get(kind, kind) for name, kind in scoring.feature_types.items()}


def conform_columns(columns: Mapping[str, np.ndarray], types: Mapping[str, DataType]) -> Columns:
    """Return what :func:`conform` does of arrays; those that have their type already are left alone."""
    if missing := sorted(set(types) - set(columns)):
        raise SourceDataError(f"no column {', '.join(map(repr, missing))}; there are: {', '.join(columns)}")
    return Columns({name: _conformed(name, columns[name], kind) for name, kind in types.items()})


def _conformed(name: str, values: np.ndarray, kind: DataType) -> np.ndarray:
    if values.dtype == ("datetime64[ns]" if kind == "timestamp" else COLUMN_TYPES[kind].frame) and kind != "string":
        return values
    return Columns.of(_column(pd.Series(values, name=name), kind).to_frame(name))[name]  # type: ignore[no-any-return]


def truths(scoring: Scoring | Target, rows: pd.DataFrame) -> pd.Series:
    """Return the truth of some rows. :raises SourceDataError: if they have no such column."""
    column = scoring.column if isinstance(scoring, Target) else scoring.label.column
    if column not in rows.columns:
        raise SourceDataError(f"no column {column!r}, the truth; there are: {', '.join(map(str, rows.columns))}")
    return rows[column]


def truth_of(
    scoring: Scoring | Target, problem: Problem, rows: pd.DataFrame, learned: pd.DataFrame | None = None
) -> Truth:
    """Return what predictions for some rows are held against. Errors as for :func:`truths`.

    :param learned: the rows that models learned from.
    """
    return problem.truth(rows, str(truths(scoring, rows).name), weight_of(scoring), learned)


def weight_of(scoring: Scoring | Target) -> str | None:
    """Return the column that says how much a row counts; None if all count the same."""
    return scoring.weight if isinstance(scoring, Target) else scoring.label.weight


def for_trainer(scoring: Scoring | Target, problem: Problem, rows: pd.DataFrame) -> dict[str, Any]:
    """Return what a trainer is given beside inputs and labels, if it has parameters of these names.

    ``weight`` and ``group``, a Series each, None where nothing is declared. Weights are declared by the label, and by a
    problem that balances its classes.
    """
    weight = weight_of(scoring)
    return {
        "weight": problem.training_weights(truths(scoring, rows), None if weight is None else rows[weight]),
        "group": None if problem.group is None else rows[problem.group],
    }


def _as_they_are(target: Target, rows: pd.DataFrame) -> pd.DataFrame:
    only_known("column to leave out", target.leave_out, map(str, rows.columns))
    inputs = rows.drop(columns=[target.column, *filter(None, [target.weight]), *target.leave_out], errors="ignore")
    kinds = inputs.dtypes
    text = {name: "category" for name, kind in kinds.items() if kind.kind == "O" or kind.name.startswith("str")}
    return inputs.astype(text | {name: "float64" for name, kind in kinds.items() if kind.kind == "b"})


def conform(frame: pd.DataFrame, types: Mapping[str, DataType]) -> pd.DataFrame:
    """Return the declared columns, in their order, with their types.

    Strings are objects with None, timestamps UTC nanoseconds with NaT, float64 has NaN. Where int64 or bool has a gap
    the column is refused: turned into floats, a row's inputs would depend on the rows beside it.

    :raises SourceDataError: for a missing column, or values that are not of its type.
    """
    if missing := sorted(set(types) - set(frame.columns)):
        raise SourceDataError(
            f"no column {', '.join(map(repr, missing))}; there are: {', '.join(map(str, frame.columns))}"
        )
    selected = frame[list(types)]  # a copy
    # Columns that have their type already are left alone: cast by cast, a single row would cost milliseconds.
    columns = zip(types.items(), selected.dtypes, strict=True)
    cast = {
        name: _column(selected[name], kind) for (name, kind), dtype in columns if not _fits(selected, name, kind, dtype)
    }
    return selected.assign(**cast) if cast else selected


def _fits(frame: pd.DataFrame, name: str, kind: DataType, dtype: Any) -> bool:
    if kind != "string" or dtype.kind != "O":
        return bool(dtype == COLUMN_TYPES[kind].frame)
    values = frame[name].to_numpy()
    return all(value is None for value in values[pd.isna(values)])


def _column(values: pd.Series, kind: DataType) -> pd.Series:
    try:
        return _cast(values, kind)
    except (TypeError, ValueError, OverflowError) as error:
        raise SourceDataError(f"column {values.name!r} is not {kind}: {str(error)[:200]}") from None


def _cast(values: pd.Series, kind: DataType) -> pd.Series:
    if kind == "timestamp":
        return pd.to_datetime(values, utc=True).astype(COLUMN_TYPES[kind].frame)
    if kind == "string":
        return values.astype(object).where(values.notna(), None)
    if kind == "float64":
        return values.astype("float64")
    if values.isna().any():
        raise ValueError("it has gaps; fill them, or declare the column float64")
    exact = values.astype(kind)
    if not (exact == values).all():
        raise ValueError("it holds other values")
    return exact
