"""Delivered CSV files: text to typed columns. What does not fit is refused by record, column and value, never guessed.

A record is counted from the first below the header. Empty lines are no records.
"""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.source import Source

_FORMATS = {
    b"PAR1": "Parquet",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"Obj\x01": "Avro",
    b"ORC": "ORC",
    b"ARROW1": "Arrow",
    b"%PDF": "PDF",
}
_INTEGER = r"^[+-]?[0-9]+(\.0*)?$"  # whole numbers beside missing ones are often written as 5.0
_UTC = COLUMN_TYPES["timestamp"].arrow
_REFUSED = (ValueError, OverflowError)  # Arrow's errors are ValueErrors
_LONGEST = 80  # characters of a value in a message


def read_csv(delivered: bytes, where: str, source: Source) -> pd.DataFrame:
    """Return a delivery's declared columns in their declared types.

    :param where: the file, for messages.
    :raises SourceDataError: naming the file and what in it is not as declared.
    """
    texts = _columns(_text(delivered, where), where, source)
    return pd.DataFrame({name: _typed(texts[name], name, source, where) for name in source.columns})


def _text(delivered: bytes, where: str) -> str:
    try:
        if b"\0" not in delivered:
            return delivered.decode("utf-8-sig")
        why = f"not text in UTF-8: line {_line(delivered, delivered.index(0))} has a zero byte"
    except UnicodeDecodeError as error:
        why = f"not text in UTF-8: line {_line(delivered, error.start)} has the byte 0x{delivered[error.start]:02x}"
    kind = next((name for magic, name in _FORMATS.items() if delivered.startswith(magic)), why)
    raise SourceDataError(f"{where} is no readable CSV file: it is {kind}; deliver it as plain text in UTF-8")


def _line(delivered: bytes, position: int) -> int:
    return delivered.count(b"\n", 0, position) + 1


def _columns(text: str, where: str, source: Source) -> dict[str, pa.Array]:
    """Return the declared columns, still text, missing values as null."""
    records = _records(text, where)
    places = _places(next(records), where, source)
    rows = [[record[place] for place in places] for record in records]
    missing = {"", *source.missing}
    columns = zip(*rows, strict=True) if rows else [()] * len(places)
    return {
        name: pa.array([None if value in missing else value for value in values], pa.string())
        for name, values in zip(source.columns, columns, strict=True)
    }


def _records(text: str, where: str) -> Iterator[list[str]]:
    """Yield the header and each record, all with as many fields. A quoted field may hold commas and line breaks."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    records = filter(None, csv.reader(io.StringIO(text, newline=""), strict=True))
    number, width = 0, 0
    try:
        for number, record in enumerate(records):
            width = width or len(record)
            if len(record) != width:
                cut = len(record) < width and not text.endswith(("\n", "\r")) and next(records, None) is None
                raise SourceDataError(
                    f"{where}{' breaks off in the middle of its last line' if cut else ''}: record {number} has "
                    f"{len(record)} fields, and the header {width}; deliver it again, whole"
                )
            yield record
    except csv.Error as error:
        raise SourceDataError(
            f"{where} is no readable CSV file: {f'record {number + 1}' if width else 'the header'}: "
            f"{str(error).replace('unexpected end of data', 'it breaks off inside quotes')}; deliver it again"
        ) from None
    if not width:
        raise SourceDataError(f"{where} is no readable CSV file: it is empty; deliver it again")


def _places(header: list[str], where: str, source: Source) -> list[int]:
    """Return where the declared columns are."""
    missing = sorted(set(source.columns) - set(header))
    if missing:
        other = next((sign for sign in ";\t|" if len(header) == 1 and sign in header[0]), None)
        looks = f"; its fields look separated by {other!r}: deliver it with commas" if other else ""
        names = ", ".join(map(repr, header))[:500]
        raise SourceDataError(f"{where} has no column {', '.join(missing)}; it has {names}{looks}")
    twice = sorted(name for name in source.columns if header.count(name) > 1)
    if twice:
        raise SourceDataError(f"{where} has more than one column {', '.join(twice)}; deliver each once")
    return [header.index(name) for name in source.columns]


def _typed(texts: pa.Array, name: str, source: Source, where: str) -> pd.Series:
    kind = source.columns[name]
    cast = partial(_times, source=source) if kind == "timestamp" else _CASTS[kind]
    try:
        return cast(texts)
    except _REFUSED:
        first = bisect_left(range(len(texts)), True, key=lambda last: not _fits(cast, texts[: last + 1]))
    value = texts[first].as_py()
    raise SourceDataError(
        f"{where}: record {first + 1}, column {name!r}: {value[:_LONGEST]!r} is no {kind}; "
        f"{_advice(value, kind, source)}"
    )


def _fits(cast: Callable[[pa.Array], pd.Series], texts: pa.Array) -> bool:
    try:
        cast(texts)
    except _REFUSED:
        return False
    return True


def _strings(texts: pa.Array) -> pd.Series:
    return pd.Series(pd.StringDtype().__from_arrow__(texts))


def _integers(texts: pa.Array) -> pd.Series:
    texts = pc.utf8_trim_whitespace(texts)
    _require(pc.match_substring_regex(texts, _INTEGER))
    values = pc.replace_substring_regex(texts, r"^\+|\.0*$", "").cast(pa.int64())
    return pd.Series(pd.Int64Dtype().__from_arrow__(values))


def _floats(texts: pa.Array) -> pd.Series:
    values = pc.utf8_trim_whitespace(texts).cast(pa.float64())  # the nearest there is; pandas misses it by a bit or two
    _require(pc.is_finite(values))  # "nan" and "inf" are no measurements, and 1e999 is none that fits
    return values.to_pandas()


def _booleans(texts: pa.Array) -> pd.Series:
    values = pc.utf8_trim_whitespace(texts).cast(pa.bool_())  # true, false, 1 and 0, in either case
    return pd.Series(pd.BooleanDtype().__from_arrow__(values))


def _times(texts: pa.Array, source: Source) -> pd.Series:
    """Return moments in UTC. ISO 8601 with a zone needs no declaration; everything else is read as declared."""
    texts = pc.utf8_trim_whitespace(texts)
    try:
        return texts.cast(_UTC).to_pandas()
    except pa.ArrowInvalid:
        if source.time_zone is None and source.time_format is None:
            raise
    moments = _written_as(texts, source.time_format) if source.time_format else texts.cast(pa.timestamp("ns"))
    if moments.type.tz:
        return moments.to_pandas()
    local = moments.to_pandas().dt.tz_localize(source.time_zone, ambiguous="NaT", nonexistent="NaT")
    if local.isna().sum() > texts.null_count:
        raise ValueError("a clock that is put back shows an hour twice, and one that is put forward never")
    return local.dt.tz_convert("UTC")


def _written_as(texts: pa.Array, form: str) -> pa.Array:
    moments = [None if text is None else datetime.strptime(text, form) for text in texts.to_pylist()]  # noqa: DTZ007
    return pa.array(moments, _UTC if "%z" in form else pa.timestamp("ns"))


_CASTS: dict[str, Callable[[pa.Array], pd.Series]] = {
    "string": _strings,
    "int64": _integers,
    "float64": _floats,
    "bool": _booleans,
}


def _require(held: pa.Array) -> None:
    if not pc.all(held, min_count=0).as_py():
        raise ValueError


def _advice(value: str, kind: str, source: Source) -> str:
    """Return what to do about a value that is not of its type."""
    if kind == "timestamp":
        return _advice_on_time(source)
    if not re.search("[0-9]", value):
        return f"correct it, or declare missing=({value[:_LONGEST]!r},) if it means a missing value"
    decimal = not re.match(_INTEGER, value.strip()) and _fits(_floats, pa.array([value]))
    fitting = "float64" if kind == "int64" and decimal else "string"
    return f"correct it, or declare the column {fitting}, which holds it"


def _advice_on_time(source: Source) -> str:
    if source.time_format:
        return f"the source declares the format {source.time_format}, in {source.time_zone or 'the zone that it names'}"
    if source.time_zone:
        return f"write ISO 8601, a column all with zones or all without; {source.time_zone} may have it twice or never"
    return "write ISO 8601 with a zone, such as 2024-01-01T20:30:00Z, or declare time_zone or time_format"
