"""A history, cut into the deliveries that a source expects: in the format and with the texts that it came in."""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from airflow_mlops_provider.backends.profiles.time import seconds_of
from airflow_mlops_provider.backends.profiles.values import Codes, Floats, plain, values_of
from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.backends.tables.values import typed
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.initiation.delivery import after
from airflow_mlops_provider.lifecycle.initiation.profile import Candidate
from airflow_mlops_provider.lifecycle.initiation.writing.declared import Declared
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.source import Csv

_TIME = pa.timestamp("us", tz="UTC")


@dataclass
class Laid:
    """What became of the rows: how many were laid, and how many not.

    :ivar earlier, later: those before the first interval, and those after the last that is over.
    :ivar timeless: those without a time.
    """

    files: list[str] = field(default_factory=list)
    rows: int = 0
    earlier: int = 0
    later: int = 0
    timeless: int = 0


class History:
    """Takes rows some at a time, and writes each into the file of its interval.

    :param folder: in place of the landing root.
    """

    def __init__(self, declared: Declared, folder: Path) -> None:
        self.declared, self.source, self.laid = declared, declared.source, Laid()
        self._seen, self._writers, self._folder = 0, list[_Writer](), folder
        delivery = declared.proposal.delivery
        start = delivery.schedule.start
        assert start is not None  # a proposal has one
        self._edges = [start]
        for _ in range(delivery.intervals):
            self._edges.append(after(self._edges[-1], delivery.grain))

    def add(self, part: pa.Table, where: str) -> None:
        """Write some rows. :raises SourceDataError: for a time that can't be read; it names record and value."""
        if not len(part):
            return
        place = self._places(part, where)
        part = self._shown(part)
        if not self._writers:
            self._begin(part.schema)
        for number in np.unique(place[place >= 0]):
            rows = part.filter(pa.array(place == number))
            self._writers[number].write(rows)
            self.laid.rows += len(rows)
        self._seen += len(part)

    def close(self) -> Laid:
        """Make the files whole, and return what became of the rows."""
        for writer in self._writers:
            writer.close()
        return self.laid

    def _begin(self, schema: pa.Schema) -> None:
        """Open a file for each interval: one without rows is delivered, too, and says that there were none."""
        columns = self.source.columns  # what is missing in all rows so far has no type of its own
        kinds = [COLUMN_TYPES[columns.get(each.name, "string")].arrow for each in schema]
        types = [kind if pa.types.is_null(each.type) else each.type for each, kind in zip(schema, kinds, strict=True)]
        schema = pa.schema(list(zip(schema.names, types, strict=True)))
        for start, end in zip(self._edges, self._edges[1:], strict=False):
            key = self.source.delivery(Interval(start=start, end=end))
            file = self._folder / key
            file.parent.mkdir(parents=True, exist_ok=True)
            self.laid.files.append(key)
            self._writers.append(_WRITERS[self.source.format_of(key)](file, schema, self.source.csv))

    def _places(self, part: pa.Table, where: str) -> Codes:
        """Return the number of each row's interval; -1 for a row that is not laid."""
        if self.source.time is None:
            return self._by_hash(part)
        seconds = self._seconds(part, where)
        edges = np.array([edge.timestamp() for edge in self._edges])
        place = np.searchsorted(edges, np.nan_to_num(seconds, nan=-np.inf), side="right") - 1
        missing, later = np.isnan(seconds), place >= len(edges) - 1
        self.laid.timeless += int(missing.sum())
        self.laid.later += int(later.sum())
        self.laid.earlier += int(((place < 0) & ~missing).sum())
        return np.where(missing | later, -1, place).astype(np.int64)

    def _seconds(self, part: pa.Table, where: str) -> Floats:
        delivery, name = self.declared.proposal.delivery, str(self.declared.time)
        if delivery.added:
            parts = delivery.time_parts or (str(delivery.time),)
            columns = values_of(part.select([*parts]))[0]
            return seconds_of(columns, Candidate(column=parts[0], points=0, reasons=(), parts=parts))
        times = self.source.model_copy(update={"columns": {name: "timestamp"}})
        moments = typed(part.select([name]), times, where, self._seen).column(name).cast(pa.timestamp("us", tz="UTC"))
        moments = moments.combine_chunks()
        seconds = np.asarray(moments.cast(pa.int64()).fill_null(0), dtype=np.float64) / 1e6
        seconds[np.asarray(moments.is_null())] = np.nan
        return seconds

    def _by_hash(self, part: pa.Table) -> Codes:
        """Return a number that follows from a row's values, or from what it is of: its duplicates have the same."""
        split, query = self.declared.proposal.split, self.declared.proposal.problem.query
        by = [query] if query else [*split.by] if split.kind == "group" else part.column_names
        columns = [part.column(name).to_pylist() for name in by]
        hashes = [zlib.crc32("\x1f".join(map(str, row)).encode()) for row in zip(*columns, strict=True)]
        return np.array(hashes, dtype=np.int64) % (len(self._edges) - 1)

    def _shown(self, part: pa.Table) -> pa.Table:
        """Return rows as they are laid: with a time where it was in parts, and nothing that no source can declare."""
        delivery = self.declared.proposal.delivery
        for place, kind in enumerate(part.schema):
            if pa.types.is_duration(kind.type) or pa.types.is_time(kind.type):
                part = part.set_column(place, kind.name, plain(part.column(kind.name)))
        if not delivery.added or self.source.time is None:
            return part
        seconds = self._seconds(part, "")
        moments = pa.array(np.nan_to_num(seconds) * 1e6, mask=np.isnan(seconds)).cast(pa.int64()).cast(_TIME)
        return part.add_column(0, delivery.added, moments)


# --- files ------------------------------------------------------------------------------------------------------------


class _Writer(Protocol):
    def __init__(self, file: Path, schema: pa.Schema, dialect: Csv) -> None: ...

    def write(self, rows: pa.Table) -> None: ...

    def close(self) -> None: ...


class _CsvFile:
    def __init__(self, file: Path, schema: pa.Schema, dialect: Csv) -> None:
        self._file = file.open("w", encoding=dialect.encoding, newline="")
        self._csv = csv.writer(self._file, delimiter=dialect.delimiter, lineterminator="\n")
        self._csv.writerow(schema.names)

    def write(self, rows: pa.Table) -> None:
        self._csv.writerows(zip(*(_texts(column) for column in rows.columns), strict=True))

    def close(self) -> None:
        self._file.close()


class _JsonFile:
    def __init__(self, file: Path, schema: pa.Schema, dialect: Csv) -> None:
        del schema, dialect
        self._file: io.TextIOWrapper = file.open("w", encoding="utf-8")

    def write(self, rows: pa.Table) -> None:
        self._file.writelines(f"{json.dumps(row, default=_written)}\n" for row in rows.to_pylist())

    def close(self) -> None:
        self._file.close()


class _ParquetFile:
    def __init__(self, file: Path, schema: pa.Schema, dialect: Csv) -> None:
        del dialect
        self._schema, self._file, self._parquet = schema, file, parquet.ParquetWriter(file, schema)

    def write(self, rows: pa.Table) -> None:
        try:
            self._parquet.write_table(rows.select(self._schema.names).cast(self._schema))
        except pa.ArrowException as error:
            raise SourceDataError(
                f"rows for {self._file.name} are not of the types that the first had: {error}"
            ) from None

    def close(self) -> None:
        self._parquet.close()


_WRITERS: Mapping[str, type[_Writer]] = {"csv": _CsvFile, "jsonl": _JsonFile, "parquet": _ParquetFile}


def _texts(column: pa.ChunkedArray) -> list[Any]:
    """Return values as CSV has them: nothing where they are missing."""
    return ["" if value is None else value for value in _iso(column).to_pylist()]


def _iso(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column.cast(pa.timestamp("s", tz="UTC")), format="%Y-%m-%dT%H:%M:%SZ")
    return column


def _written(value: Any) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) and value.tzinfo else str(value)
