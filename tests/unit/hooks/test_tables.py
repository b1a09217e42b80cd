"""Tables that no job made: read as they are, kept under their hash, and known by where they come from."""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.io import attach

from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, SourceError
from airflow_mlops_provider.hooks.tables import Files, Sql, fetched, snapshot
from airflow_mlops_provider.storage.artifacts import FolderStore, content_hash

ROWS = pd.DataFrame({"shop": ["NA", "b"], "code": ["01", "02"], "amount": [1.5, 2.5]})


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Return a folder with the same two rows in each format."""
    folder = tmp_path / "lake" / "2026-01-01"
    folder.mkdir(parents=True)
    ROWS.to_parquet(folder / "a.parquet")
    ROWS.to_csv(folder / "a.csv", index=False)
    ROWS.to_json(folder / "a.jsonl", orient="records", lines=True)
    return tmp_path / "lake"


@pytest.mark.parametrize("file", ["a.parquet", "a.csv", "a.jsonl"])
def test_a_file_is_read_as_what_its_name_says(lake: Path, file: str) -> None:
    """NA is a text of its own; the facts tell the hash of the file's bytes."""
    path = lake / "2026-01-01" / file
    table, facts = Files(str(path)).read()
    assert table["shop"].to_pylist() == ["NA", "b"]
    assert table["amount"].to_pylist() == [1.5, 2.5]
    assert facts == {"files": {str(path): hashlib.sha256(path.read_bytes()).hexdigest()}}


def test_a_pattern_takes_files_in_the_order_of_their_names(lake: Path) -> None:
    """A column that is missing in some files is null there; how the folder lists them makes no difference."""
    for name, amount in (("10", 3.0), ("09", 2.0), ("11", 4.0)):
        part = lake / "parts" / f"day={name}"
        part.mkdir(parents=True)
        frame = pd.DataFrame({"amount": [amount]})
        (frame if name != "11" else frame.assign(further=1)).to_parquet(part / "x.parquet")
    table, facts = Files(f"{lake}/parts/**/*.parquet").read()
    assert table.to_pydict() == {"amount": [2.0, 3.0, 4.0], "further": [None, None, 1]}
    assert [Path(name).parent.name for name in facts["files"]] == ["day=09", "day=10", "day=11"]


def test_a_folder_means_the_files_directly_in_it(lake: Path) -> None:
    """In the order of their names; markers, what is still being written and folders below are none of its tables."""
    day = lake / "day"
    (day / "below").mkdir(parents=True)
    for name, amount in (("b.parquet", 2.0), ("a.PARQUET", 1.0), ("below/c.parquet", 3.0), (".d.parquet", 4.0)):
        pd.DataFrame({"amount": [amount]}).to_parquet(day / name)
    (day / "_SUCCESS").touch()
    for path in (f"{day}/", f"{lake}/d[a]y/", f"file://{day}/"):
        table, facts = Files(path).read()
        assert table.to_pydict() == {"amount": [1.0, 2.0]}, path
        assert [Path(name).name for name in facts["files"]] == ["a.PARQUET", "b.parquet"], path


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("2026-01-01/", SourceDataError, r"folder .*/2026-01-01/ holds .* several formats, such as a\.csv, a\.j"),
        ("empty/", SourceError, r"for .*/empty/: none directly .*/empty/\*\*/\*\.parquet looks below"),
        ("nothing/", SourceError, r"no file is there for .*/nothing/: none directly"),
        ("nothing/*.parquet", SourceError, "no file is there for"),
        ("nothing.csv", SourceError, "no file is there for"),
        ("broken.parquet", SourceDataError, r"broken\.parquet can't be read"),
        ("notes.txt", ConfigurationError, r"notes\.txt has none of the endings .*: \.parquet, \.csv"),
        ("mixed/*", SourceDataError, "do not fit together"),
    ],
)
def test_what_cannot_be_read_is_named(lake: Path, path: str, error: type[Exception], said: str) -> None:
    """A retry helps for a file that is not there yet, and for nothing else."""
    (lake / "broken.parquet").write_bytes(b"PAR1")
    (lake / "notes.txt").write_text("x")
    (lake / "empty" / "below").mkdir(parents=True)
    (lake / "mixed").mkdir()
    pd.DataFrame({"a": [1]}).to_parquet(lake / "mixed" / "1.parquet")
    pd.DataFrame({"a": [["x"]]}).to_parquet(lake / "mixed" / "2.parquet")
    with pytest.raises(error, match=said):
        Files(f"{lake}/{path}").read()


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a database behind an Airflow connection."""
    pytest.importorskip("airflow.providers.sqlite", reason="pip install apache-airflow-providers-sqlite")
    file = tmp_path / "sales.db"
    with sqlite3.connect(file) as connection:
        connection.execute("create table sales (shop text, code text, many integer, amount real)")
        connection.executemany(
            "insert into sales values (?, ?, ?, ?)", [("NA", "01", 2**60, 1.5), ("b", "02", None, None)]
        )
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(file)}))
    return file


def test_a_query_keeps_types_and_gaps(warehouse: Path) -> None:
    """Whole numbers beside a gap stay whole numbers, and text stays text."""
    table, facts = Sql("warehouse", "select *\n  from sales  order by code").read()
    assert table.to_pydict() == {
        "shop": ["NA", "b"],
        "code": ["01", "02"],
        "many": [2**60, None],
        "amount": [1.5, None],
    }
    assert table.schema.field("many").type == pa.int64()
    assert facts == {"query": "warehouse: select * from sales order by code"}
    assert Sql("warehouse", "select shop from sales where code = ?", ("02",)).read()[0].to_pydict() == {"shop": ["b"]}
    assert Sql("warehouse", "select shop, code from sales where 0").read()[0].column_names == ["shop", "code"]


def test_what_gives_no_table_is_refused(warehouse: Path) -> None:
    for query, said in (
        ("update sales set shop = 'c'", "gives no table; write a select"),
        ("select 1 as a union select 'x'", "a column's values are not of one kind"),
    ):
        with pytest.raises(SourceDataError, match=said):
            Sql("warehouse", query).read()


def test_the_same_content_lies_in_the_same_place(lake: Path, tmp_path: Path) -> None:
    """A snapshot goes by the hash of its bytes: read again it is the same reference, changed it is another."""
    store, source = FolderStore(tmp_path / "root"), Files(str(lake / "2026-01-01" / "a.csv"))
    first = snapshot(source, store, "shop")
    assert snapshot(source, store, "shop") == first
    folder = store.path(first.uri.removeprefix(f"{store.uri}/"))
    assert content_hash(folder) == first.hash
    assert pq.read_table(folder / "table.parquet").num_rows == 2
    ROWS.assign(amount=0.0).to_csv(source.path, index=False)
    assert snapshot(source, store, "shop").hash != first.hash
    assert first.facts["rows"] == {"table": 2}


def test_packed_files_are_read(lake: Path) -> None:
    """As what they are without .gz; one that is none is refused by name."""
    folder = lake / "2026-01-01"
    (folder / "b.csv.gz").write_bytes(gzip.compress((folder / "a.csv").read_bytes()))
    (folder / "c.csv.gz").write_bytes(b"no gzip")
    assert Files(f"{folder}/b.csv.gz").read()[0]["amount"].to_pylist() == [1.5, 2.5]
    with pytest.raises(SourceDataError, match=r"c\.csv\.gz can't be read"):
        Files(f"{folder}/c.csv.gz").read()


def test_files_of_a_bucket_are_copied_one_at_a_time(lake: Path, tmp_path: Path) -> None:
    """What lies on this machine is taken where it lies; a copy is gone once the next file is taken."""
    here = lake / "2026-01-01" / "a.csv"
    assert [*Files(str(here)).copies(tmp_path)] == [(str(here), here)]
    attach("memory", fs=fsspec.filesystem("memory"))
    for name in ("a", "b"):
        fsspec.filesystem("memory").pipe(f"/bucket/{name}.csv", name.encode())
    scratch, names = tmp_path / "scratch", []
    scratch.mkdir()
    for name, copy in Files("memory://bucket/*.csv").copies(scratch):
        names.append(name)
        assert copy.read_text() == Path(name).stem and [*scratch.iterdir()] == [copy]
    assert [Path(name).name for name in names] == ["a.csv", "b.csv"] and not [*scratch.iterdir()]
    with pytest.raises(SourceError, match="no file is there"):
        [*Files(f"{lake}/nothing/*.csv").copies(tmp_path)]


def test_rows_of_a_query_come_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part has the columns' types; values of no common kind are text, as they are."""
    monkeypatch.setattr("airflow_mlops_provider.hooks.tables.FETCHED", 2)
    with closing(sqlite3.connect(":memory:")) as database:
        query = "select 1 as n, 'x' as mixed union all select 2, 5 union all select null, 'y'"
        empty, *parts = fetched(database, query, "numbers")
    assert (empty.num_rows, empty.column_names) == (0, ["n", "mixed"])
    assert [part.to_pydict() for part in parts] == [{"n": [1, 2], "mixed": ["x", "5"]}, {"n": [None], "mixed": ["y"]}]
