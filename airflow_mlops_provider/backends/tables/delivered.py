"""Delivered files: CSV, Parquet or JSON lines, compressed or not, as typed tables, a part at a time.

What a file holds decides, not what somebody might take it for: values are held to their declared types, see
:mod:`.values`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import json as arrow_json
from pyarrow import parquet

from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.backends.tables.csv_files import BLOCK, read_csv
from airflow_mlops_provider.backends.tables.values import typed
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.source import DataType, Source

_PACKED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
#: A file that unpacks to so many times its size holds no data, but harm.
MOST_UNPACKED = 500
ROWS = 1 << 16


def read(file: Path, where: str, source: Source) -> Iterator[pa.Table]:
    """Yield a file's declared columns in their declared types, a part of its records at a time.

    :param file: a local file; a packed one is unpacked beside it.
    :param where: what messages call it; its endings tell its packing, and its format where the source declares none.
    :raises SourceDataError: naming file, record, column and value of what is not as declared.
    """
    plain, begun = unpacked(file, where), 0
    for part in _READERS[source.format_of(where)](plain, where, source):
        yield typed(part, source, where, begun)
        begun += len(part)


def unpacked(file: Path, where: str) -> Path:
    """Return the file itself, or, if its name says that it is packed, what is in it, unpacked beside it.

    :raises SourceDataError: if it can't be unpacked.
    """
    packing = next((packing for ending, packing in _PACKED.items() if where.lower().endswith(ending)), None)
    if packing is None:
        return file
    target, size, most = file.with_name(f"{file.name}.plain"), 0, file.stat().st_size * MOST_UNPACKED
    try:
        with pa.CompressedInputStream(pa.OSFile(str(file)), packing) as data, target.open("wb") as plain:
            while block := data.read(BLOCK):
                size += len(block)
                if size > most + BLOCK:
                    raise SourceDataError(f"{where} unpacks to more than {MOST_UNPACKED} times its size; is it data?")
                plain.write(block)
    except (OSError, pa.ArrowException) as error:
        raise SourceDataError(f"{where} can't be unpacked as {packing}: {error}; deliver it again, whole") from None
    return target


def _read_parquet(file: Path, where: str, source: Source) -> Iterator[pa.Table]:
    try:
        with parquet.ParquetFile(file) as data:
            _check(data.schema_arrow.names, where, source)
            for batch in data.iter_batches(ROWS, columns=[*source.columns]):
                yield pa.Table.from_batches([batch]).select([*source.columns])
    except (pa.ArrowException, OSError) as error:
        raise SourceDataError(f"{where} is no readable Parquet file: {str(error)[:300]}; deliver it again") from None


def _read_json(file: Path, where: str, source: Source) -> Iterator[pa.Table]:
    """JSON tells text, numbers and truth values apart: each column is read as what is declared, times as text."""
    kinds = {name: COLUMN_TYPES[kind].arrow if kind != "timestamp" else pa.string() for name, kind in _kinds(source)}
    if file.stat().st_size == 0:  # of which Arrow says that it is no JSON
        yield pa.schema(kinds).empty_table()
        return
    options = arrow_json.ParseOptions(
        explicit_schema=pa.schema(kinds), unexpected_field_behavior="ignore", newlines_in_values=False
    )
    try:
        with arrow_json.open_json(file, arrow_json.ReadOptions(block_size=BLOCK), options) as batches:
            for batch in batches:
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        why = _unfit(file, source) or str(error)[:300]
        raise SourceDataError(f"{where} is no readable file of JSON lines: {why}; deliver it again") from None


def _unfit(file: Path, source: Source) -> str | None:
    """Return the first record, column and value of which Arrow does not say where they are; None if there is none."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(filter(str.strip, lines), 1):
            try:
                record = json.loads(line)
            except ValueError as error:
                return f"record {number}: {error}: {line[getattr(error, 'pos', 0) :].strip()[:80]}"
            if not isinstance(record, dict):
                return f"record {number} is {line.strip()[:80]}, and no object"
            for name, kind in _kinds(source):
                if not _holds(record.get(name), kind):
                    return f"record {number}, column {name!r}: {record[name]!r:.80} is no {kind}"
    return None


def _kinds(source: Source) -> Iterator[tuple[str, DataType]]:
    """Yield what each column is in the file itself, which may hold text alone."""
    for name, kind in source.columns.items():
        yield name, "string" if source.format == "jsonl_text" else kind


def _holds(value: Any, kind: DataType) -> bool:
    if kind == "int64":
        return value is None or (type(value) is int and -(2**63) <= value < 2**63)
    return value is None or type(value) in _JSON[kind]


def _check(names: list[str], where: str, source: Source) -> None:
    missing = [name for name in source.columns if name not in names]
    if missing:
        raise SourceDataError(f"{where} has no column {', '.join(missing)}; it has {', '.join(names)[:500]}")


_JSON: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "timestamp": (str,),
    "bool": (bool,),
    "float64": (int, float),
}
_READERS: Mapping[str, Callable[[Path, str, Source], Iterator[pa.Table]]] = {
    "csv": read_csv,
    "parquet": _read_parquet,
    "jsonl": _read_json,
    "jsonl_text": _read_json,
}
