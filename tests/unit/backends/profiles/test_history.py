"""A history is laid as it was: each row once, in its interval's file, with the texts and types that it had."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mlops_provider.backends.profiles.history import History, Laid
from airflow_mlops_provider.backends.profiles.whole import Look
from airflow_mlops_provider.backends.tables.undeclared import look, parts_of
from airflow_mlops_provider.lifecycle.initiation.propose import Answers, propose
from airflow_mlops_provider.lifecycle.initiation.writing.declared import Declared

RANDOM = np.random.default_rng(8)


def laid(file: Path, folder: Path, **named: str) -> tuple[Laid, list[Path]]:
    """Lay a file's rows, and return what became of them, and the files."""
    seen, problem = Look(*look([(file.name, file)], file.name)).profile(**named)
    history = History(Declared(propose(seen, problem, Answers(name="laid"), "me")), folder)
    for where, _, part in parts_of([(file.name, file)]):
        history.add(part, where)
    return history.close(), sorted((folder / "laid").iterdir())


def test_text_stays_as_it_is(tmp_path: Path) -> None:
    """Delimiter, encoding, quotes and spellings are those of the file; each line is there once."""
    days = pd.date_range("2023-01-01", periods=300, freq="D").strftime("%d.%m.%Y")
    lines = [f'{day};"a; ""b""";{number},50;' + ("ü" if number % 2 else "NA") for number, day in enumerate(days)]
    file = tmp_path / "rows.csv"
    file.write_bytes(("day;text;price;sign\n" + "\n".join(lines) + "\n").encode("cp1252"))
    told, files = laid(file, tmp_path, label="price", time="day")
    written = [line for each in files for line in each.read_bytes().decode("cp1252").splitlines()]
    assert sorted(written) == sorted([*lines, *["day;text;price;sign"] * len(files)])
    assert (told.rows, told.earlier, told.later, told.timeless) == (300, 0, 0, 0)


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    """Also of a column that no source can declare; rows without a time are counted."""
    at = pd.Series(pd.date_range("2023-01-01", periods=400, freq="D", tz="Europe/Lisbon")).mask(
        RANDOM.random(400) < 0.02
    )
    table = pa.table({"at": pa.array(at), "x": pa.array(RANDOM.normal(size=400), pa.float32()), "n": [None] * 400})
    table = table.append_column("took", pa.array(range(400), pa.duration("s")))
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=100)
    told, files = laid(tmp_path / "rows.parquet", tmp_path, label="x", time="at")
    assert told.timeless == int(at.isna().sum()) and told.rows == 400 - told.timeless
    schema = pq.read_schema(files[0])
    assert schema.field("x").type == pa.float32() and schema.field("took").type == pa.float64()


def test_a_time_in_parts_becomes_a_column(tmp_path: Path) -> None:
    """The others stay as they were."""
    days = pd.date_range("2021-06-01", periods=900, freq="D")
    frame = pd.DataFrame({"year": days.year, "month": days.month, "day": days.day, "x": RANDOM.normal(size=900)})
    frame.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    _, files = laid(tmp_path / "rows.jsonl", tmp_path, label="x", problem="regression")
    first = json.loads(files[0].read_text().splitlines()[0])
    assert first["time"].startswith("2021-06-01T00:00:00") and (first["year"], first["day"]) == (2021, 1)


def test_duplicates_and_groups_lie_together(tmp_path: Path) -> None:
    """Without a time a hash chooses the file: the same row, and rows of the same customer, are never in two."""
    rows = pd.DataFrame(
        {"x": RANDOM.normal(size=300).round(3), "y": RANDOM.normal(size=300), "class": ["a", "b"] * 150}
    )
    pd.concat([rows, rows[:100]]).to_csv(tmp_path / "rows.csv", index=False)
    told, files = laid(tmp_path / "rows.csv", tmp_path / "one", label="class")
    parts = [pd.read_csv(file).drop_duplicates() for file in files]
    assert told.rows == 400 and len(pd.concat(parts)) == 300 and min(map(len, parts)) > 40
    rows.assign(customer_id=np.arange(300) % 60).to_csv(tmp_path / "rows.csv", index=False)
    _, files = laid(tmp_path / "rows.csv", tmp_path / "two", label="class")
    owners = [set(pd.read_csv(file)["customer_id"]) for file in files]
    assert sum(map(len, owners)) == 60


def test_an_interval_without_rows_has_a_file(tmp_path: Path) -> None:
    """It says that there were none; else it would be waited for."""
    days = [day for day in pd.date_range("2023-01-01", "2023-12-31") if day.month not in (3, 4)]
    pd.DataFrame({"day": days, "x": RANDOM.normal(size=len(days))}).to_csv(tmp_path / "rows.csv", index=False)
    _, files = laid(tmp_path / "rows.csv", tmp_path, label="x", time="day")
    assert [file.stem for file in files] == [f"2023-{month:02}" for month in range(1, 13)]
    assert files[2].read_text() == "day,x\n"
