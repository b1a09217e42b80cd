"""Columns of rows that a Feast repository is given and gives back, of the types that it declares."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from airflow_mlops_provider.exceptions import SourceDataError

_UTC = pa.timestamp("us", tz="UTC")


def in_utc(rows: pa.Table, name: str) -> pa.Array:
    """Return a column of times, dates, or text in ISO 8601 as moments in UTC; what has no zone is UTC.

    :raises SourceDataError: for a column that is none.
    """
    column = rows.column(name)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not (is_text or pa.types.is_temporal(column.type) or pa.types.is_null(column.type)):
        raise SourceDataError(f"{name!r} is {column.type}; give a time, a date, or text in ISO 8601")
    try:
        moments = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601" if is_text else None)
        return pa.Array.from_pandas(moments).cast(_UTC, safe=False)
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise SourceDataError(f"{name!r} has a value that is no time: {error}") from None


def cast(rows: pa.Table, name: str, kind: pa.DataType | None) -> pa.ChunkedArray:
    """Return a column as a declared type; a map may be given as a struct, which Feast takes as well.

    :raises SourceDataError: if it has a value that does not fit.
    """
    column = rows.column(name)
    try:
        return column if kind is None else column.cast(kind)
    except pa.ArrowException as error:
        if pa.types.is_nested(kind):
            return column
        raise SourceDataError(f"{name!r} is {column.type} and can't be read as {kind}: {error}") from None


def declared(column: pa.ChunkedArray, kind: pa.DataType | None) -> pa.ChunkedArray:
    """Return a feature as it is declared: whole numbers with gaps come back as floats, nothing but gaps as anything."""
    try:
        return column if kind is None else column.cast(kind)
    except pa.ArrowException:
        return column  # a map, which comes as text or as a struct


def arrow_type(kind: Any) -> pa.DataType | None:
    """Return the Arrow type of a Feast type; None where it has none."""
    from feast.types import from_feast_to_pyarrow_type

    try:
        return from_feast_to_pyarrow_type(kind)
    except ValueError:
        return None
