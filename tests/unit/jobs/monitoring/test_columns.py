"""Columns of any type are compared as what they are, or it is said why they are not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops_provider.jobs.monitoring.columns import as_frame, paired

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANY = [f"N{number}" for number in range(30)]


def table(**columns: Any) -> pa.Table:
    """Return a table."""
    return pa.table(columns)


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        ([1, None], [1.5, 2.0], "numbers"),
        ([Decimal("1.5")], [1], "numbers"),
        ([timedelta(1)], [timedelta(2)], "numbers"),
        ([True, None], [False, True], "truth values"),
        (["a", "b"], ["c", None], "text"),
        (pa.array(["a", "b"]).dictionary_encode(), pa.array(["a"], pa.large_string()), "text"),
        ([None, None], ["a", "b"], "text"),
        ([1, 2], [None, None], "numbers"),
    ],
)
def test_what_is_compared(before: Any, now: Any, kind: str) -> None:
    """By its type; a side without any value is of any."""
    pair = paired(table(x=before), table(x=now))
    assert (pair.kinds, pair.left_out) == ({"x": kind}, {})
    assert [len(as_frame(table(x=side), pair.kinds)) for side in (before, now)] == [len(before), len(now)]


@pytest.mark.parametrize(
    ("before", "now", "why"),
    [
        ([None], [None], "no value in either table"),
        ([float("nan")], [None], "no value in either table"),
        ([], [], "no value in either table"),
        (["1"], [1], "text in the reference table, numbers in the current one"),
        ([True], [1], "truth values in the reference table, numbers in the current one"),
        ([[1]], [[2]], "list<item: int64>: values of a kind that has no distance"),
        ([b"a"], [b"b"], "binary: values of a kind that has no distance"),
        ([NOW], [NOW], "times, which move by themselves; name the column"),
        ([date(2026, 1, 1)], [NOW], "times, which move by themselves"),
        (MANY, ["N1"], "text of 30 different values; name the column"),
        ([*map(str, range(201))] * 3, ["1"], "text of 201 different values"),
    ],
)
def test_what_is_not_compared(before: Any, now: Any, why: str) -> None:
    """Each with its reason."""
    pair = paired(table(x=before), table(x=now))
    assert pair.kinds == {}
    assert pair.left_out["x"].startswith(why)


def test_columns_of_one_table() -> None:
    """They are named with the table that has them; the order is the reference's."""
    pair = paired(table(label=[1], b=[1], a=[1]), table(a=[1], b=[1], new=[1]))
    assert [*pair.kinds] == ["b", "a"]
    assert pair.left_out == {"label": "only in the reference table", "new": "only in the current table"}


def test_what_is_named_is_compared() -> None:
    """Times of any unit and zone in seconds, text of many values as a category; what has no distance is not."""
    columns = {"at": pa.array([NOW], pa.timestamp("ms", tz="Europe/Berlin")), "key": pa.array(["a"]), "l": [[1]]}
    other = table(at=pa.array([NOW + timedelta(days=1)], pa.timestamp("ns")), key=["b"], l=[[1]])
    pair = paired(table(**columns), other, ("at", "key", "l"))
    assert pair.kinds == {"at": "times", "key": "text"}
    seconds = [as_frame(side, pair.kinds)["at"][0] for side in (table(**columns), other)]
    assert seconds == [NOW.timestamp(), NOW.timestamp() + 86400]
    assert paired(table(key=MANY), table(key=MANY), ("key",)).kinds == {"key": "text"}


def test_missing_values_stay_missing() -> None:
    """Also where they make other types of pandas of a column."""
    given = table(n=[1, None], b=[True, None], t=["a", None])
    frame = as_frame(given, paired(given, given).kinds)
    assert frame.isna().sum().to_dict() == {"n": 1, "b": 1, "t": 1}
    assert frame.iloc[0].to_dict() == {"n": 1.0, "b": True, "t": "a"}
