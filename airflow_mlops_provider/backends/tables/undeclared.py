"""Tables of which nothing is declared: read as they are, in bounded memory, many rows as a sample of them."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import json as arrow_json
from pyarrow import parquet

from airflow_mlops_provider.backends.tables.csv_files import BLOCK, read_csv
from airflow_mlops_provider.backends.tables.delivered import ROWS, unpacked
from airflow_mlops_provider.backends.tables.sample import MOST_ROWS, Sample
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.initiation.profile import Reading
from airflow_mlops_provider.lifecycle.source import Csv, DataType, Format, Source

#: A JSON array is no lines, and read as a whole.
MOST_ARRAY = 1 << 28
_DELIMITERS = ",;\t|"
_NUMBER = re.compile(r"\s*[+-]?\d[\d.,]*\s*")
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x81\x8d\x8f\x90\x9d]")


class Opened(NamedTuple):
    """A file: how it is written, its rows, some at a time, and which columns can't be looked at."""

    format: Format
    parts: Iterator[pa.Table]
    csv: Csv = Csv()
    left_out: dict[str, str] = {}


def look(files: Iterable[tuple[str, Path]], source: str, most: int = MOST_ROWS) -> tuple[pa.Table, Reading]:
    """Return the rows of all files, or a sample of them that is the same each time, and how they are written.

    :param files: their names, and where they lie on this machine.
    :param source: what messages and reports call them together.
    :raises SourceDataError: for what can't be read, and for a file with other columns than the first has.
    """
    sample, names, first = Sample(most), dict[str, None](), None
    for name, opened, part in parts_of(files):
        first = first or opened
        names[name] = None
        sample.add(part, name)
    table, fields = sample.table(source), {"files": tuple(names)}
    written = {"format": first.format, "csv": first.csv, "left_out": first.left_out} if first else {}
    return table, Reading(source=source, rows=sample.seen, sampled=len(table), **fields, **written)


def parts_of(files: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Opened, pa.Table]]:
    """Yield all rows, some at a time, with the name of their file and how that is written; those of CSV are text."""
    with tempfile.TemporaryDirectory(prefix="mlops-look-") as scratch:
        for name, file in files:
            link = Path(scratch) / "link"
            link.symlink_to(file.resolve())  # what is unpacked lies beside it
            plain = unpacked(link, name)
            opened = _opened(plain, name)
            for part in opened.parts:
                yield name, opened, part
            plain.unlink()
            link.unlink(missing_ok=True)


def look_at_rows(parts: Iterable[pa.Table], source: str, most: int = MOST_ROWS) -> tuple[pa.Table, Reading]:
    """Return the same of rows that come from elsewhere, some at a time."""
    sample = Sample(most)
    for part in parts:
        sample.add(part, source)
    table = sample.table(source)
    return table, Reading(source=source, rows=sample.seen, sampled=len(table))


def _opened(file: Path, name: str) -> Opened:
    form = Source(name="data", path="data", columns={}).format_of(name)
    if file.stat().st_size == 0:
        raise SourceDataError(f"{name} is empty; give data with rows")
    if form == "parquet":
        return _parquet(file, name)
    if ".json" in Path(name.lower()).suffixes:
        return Opened("jsonl", _of_lines(_lines_of_array(file, name), name))
    return Opened("jsonl", _of_lines(file, name)) if form == "jsonl" else _csv(file, name)


# --- CSV --------------------------------------------------------------------------------------------------------------


def _csv(file: Path, name: str) -> Opened:
    """Read all columns as text; delimiter and encoding are seen at the file itself."""
    encoding = _encoding(file)
    with file.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, errors="replace", newline="") as text:
        first = next(filter(str.strip, text), "")
    outside = re.sub('"[^"]*"', "", first)
    dialect = Csv(delimiter=max(_DELIMITERS, key=outside.count), encoding=encoding)
    header = next(csv.reader([first], delimiter=dialect.delimiter), [])
    if all(map(_NUMBER.fullmatch, header)):
        shown = ", ".join(header)[:100]
        raise SourceDataError(f"{name} does not name its columns: its first record is {shown}; add a record of names")
    columns: dict[str, DataType] = dict.fromkeys(filter(None, header), "string")
    unnamed = {f"{header.count('')} without a name": "the first record does not name it"} if "" in header else {}
    source = Source(name="data", path="data", format="csv", csv=dialect, columns=columns)
    return Opened("csv", read_csv(file, name, source), dialect, unnamed)


def _encoding(file: Path) -> str:
    """Return UTF-8, or cp1252 for a text that is none; what is no text is left to the reader, which says what it is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with file.open("rb") as data:
        while block := data.read(BLOCK):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return "utf-8" if _NO_TEXT.search(block) else "cp1252"
    return "utf-8"


# --- JSON -------------------------------------------------------------------------------------------------------------


def _lines_of_array(file: Path, name: str) -> Path:
    """Return a file of JSON lines in place of one that holds a list of records; any other as it is."""
    with file.open("rb") as data:
        if data.read(BLOCK).lstrip()[:1] != b"[":
            return file
    if file.stat().st_size > MOST_ARRAY:
        raise SourceDataError(f"{name} is a JSON list of more than {MOST_ARRAY >> 20} MiB; give it as JSON lines")
    try:
        records = json.loads(file.read_bytes())
    except ValueError as error:
        raise SourceDataError(f"{name} is no readable JSON: {error}") from None
    file.unlink()
    file.write_text("\n".join(json.dumps(record) for record in records), "utf-8")
    return file


def _of_lines(file: Path, name: str) -> Iterator[pa.Table]:
    with file.open("rb") as data:
        begun = 0
        while block := data.read(BLOCK) + data.readline():
            yield _of_block(block, name, begun)
            begun += block.count(b"\n")


def _of_block(block: bytes, name: str, begun: int) -> pa.Table:
    size = max(len(block), 1 << 10)
    try:
        return arrow_json.read_json(
            io.BytesIO(block),
            arrow_json.ReadOptions(block_size=size, use_threads=False),
            arrow_json.ParseOptions(newlines_in_values=False),
        )
    except (pa.ArrowException, OSError) as error:
        why = _first_unreadable(block, begun) or str(error)[:300]
        raise SourceDataError(f"{name} is no readable file of JSON lines: {why}") from None


def _first_unreadable(block: bytes, begun: int) -> str | None:
    for number, line in enumerate(block.splitlines(), begun + 1):
        try:
            record = json.loads(line or b"{}")
        except ValueError as error:
            return f"record {number}: {error}: {line[:80]!r}"
        if not isinstance(record, dict):
            return f"record {number} is {line[:80]!r}, and no object"
    return None


def _parquet(file: Path, name: str) -> Opened:
    try:
        return Opened("parquet", _batches(parquet.ParquetFile(file), name))
    except (pa.ArrowException, OSError) as error:
        raise SourceDataError(f"{name} is no readable Parquet file: {str(error)[:300]}") from None


def _batches(data: parquet.ParquetFile, name: str) -> Iterator[pa.Table]:
    try:
        with data:
            if not data.metadata.num_rows:
                yield data.schema_arrow.empty_table()
            for batch in data.iter_batches(ROWS):
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise SourceDataError(f"{name} is no readable Parquet file: {str(error)[:300]}") from None
