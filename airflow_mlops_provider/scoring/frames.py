"""Frames whose types depend on the product's declaration alone, wherever they came from: JSON, Parquet, a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.product import DataType, MLProduct
from airflow_mlops_provider.lifecycle.source import EVENT_TIME


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
    made = frame[list(types)]  # a copy
    # What has its type already is left alone: cast by cast, a single row would cost milliseconds.
    there = zip(types.items(), made.dtypes, strict=True)
    cast = {name: _column(made[name], kind) for (name, kind), dtype in there if not _fits(made, name, kind, dtype)}
    return made.assign(**cast) if cast else made


def model_frame(product: MLProduct, frame: pd.DataFrame) -> pd.DataFrame:
    """Return what ``assemble`` is given: request columns, ``event_time``, features; nothing else (a label, say).

    Any stored feature may be missing, so numbers and booleans among them are float64.
    """
    return conform(frame, {**request_types(product), **feature_types(product)})


def request_types(product: MLProduct) -> dict[str, DataType]:
    """Return the columns of a row to predict, and their types."""
    return {**product.request, EVENT_TIME: "timestamp"}


def feature_types(product: MLProduct) -> dict[str, DataType]:
    """Return the stored features in the order of the views, and their types as they reach the model."""
    numbers: dict[DataType, DataType] = {"int64": "float64", "bool": "float64"}
    return {name: numbers.get(kind, kind) for view in product.views for name, kind in view.features.items()}


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
    plain = values.to_numpy(dtype=object, copy=True)
    plain[pd.isna(plain)] = None
    return pd.Series(plain, index=values.index, name=values.name, dtype=object)
