"""Frames whose types depend on the declared ones alone, wherever the rows came from: JSON, Parquet, a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.source import DataType


def conform(frame: pd.DataFrame, types: Mapping[str, DataType]) -> pd.DataFrame:
    """Return the declared columns, in their order, with their types.

    Strings are objects with None, timestamps UTC nanoseconds with NaT, float64 has NaN. Where int64 or bool has a gap
    the column is refused: turned into floats, a row's inputs would depend on the rows beside it.

    :raises SourceDataError: for a missing column, or values that are not of its type.
    """
    missing = sorted(set(types) - set(frame.columns))
    if missing:
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
        return _strings(values)
    if kind == "float64":
        return values.astype("float64")
    if values.isna().any():
        raise ValueError("it has gaps; fill them, or declare the column float64")
    exact = values.astype(kind)
    if not (exact == values).all():
        raise ValueError("it holds other values")
    return exact


def _strings(values: pd.Series) -> pd.Series:
    texts = values.to_numpy(dtype=object, copy=True)
    texts[pd.isna(texts)] = None
    return pd.Series(texts, index=values.index, name=values.name, dtype=object)
