"""A sample of rows is the same each time, and as large as it may be."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops_provider.backends.tables.sample import Sample
from airflow_mlops_provider.exceptions import SourceDataError


def sampled(rows: int, part: int, most: int) -> list[int]:
    """Return which of some rows are taken, when they come in parts."""
    sample, table = Sample(most), pa.table({"row": np.arange(rows)})
    for begin in range(0, rows, part):
        sample.add(table.slice(begin, part), "rows")
    assert sample.seen == rows
    return sample.table("rows")["row"].to_pylist()


def test_few_rows_are_all_taken() -> None:
    """Nothing is left out below the limit."""
    assert sampled(100, 7, 100) == [*range(100)]


@pytest.mark.parametrize("part", [1, 13, 1000, 5000])
def test_how_rows_come_makes_no_difference(part: int) -> None:
    """Exactly so many are taken as may be, the same ones, in their order, from everywhere."""
    taken = sampled(5000, part, 300)
    assert taken == sampled(5000, 250, 300) and taken == sorted(taken) and len(taken) == 300
    assert np.histogram(taken, 5, (0, 5000))[0].min() > 40


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"a": [1]}, "b.csv has no column 'b', which a.csv has"),
        ({"a": [1], "b": ["x"], "c": [1]}, "b.csv has a column 'c', which a.csv has not"),
        ({"a": ["x"], "b": ["x"]}, "b.csv: column 'a' holds string, and int64 in a.csv"),
    ],
)
def test_files_of_another_kind_are_refused(columns: dict[str, list[object]], error: str) -> None:
    """File and column are named."""
    sample = Sample()
    sample.add(pa.table({"a": [1], "b": ["x"]}), "a.csv")
    with pytest.raises(SourceDataError, match=error):
        sample.add(pa.table(columns), "b.csv")


def test_whole_and_broken_numbers_are_one_column() -> None:
    """A column that has no value in some part, or whole numbers only, is the same column."""
    sample = Sample()
    for values in ([1, 2], [1.5], [None]):
        sample.add(pa.table({"a": values}), "x")
    assert sample.table("x")["a"].to_pylist() == [1.0, 2.0, 1.5, None]
