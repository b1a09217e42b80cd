"""What a declared type is in a file, a frame, Feast and JSON; and tables whose values are held to their types."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import infer_dtype
from pydantic import AwareDatetime, Field

from airflow_mlops_provider.backends.models.inputs import EXACT
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.source import DataType

MAX_TEXT = 1_000


class ColumnType(NamedTuple):
    """What a declared type is elsewhere.

    :param frame: the dtype in a frame of rows to predict, where strings are objects with None.
    :param feast: its name among Feast's value types.
    :param json: what a caller's value must be, as pydantic takes it. Only int64 and bool can't be missing.
    """

    arrow: pa.DataType
    frame: Any
    feast: str
    json: Any


_UTC, _UTC_FRAME = pa.timestamp("ns", tz="UTC"), pd.DatetimeTZDtype("ns", "UTC")
_TEXT = Annotated[str, Field(max_length=MAX_TEXT)] | None
_INTEGER = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_FLOAT = Annotated[float, Field(allow_inf_nan=False)] | None
COLUMN_TYPES: Mapping[DataType, ColumnType] = {
    "string": ColumnType(pa.string(), np.dtype(object), "STRING", _TEXT),
    "int64": ColumnType(pa.int64(), np.dtype("int64"), "INT64", _INTEGER),
    "float64": ColumnType(pa.float64(), np.dtype("float64"), "DOUBLE", _FLOAT),
    "bool": ColumnType(pa.bool_(), np.dtype("bool"), "BOOL", bool),
    "timestamp": ColumnType(_UTC, _UTC_FRAME, "UNIX_TIMESTAMP", AwareDatetime | None),
}
_NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")


def frame_schema(columns: Mapping[str, DataType]) -> pa.Schema:
    """Return the columns' types in a file that pandas reads so that a missing value makes no type another."""
    kinds = {"string": pd.StringDtype(), "int64": pd.Int64Dtype(), "bool": pd.BooleanDtype()}
    empty = {name: pd.Series(dtype=kinds.get(kind, COLUMN_TYPES[kind].frame)) for name, kind in columns.items()}
    return pa.Schema.from_pandas(pd.DataFrame(empty), preserve_index=False)


class _UnfitError(Exception):
    """Some rows do not fit; the message says why."""

    def __init__(self, rows: Any, why: str) -> None:
        super().__init__(why)
        self.rows = np.asarray(rows, dtype=bool)


def typed_table(
    frame: pd.DataFrame,
    types: Mapping[str, DataType],
    where: str,
    by: Collection[str],
    needed: Collection[str] = (),
    exact: Collection[str] = (),
) -> pa.Table:
    """Return the declared columns in their types, whatever types their values had; a column without any has it too.

    Text is text, never a number written out; a whole number or a truth value may be written as any number that is one.

    :param where: what messages call the table.
    :param by: the columns by which they name a row.
    :param needed: columns in which no value may be missing.
    :param exact: whole numbers that become float64 later, and must fit there.
    :raises SourceDataError: for a value that does not fit, with column, row, value and what is allowed.
    """
    arrays = {}
    for name, kind in types.items():
        values = frame[name].reset_index(drop=True)
        try:
            arrays[name] = _array(values, kind, EXACT if name in exact else 2**63 - 1)
            if name in needed:
                _refuse(values.isna(), "is missing; leave such rows out, or fill them")
        except _UnfitError as unfit:
            raise SourceDataError(f"{where}: {_place(frame, name, kind, unfit, by)}") from None
        except (TypeError, ValueError, OverflowError, pa.ArrowException) as error:
            raise SourceDataError(f"{where}: column {name!r} is not {kind}: {str(error)[:200]}") from None
    return pa.table(arrays)


def _array(values: pd.Series, kind: DataType, limit: int) -> pa.Array:
    if values.isna().all():
        return pa.nulls(len(values), COLUMN_TYPES[kind].arrow)
    if values.dtype.name == "category":
        values = values.astype(object)
    fitted = _whole(values, limit) if kind == "int64" else _CASTS[kind](values)
    return pa.array(fitted, type=COLUMN_TYPES[kind].arrow, from_pandas=True)


def _place(frame: pd.DataFrame, name: str, kind: DataType, unfit: _UnfitError, by: Collection[str]) -> str:
    at, count = int(np.argmax(unfit.rows)), int(unfit.rows.sum())
    row = ", ".join(f"{key}={frame[key].iloc[at]}" for key in by if key in frame.columns)
    more = f" (and {count - 1} more rows)" if count > 1 else ""
    value = frame[name].iloc[at]
    value = value.item() if isinstance(value, np.generic) else value
    return f"column {name!r} is declared {kind}, but {value!r:.80} in row {row}{more} {unfit}"


def _refuse(rows: Any, why: str) -> None:
    if np.asarray(rows, dtype=bool).any():
        raise _UnfitError(rows, why)


def _each(values: pd.Series, holds: Callable[[Any], bool]) -> Any:
    """Return, for each row, whether it has a value of which something does not hold."""
    return np.array([not missing and not holds(value) for value, missing in zip(values, values.isna(), strict=True)])


def _text(values: pd.Series) -> pd.Series:
    if infer_dtype(values, skipna=True) != "string":
        _refuse(_each(values, lambda value: isinstance(value, str)), "is no text")
    return values.astype(object).where(values.notna(), None)


def _floats(values: pd.Series) -> pd.Series:
    """Return numbers as float64, NaN where there is none; they may be less exact than those given."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iufb":
        return values.astype("float64")
    if infer_dtype(values, skipna=True) not in _NUMBERS:
        _refuse(_each(values, lambda value: isinstance(value, numbers.Number)), "is no number")
    return values.astype(object).where(values.notna(), np.nan).astype("float64")


def _real(values: pd.Series) -> pd.Series:
    floats = _floats(values)
    _refuse(np.isinf(floats), "is infinite; leave it missing, or say what it stands for")
    if infer_dtype(values, skipna=True) == "integer":
        _within(values, EXACT)
    return floats


def _whole(values: pd.Series, limit: int) -> pd.Series:
    floats = _floats(values)
    _refuse(floats.notna() & (floats % 1 != 0), "is no whole number")
    _within(values, limit)
    if values.dtype == object:
        values = pd.Series(
            [pd.NA if missing else int(value) for value, missing in zip(values, values.isna(), strict=True)]
        )
    return values.astype("Int64")


def _within(values: pd.Series, limit: int) -> None:
    """Refuse whole numbers that are not kept exactly: beyond int64, or where float64 leaves the first ones out."""
    there = values[values.notna()]
    rows = np.zeros(len(values), dtype=bool)
    rows[values.notna()] = np.asarray((there > limit) | (there < -limit), dtype=bool)
    _refuse(rows, f"is beyond {limit}, up to which it is kept exactly; declare it string if it names something")


def _truth(values: pd.Series) -> pd.Series:
    floats = _floats(values)
    _refuse(floats.notna() & ~floats.isin((0.0, 1.0)), "is neither true nor false")
    return floats.astype("boolean")


def _moment(values: pd.Series) -> pd.Series:
    if values.dtype.kind != "M":
        _refuse(_each(values, lambda value: isinstance(value, datetime)), "is no moment")
        _refuse(_each(values, lambda value: value.tzinfo is not None), "has no time zone")
        _refuse(_each(values, lambda value: 1678 <= value.year <= 2261), "is outside the years 1678 to 2261")
        return pd.to_datetime(values, utc=True).astype(_UTC_FRAME)
    if values.dt.tz is None:
        _refuse(values.notna(), "has no time zone")
    _refuse(values.notna() & ~values.dt.year.between(1678, 2261), "is outside the years 1678 to 2261")
    return values.dt.tz_convert("UTC").astype(_UTC_FRAME)


_CASTS: Mapping[DataType, Callable[[pd.Series], pd.Series]] = {
    "string": _text,
    "float64": _real,
    "bool": _truth,
    "timestamp": _moment,
}
