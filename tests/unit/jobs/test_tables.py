"""A dataset's one table is taken without its name; a decimal is a number."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.jobs.tables import read_plain, table_file


def folder_of(folder: Path, *names: str) -> Path:
    """Return a folder with some tables."""
    for name in names:
        pq.write_table(pa.table({"a": [1]}), folder / f"{name}.parquet")
    return folder


@pytest.mark.parametrize(
    ("names", "name", "taken"),
    [(("trips",), None, "trips"), (("table", "other"), None, "table"), (("trips", "other"), "other", "other")],
)
def test_the_table_that_is_meant(tmp_path: Path, names: tuple[str, ...], name: str | None, taken: str) -> None:
    """The one named, else the only one, else that which files and queries give."""
    assert table_file(folder_of(tmp_path, *names), name).stem == taken


def test_what_is_not_there_or_not_said(tmp_path: Path) -> None:
    """Unknown names list the known ones."""
    with pytest.raises(UnknownNameError, match="unknown table 'table'; known: none"):
        table_file(tmp_path)
    folder_of(tmp_path, "trips", "drivers")
    with pytest.raises(UnknownNameError, match="unknown table 'trip'; known: drivers, trips"):
        table_file(tmp_path, "trip")
    with pytest.raises(ConfigurationError, match=r"2 tables: drivers, trips; give table=, one of them"):
        table_file(tmp_path)


def test_decimals_are_numbers(tmp_path: Path) -> None:
    """Missing ones too; all else is as it was written."""
    amounts = pa.array([Decimal("1.50"), None], pa.decimal128(10, 2))
    pq.write_table(pa.table({"amount": amounts, "n": [1, 2]}), tmp_path / "table.parquet")
    table = read_plain(tmp_path / "table.parquet")
    assert table.to_pydict() == {"amount": [1.5, None], "n": [1, 2]}
    assert table.schema.types == [pa.float64(), pa.int64()]
