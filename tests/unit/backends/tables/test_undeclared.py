"""Files of which nothing is declared are read as they are; what is no table is refused, and why is said."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from airflow_mlops_provider.backends.tables.undeclared import look
from airflow_mlops_provider.exceptions import SourceDataError

ROWS = [{"shop": "Süd", "amount": 1.5, "n": 1}, {"shop": "NA", "amount": None, "n": 2}]


def written(folder: Path, name: str, data: str | bytes) -> Path:
    """Write a file."""
    file = folder / name
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


def read(*files: Path):
    """Return the table of some files, and how they are written."""
    return look([(file.name, file) for file in files], "files")


CSV = "shop,amount,n\nSüd,1.5,1\nNA,,2\n"
JSONL = "\n".join(map(json.dumps, ROWS))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", CSV),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.tsv", CSV.replace(",", "\t")),
        ("a.CSV", "\ufeff" + CSV.replace(",", ";")),
        ("a.csv", CSV.encode("cp1252")),
        ("a.jsonl", JSONL),
        ("a.ndjson.gz", gzip.compress(JSONL.encode(), mtime=0)),
        ("a.json", json.dumps(ROWS, indent=1)),
        ("a.json", JSONL),
    ],
)
def test_each_format_gives_the_same_rows(tmp_path: Path, name: str, data: str | bytes) -> None:
    """Whatever the packing, the delimiter, the encoding; the user's own file is left as it is."""
    file = written(tmp_path, name, data)
    before = file.read_bytes()
    table, reading = read(file)
    assert table["shop"].to_pylist() == ["Süd", "NA"]
    assert [value and float(value) for value in table["amount"].to_pylist()] == [1.5, None]
    assert (reading.rows, reading.sampled, reading.files) == (2, 2, (name,))
    assert [*tmp_path.iterdir()] == [file] and file.read_bytes() == before


def test_parquet_and_several_files(tmp_path: Path) -> None:
    """Files follow each other in the order in which they are given."""
    frame = pd.DataFrame(ROWS)
    for name in ("a.parquet", "b.parquet"):
        frame.to_parquet(tmp_path / name)
    table, reading = read(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert table["n"].to_pylist() == [1, 2, 1, 2] and reading.format == "parquet"


def test_how_it_is_written_is_seen(tmp_path: Path) -> None:
    """Delimiter and encoding are what a source declares later; a column without a name is named as left out."""
    _, reading = read(written(tmp_path, "a.csv", ";shop;amount\n0;Süd;1\n1;Nord;2\n".encode("cp1252")))
    assert (reading.csv.delimiter, reading.csv.encoding) == (";", "cp1252")
    assert [*reading.left_out] == ["1 without a name"]


def test_a_million_rows_are_enough(tmp_path: Path) -> None:
    """Beyond the limit a sample is looked at, and that is said."""
    file = written(tmp_path, "a.csv", "a,b\n" + "".join(f"{number},{number % 7}\n" for number in range(5000)))
    table, reading = look([("a.csv", file)], "a.csv", most=1000)
    assert (reading.rows, reading.sampled, len(table)) == (5000, 1000, 1000)
    assert table.equals(look([("a.csv", file)], "a.csv", most=1000)[0])


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("a.csv", b"", "a.csv is empty"),
        ("a.csv", "a,b\n", "no rows"),
        ("a.csv", bytes(range(200, 250)) + b"\0" * 50, "not text in UTF-8"),
        ("a.csv", b"PK\x03\x04\0\0", "zip archive or an Excel workbook"),
        ("a.csv", "1,2\n3,4\n", "does not name its columns: its first record is 1, 2"),
        ("a.csv", "a,b\n1,2\n3\n", "record 2 has 1 fields, and the header 2"),
        ("a.csv", "a,a\n1,2\n", "more than one column a"),
        ("a.csv.gz", b"no gzip", "can't be unpacked as gzip"),
        ("a.parquet", b"PAR1 but no more", "no readable Parquet file"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "record 2"),
        ("a.jsonl", "[1, 2]\n", "and no object"),
        ("a.json", "[1, 2", "no readable JSON"),
        ("a.json", "[1, 2]", "and no object"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, data: str | bytes, error: str) -> None:
    """The file is named, and what is wrong with it."""
    with pytest.raises(SourceDataError, match=error):
        read(written(tmp_path, name, data))


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    """File and column are named: they are no parts of one table."""
    files = written(tmp_path, "a.csv", "a,b\n1,2\n"), written(tmp_path, "b.csv", "a,c\n1,2\n")
    with pytest.raises(SourceDataError, match=r"b\.csv has no column 'b', which a\.csv has"):
        read(*files)
