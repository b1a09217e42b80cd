"""Columns without a frame: what they hold, what is made of them, and what an assemble of columns may return."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.models.columns import Category, Columns, assembled_columns
from airflow_mlops_provider.backends.models.inputs import matrix, take
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError

FRAME = pd.DataFrame(
    {
        "number": [1.5, np.nan, -0.0],
        "whole": [1, 2, 3],
        "truth": [True, False, True],
        "text": np.array(["a", None, "c"], dtype=object),
        "kind": pd.Categorical(["b", None, "a"], categories=["a", "b"]),
        "at": pd.to_datetime(["2013-07-01T12:00:00.000000001Z", None, "1900-01-01T00:00:00Z"], format="ISO8601").astype(
            "datetime64[ns, UTC]"
        ),
    }
)


def test_a_frame_comes_back_as_it_was() -> None:
    """Values, types and what is missing; also some of the rows."""
    columns = Columns.of(FRAME)
    pd.testing.assert_frame_equal(columns.frame(), FRAME)
    pd.testing.assert_frame_equal(columns.at([2, 0]).frame(), FRAME.iloc[[2, 0]].reset_index(drop=True))
    assert columns.rows == 3
    assert columns.missing(["number", "text", "kind", "unknown"]) == pytest.approx(1 / 3)
    assert Columns().missing(["number"]) == 0


def test_rows_are_plain_values() -> None:
    """As the prediction log writes them."""
    rows = msgspec.to_builtins(Columns.of(FRAME).plain(), builtin_types=(datetime,))
    assert rows[0] == {
        "number": 1.5, "whole": 1, "truth": True, "text": "a", "kind": "b", "at": datetime(2013, 7, 1, 12, tzinfo=UTC),
    }  # fmt: skip
    assert [rows[1][name] for name in ("text", "kind", "at")] == [None, None, None]


def test_a_key_is_looked_up_as_what_it_is() -> None:
    """A moment is one, not a number of nanoseconds, which a feature store would take for seconds."""
    assert Columns.of(FRAME).values_of("at") == [
        datetime(2013, 7, 1, 12, tzinfo=UTC),
        None,
        datetime(1900, 1, 1, tzinfo=UTC),
    ]
    assert Columns.of(FRAME).values_of("whole") == [1, 2, 3]


def test_whoever_changes_a_copy_changes_nothing_else() -> None:
    """A candidate's code gets inputs of its own."""
    columns = Columns.of(FRAME[["number", "kind"]])
    copy = columns.copied()
    copy["number"][:] = 0
    copy["kind"].codes[:] = 0
    assert columns["number"][0] == 1.5
    assert columns["kind"].codes[1] == -1


INPUTS = [
    {"name": "whole", "categories": None},
    {"name": "kind", "categories": ["a", "b"]},
    {"name": "text", "categories": ["c", "a"]},
    {"name": "truth", "categories": None},
]


@pytest.mark.parametrize("frame", [FRAME, FRAME.iloc[1:2], FRAME.iloc[:0]])
def test_a_model_takes_the_same_of_both(frame: pd.DataFrame) -> None:
    """Numbers as float64, categories by their place, whatever they came as."""
    other = frame.assign(kind=frame["kind"].cat.set_categories(["z", "b", "a"]))
    for given in (frame, other):
        np.testing.assert_array_equal(matrix(INPUTS, Columns.of(given)), matrix(INPUTS, frame))
    for name, values in take(INPUTS, Columns.of(frame)).items():
        np.testing.assert_array_equal(values, take(INPUTS, frame)[name])


@pytest.mark.parametrize(
    ("name", "values", "categories"),
    [
        ("kind", Category.of(["a"], ("a",)), None),
        ("text", np.array(["a"], dtype=object), None),
        ("whole", np.array([1]), ["a", "b"]),
    ],
)
def test_what_a_model_cannot_take_is_named(name: str, values: Any, categories: Any) -> None:
    """As of a frame: the column is named, and what it holds."""
    with pytest.raises(SourceDataError, match=f"column '{name}'"):
        take([{"name": name, "categories": categories}], Columns({name: values}))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (3, "returned int; it must return arrays by name"),
        ({1: np.zeros(2)}, "returned a column named 1"),
        ({"a": [1, 2]}, "returned 'a' as list"),
        ({"a": np.zeros((2, 2))}, "returned 'a' as ndarray"),
        ({"a": np.zeros(3)}, "returned 3 values of 'a' for 2 rows"),
    ],
)
def test_an_assemble_returns_a_value_for_each_row(made: Any, message: str) -> None:
    """Anything else is said at once."""
    with pytest.raises(ConfigurationError, match=message):
        assembled_columns(lambda _: made, Columns({"x": np.zeros(2)}), "shop:assemble")
