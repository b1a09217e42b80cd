"""Declared types where a table is written: what fits keeps its value and gets its type, what does not is named."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES, typed_table
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.sections import DataType

SHOPS = ["north", "south", "east"]
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
LATER = datetime(9999, 12, 31, tzinfo=UTC)


def table(values: Any, kind: DataType, **more: Any) -> pa.Table:
    frame = pd.DataFrame({"shop": SHOPS, "value": pd.Series(values, index=range(3))}).set_axis([7, 8, 9])
    return typed_table(frame, {"shop": "string", "value": kind}, "view 'takings'", ["shop"], **more)


FITS: list[tuple[DataType, Any, list[Any]]] = [
    ("string", ["a", None, "ü 😀"], ["a", None, "ü 😀"]),
    ("string", pd.Categorical(["a", None, "b"]), ["a", None, "b"]),
    ("string", pd.array(["a", None, ""], dtype="string"), ["a", None, ""]),
    ("int64", [1.0, np.nan, 3.0], [1, None, 3]),
    ("int64", np.array([1, 2, 3], dtype="uint8"), [1, 2, 3]),
    ("int64", pd.array([1, None, 2**53], dtype="Int64"), [1, None, 2**53]),
    ("int64", [2**62, None, -(2**62)], [2**62, None, -(2**62)]),
    ("int64", [Decimal(4), True, None], [4, 1, None]),
    ("float64", [1, 2, 3], [1.0, 2.0, 3.0]),
    ("float64", [Decimal("0.5"), None, 2], [0.5, None, 2.0]),
    ("float64", pd.array([0.5, None, 1.5], dtype="Float64"), [0.5, None, 1.5]),
    ("float64", np.array([0.5, 1, np.nan], dtype="float32"), [0.5, 1.0, None]),
    ("float64", pd.array([True, None, False], dtype="boolean"), [1.0, None, 0.0]),
    ("bool", [0, 1, 1], [False, True, True]),
    ("bool", [True, None, False], [True, None, False]),
    ("bool", [0.0, np.nan, 1.0], [False, None, True]),
    ("timestamp", [NOON, None, pd.Timestamp("2024-01-01T13:00", tz="Europe/Berlin")], [NOON, None, NOON]),
    ("timestamp", pd.DatetimeIndex([NOON, NOON, NOON]).as_unit("s"), [NOON] * 3),
]


@pytest.mark.parametrize(("kind", "values", "expected"), FITS)
def test_what_fits_gets_its_type(kind: DataType, values: Any, expected: list[Any]) -> None:
    """The column's type is the declared one, whatever pandas made of its values, and no value changes."""
    found = table(values, kind)
    assert found.column("value").to_pylist() == expected
    assert found.schema.field("value").type == table([None] * 3, kind).schema.field("value").type


@pytest.mark.parametrize("kind", ["string", "int64", "float64", "bool", "timestamp"])
@pytest.mark.parametrize("nothing", [None, np.nan, pd.NaT, pd.NA])
def test_a_column_without_values_has_its_type(kind: DataType, nothing: Any) -> None:
    """However nothing is written, it is nothing of the declared type."""
    found = table([nothing] * 3, kind).schema.field("value").type
    wanted = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
    assert found == wanted.get(kind, pa.timestamp("ns", tz="UTC"))
    assert typed_table(pd.DataFrame({"value": []}), {"value": kind}, "view", []).schema.field("value").type == found


MISFITS: list[tuple[DataType, Any, str]] = [
    ("string", ["a", 5, 6], "but 5 in row shop=south (and 1 more rows) is no text"),
    ("string", ["a", b"b", "c"], "but b'b' in row shop=south is no text"),
    ("string", [1.5, np.nan, np.nan], "but 1.5 in row shop=north is no text"),
    ("int64", [1.0, 2.5, 3.0], "but 2.5 in row shop=south is no whole number"),
    ("int64", [1.0, np.inf, 3.0], "is no whole number"),
    ("int64", ["1", "2", "3"], "but '1' in row shop=north (and 2 more rows) is no number"),
    ("int64", np.array([1, 2, 2**63 + 5], dtype="uint64"), "but 9223372036854775813 in row shop=east is beyond"),
    ("int64", [1, 2**70, None], "but 1180591620717411303424 in row shop=south is beyond 9223372036854775807"),
    ("float64", ["1.5", 2.0, 3.0], "but '1.5' in row shop=north is no number"),
    ("float64", [1.0, -np.inf, 3.0], "but -inf in row shop=south is infinite"),
    ("float64", [1, 2**53 + 1, 3], "but 9007199254740993 in row shop=south is beyond 9007199254740992"),
    ("float64", pd.date_range("2024-01-01", periods=3, tz="UTC"), "is no number"),
    ("bool", [0, 1, 2], "but 2 in row shop=east is neither true nor false"),
    ("bool", ["true", "false", None], "but 'true' in row shop=north (and 1 more rows) is no number"),
    ("timestamp", pd.date_range("2024-01-01", periods=3), "has no time zone"),
    ("timestamp", [NOON, NOON.replace(tzinfo=None), None], "in row shop=south has no time zone"),
    (
        "timestamp",
        [NOON, LATER, None],
        "9999, 12, 31, 0, 0, tzinfo=datetime.timezone.utc) in row shop=south is outside",
    ),
    ("timestamp", pd.Series(np.array(["9999-12-31"] * 3, dtype="datetime64[s]")).dt.tz_localize("UTC"), "is outside"),
    ("timestamp", ["2024-01-01T00:00:00Z", None, None], "but '2024-01-01T00:00:00Z' in row shop=north is no moment"),
    ("timestamp", [1704067200, 1704067200, 1704067200], "is no moment"),
]


@pytest.mark.parametrize(("kind", "values", "said"), MISFITS)
def test_what_does_not_fit_is_named(kind: DataType, values: Any, said: str) -> None:
    """A value of another type is named with table, column, row and what is wrong with it; no retry helps."""
    with pytest.raises(SourceDataError) as raised:
        table(values, kind)
    assert str(raised.value).startswith(f"view 'takings': column 'value' is declared {kind}, but ")
    assert said in str(raised.value)
    assert not raised.value.retryable


def test_numbers_that_a_model_would_round_are_refused() -> None:
    """A feature that becomes float64 later may not be greater than that holds; a key may."""
    odd = [1, 2**53 + 1, -3]
    assert table(odd, "int64").column("value").to_pylist() == odd
    with pytest.raises(SourceDataError, match=r"9007199254740993 in row shop=south is beyond .* declare it string"):
        table(odd, "int64", exact=["value"])
    with pytest.raises(SourceDataError, match=r"-1e\+300 in row shop=east is beyond"):
        table([1.0, 2.0, -1e300], "int64", exact=["value"])


def test_needed_values_may_not_be_missing() -> None:
    """A key or a time that is not there is named by the rest of its row."""
    with pytest.raises(SourceDataError, match="but NaT in row shop=south is missing"):
        table([NOON, None, NOON], "timestamp", needed=["value"])
    with pytest.raises(SourceDataError, match=r"but None in row shop=north \(and 2 more rows\) is missing"):
        table([None, None, None], "string", needed=["value"])


def test_each_declared_type_is_known_everywhere() -> None:
    """A type that may be declared has its counterpart in files, frames, Feast and JSON."""
    assert set(COLUMN_TYPES) == set(get_args(DataType))
