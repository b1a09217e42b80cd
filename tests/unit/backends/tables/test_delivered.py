"""Delivered files of any format: what does not fit is refused by file, record, column and value; parts fit together."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from airflow_mlops_provider.backends.tables import csv_files, delivered
from airflow_mlops_provider.backends.tables.delivered import read
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.source import Csv, Source

COLUMNS: dict[str, Any] = {"shop": "string", "amount": "float64", "sold": "int64", "open": "bool", "at": "timestamp"}
AT = datetime(2024, 1, 1, 8, tzinfo=UTC)
ROW = {"shop": "north", "amount": 1.5, "sold": 3, "open": True, "at": AT}
DAY = Interval(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 2, tzinfo=UTC))


def source(**declared: Any) -> Source:
    """Return a source."""
    return Source(**{"name": "sales", "path": "sales", "columns": COLUMNS, **declared})


def table(file: Path, data: bytes, **declared: Any) -> pd.DataFrame:
    """Return what is read of a file."""
    file.write_bytes(data)
    parts = [*read(file, f"file:///landing/{file.name}", source(**declared))]
    return pa.concat_tables(parts).to_pandas() if parts else pd.DataFrame(columns=[*COLUMNS])


def parquet(file: Path, third: dict[str, Any], kinds: dict[str, pa.DataType] | None = None, **declared: Any) -> Any:
    """Return what is read of a Parquet file of three rows, the last of which has some values of its own."""
    rows = pa.Table.from_pylist([ROW, ROW, ROW | third])
    for name, kind in (kinds or {}).items():
        rows = rows.set_column(rows.column_names.index(name), name, rows.column(name).cast(kind))
    pq.write_table(rows, file)
    return table(file, file.read_bytes(), **declared)


def test_numbers_and_times_are_what_the_file_says(tmp_path: Path) -> None:
    """Whatever the width of its types: decimals, small integers, times of other zones and units, dictionaries."""
    small = {
        "amount": pa.decimal128(10, 3),
        "sold": pa.int8(),
        "at": pa.timestamp("s", "Asia/Tokyo"),
        "shop": pa.large_string(),
    }
    rows = parquet(tmp_path / "a.parquet", {"amount": 2.25}, small)
    assert rows["amount"].tolist() == [1.5, 1.5, 2.25]
    assert (rows["sold"].tolist(), rows["at"].tolist()) == ([3] * 3, [pd.Timestamp(AT)] * 3)
    whole = parquet(tmp_path / "b.parquet", {"sold": None}, {"sold": pa.float64()})
    assert whole["sold"].isna().tolist() == [False, False, True]
    unknown = parquet(tmp_path / "c.parquet", {"amount": float("nan"), "open": None, "shop": ""})
    assert unknown.iloc[2][["amount", "open"]].isna().all()
    assert unknown["shop"][2] == ""
    nothing = pa.Table.from_pylist([ROW]).set_column(1, "amount", pa.nulls(1))
    pq.write_table(nothing, tmp_path / "d.parquet")
    assert table(tmp_path / "d.parquet", (tmp_path / "d.parquet").read_bytes())["amount"].isna().all()


def test_values_that_do_not_fit(tmp_path: Path) -> None:
    """A value is named with its record, a column by its type."""
    cases: list[tuple[dict[str, Any], dict[str, pa.DataType], dict[str, Any], str]] = [
        ({"amount": float("-inf")}, {}, {}, "record 3, column 'amount': -inf is no float64"),
        ({}, {}, {"columns": {**COLUMNS, "amount": "int64"}}, "record 1, column 'amount': 1.5 is no int64"),
        ({}, {}, {"columns": {**COLUMNS, "sold": "string"}}, "column 'sold' holds int64, which is no string"),
        ({}, {}, {"columns": {**COLUMNS, "shop": "int64"}}, "record 1, column 'shop': 'north' is no int64"),
        ({}, {}, {"columns": {**COLUMNS, "at": "float64"}}, "column 'at' holds timestamp"),
        ({"sold": 2}, {}, {"columns": {**COLUMNS, "sold": "bool"}}, "record 1, column 'sold': 3 is no bool"),
        ({}, {}, {"columns": {**COLUMNS, "tax": "float64"}}, "has no column tax; it has shop, amount"),
        ({}, {"at": pa.timestamp("us")}, {}, "record 1, column 'at': 2024-01-01 08:00:00 is no timestamp; write ISO"),
    ]
    for number, (third, kinds, declared, said) in enumerate(cases):
        with pytest.raises(SourceDataError, match=re.escape(said)):
            parquet(tmp_path / f"{number}.parquet", third, kinds, **declared)


def test_times_without_a_zone_are_of_the_declared_one(tmp_path: Path) -> None:
    """Also days; an hour that a clock shows twice is refused."""
    berlin = {"time_zone": "Europe/Berlin"}
    local = parquet(tmp_path / "a.parquet", {}, {"at": pa.timestamp("us")}, **berlin)
    assert local["at"][0] == pd.Timestamp("2024-01-01T07:00Z")
    pq.write_table(pa.Table.from_pylist([ROW | {"at": date(2024, 1, 2)}]), tmp_path / "b.parquet")
    days = table(tmp_path / "b.parquet", (tmp_path / "b.parquet").read_bytes(), **berlin)
    assert days["at"][0] == pd.Timestamp("2024-01-01T23:00Z")
    with pytest.raises(SourceDataError, match="record 3, column 'at': 2024-10-27 02:30:00 is no timestamp"):
        parquet(
            tmp_path / "c.parquet",
            {"at": datetime(2024, 10, 27, 2, 30, tzinfo=UTC)},
            {"at": pa.timestamp("us")},
            **berlin,
        )


def lines(**third: Any) -> bytes:
    """Return JSON lines."""
    row = ROW | {"at": "2024-01-01T08:00:00Z"}
    return "".join(f"{json.dumps(one)}\n" for one in (row, {"shop": "south"}, row | third)).encode()


def test_json_lines(tmp_path: Path) -> None:
    """What is left out, or null, is missing; empty text is text; numbers are exact; other fields do not matter."""
    rows = table(tmp_path / "a.jsonl", lines(shop="", sold=9007199254740993, more={"x": [1]}, amount=2))
    assert rows.iloc[1][["amount", "sold", "open", "at"]].isna().all()
    assert rows["shop"].tolist() == ["north", "south", ""]
    exact = pa.concat_tables(read(tmp_path / "a.jsonl", "a.jsonl", source())).column("sold").to_pylist()
    assert (exact, rows["amount"][2]) == ([3, None, 9007199254740993], 2.0)


@pytest.mark.parametrize(
    ("third", "said"),
    [
        ({"sold": 1.5}, "'sold': 1.5 is no int64"),
        ({"sold": "3"}, "'sold': '3' is no int64"),
        ({"shop": 7}, "'shop': 7 is no string"),
        ({"open": 1}, "'open': 1 is no bool"),
        ({"at": 1704096000}, "'at': 1704096000 is no timestamp"),
        ({"at": "2024-01-01 08:00"}, "'at': '2024-01-01 08:00' is no timestamp"),
        ({"amount": {"usd": 1}}, "'amount': {'usd': 1} is no float64"),
        ({"sold": 2**63}, "'sold': 9223372036854775808 is no int64"),
    ],
)
def test_json_values_of_another_type(tmp_path: Path, third: dict[str, Any], said: str) -> None:
    """Text is no number, and a number no text, nor a time."""
    with pytest.raises(SourceDataError, match=rf"file:///landing/a.jsonl.*record 3, column {said}"):
        table(tmp_path / "a.jsonl", lines(**third))


def test_json_lines_of_text(tmp_path: Path) -> None:
    """Where each value is text it is read as a CSV file's; a number that is none is refused, and so is no text."""
    text = {"shop": "NA", "amount": "2.50", "sold": "9007199254740993", "open": "TRUE", "at": "2024-01-01T08:00:00Z"}

    def data(**changes: Any) -> bytes:
        return f"{json.dumps(text)}\n{json.dumps({**text, **changes})}\n".encode()

    rows = table(tmp_path / "a.jsonl", data(sold="?"), format="jsonl_text", missing=("?",))
    assert rows["shop"].tolist() == ["NA", "NA"]
    assert (rows["amount"][0], rows["open"][0], rows["sold"].isna().tolist()) == (2.5, True, [False, True])
    for changes, said in (({"sold": "few"}, "'sold': 'few' is no int64"), ({"sold": 3}, "'sold': 3 is no string")):
        with pytest.raises(SourceDataError, match=rf"file:///landing/a.jsonl.*record 2, column {said}"):
            table(tmp_path / "a.jsonl", data(**changes), format="jsonl_text")


DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "cut JSON": ("a.jsonl", lines()[:-20], "is no readable file of JSON lines"),
    "an array": ("a.json.jsonl", b"[1, 2]\n", "is no readable file of JSON lines"),
    "no Parquet": ("a.parquet", b"shop,amount\n", "is no readable Parquet file"),
    "no gzip": ("a.csv.gz", b"shop,amount\n", "can't be unpacked as gzip"),
    "cut gzip": ("a.jsonl.gz", gzip.compress(lines() * 100)[:-30], "can't be unpacked as gzip"),
    "no zstd": ("a.csv.zst", b"shop,amount\n", "can't be unpacked as zstd"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    """What can't be read as what its name says is refused, and no retry helps."""
    file, data, said = DAMAGED[name]
    with pytest.raises(SourceDataError, match=rf"file:///landing/{file} {said}") as refused:
        table(tmp_path / file, data)
    assert not refused.value.retryable


def test_a_file_that_unpacks_to_no_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it fills the disk."""
    monkeypatch.setattr(delivered, "BLOCK", 1 << 16)
    with pytest.raises(SourceDataError, match="unpacks to more than 500 times its size"):
        table(tmp_path / "a.csv.gz", gzip.compress(bytes(1 << 27)))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1 << 27


def test_parts_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file read in many small parts is the file read at once; a record in a later part has its own number."""
    monkeypatch.setattr(csv_files, "BLOCK", 200)
    head, record = "shop,amount,sold,open,at\n", '"no ""r""\nth",1.5,3,true,2024-01-01T08:00:00Z\n'
    rows = table(tmp_path / "a.csv", (head + record * 500).encode())
    assert (len(rows), rows["shop"].unique().tolist()) == (500, ['no "r"\nth'])
    for wrong, said in (
        (record.replace("1.5", "x"), "record 401, column 'amount': 'x'"),
        ("a,b\n", "record 401 has 2"),
    ):
        with pytest.raises(SourceDataError, match=said):
            table(tmp_path / "a.csv", (head + record * 400 + wrong + record * 9).encode())
    with pytest.raises(SourceDataError, match="no record may be longer than"):
        table(tmp_path / "a.csv", (head + record * 9 + record.replace("th", "h" * 999)).encode())


def test_a_statement_is_filled_in() -> None:
    """Moments are timestamps in quotes, in UTC; with codes they are bare text."""
    given = source(path=None, conn_id="db", query="select * from sales where at >= {start} and day < {end:%Y%m%d}")
    assert given.statement(DAY) == "select * from sales where at >= '2024-01-01 00:00:00+00:00' and day < 20240102"


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"path": None}, "give a path below the landing root, or a query"),
        ({"query": "select 1", "conn_id": "db"}, "one of the two"),
        ({"path": None, "query": "select 1"}, "a query needs conn_id"),
        ({"path": None, "query": "select {day}", "conn_id": "db"}, "query 'select {day}' can't be filled in"),
        ({"format": "xml"}, "'csv', 'parquet', 'jsonl' or 'jsonl_text'"),
    ],
)
def test_a_source_that_comes_from_nowhere(declared: dict[str, Any], said: str) -> None:
    """It is refused when it is declared."""
    with pytest.raises(ValidationError, match=said):
        source(**declared)


def test_a_dialect_that_cannot_be() -> None:
    """Neither an unknown encoding nor a delimiter of two characters."""
    for wrong, said in (({"encoding": "klingon"}, "unknown encoding 'klingon'"), ({"delimiter": "||"}, "at most 1")):
        with pytest.raises(ValidationError, match=said):
            Csv(**wrong)


def test_what_awaits_a_delivery() -> None:
    """A marker lies in the delivery's own folder, whatever pattern follows."""
    for path, awaited in (("a/{start:%Y}/*.csv", "a/2024/_OK"), ("a.csv", "_OK"), ("a/b/", "a/b/_OK")):
        assert source(path=path, marker="_OK").awaited(DAY) == awaited
    assert source(path="a.csv").awaited(DAY) == "a.csv"


def test_decimals_of_a_database(tmp_path: Path) -> None:
    """More digits than a float has become the nearest one."""
    pq.write_table(pa.Table.from_pylist([ROW | {"amount": Decimal("10.357019999999999")}]), tmp_path / "a.parquet")
    assert table(tmp_path / "a.parquet", (tmp_path / "a.parquet").read_bytes())["amount"][0] == 10.357019999999999
