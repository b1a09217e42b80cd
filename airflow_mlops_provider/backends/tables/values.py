"""Delivered values in their declared types: what does not fit is refused by record, column and value, never guessed."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.source import DataType, Source

_INTEGER = r"^[+-]?[0-9]+(\.0*)?$"  # whole numbers beside missing ones are often written as 5.0
_UTC = COLUMN_TYPES["timestamp"].arrow
_REFUSED = (ValueError, OverflowError, pa.ArrowException)
_LONGEST = 80  # characters of a value in a message
Cast = Callable[[Any], Any]


def typed(table: pa.Table, source: Source, where: str, begun: int = 0) -> pa.Table:
    """Return the declared columns in their declared types.

    :param where: what messages call the table. :param begun: how many records were before it.
    :raises SourceDataError: naming record, column and value of what does not fit.
    """
    return pa.table({name: _column(table.column(name), name, source, where, begun) for name in source.columns})


def _column(values: pa.ChunkedArray, name: str, source: Source, where: str, begun: int) -> Any:
    kind = source.columns[name]
    values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    cast = _cast(values.type, kind, source)
    if cast is None:
        raise SourceDataError(
            f"{where}: column {name!r} holds {values.type}, which is no {kind}; declare what it holds, or deliver that"
        )
    if _is_text(values.type) and source.missing:
        values = pc.if_else(pc.is_in(values, pa.array(source.missing, values.type)), None, values)
    try:
        return cast(values)
    except _REFUSED:
        first = bisect_left(range(len(values)), True, key=lambda last: not _fits(cast, values[: last + 1]))
    value = values[first].as_py()
    raise SourceDataError(
        f"{where}: record {begun + first + 1}, column {name!r}: {_shown(value)} is no {kind}; "
        f"{_advice(value, kind, source)}"
    )


def _cast(given: pa.DataType, kind: DataType, source: Source) -> Cast | None:
    """Return what makes a declared type of a file's own; None where that would be a guess."""
    if pa.types.is_null(given):
        return lambda values: values.cast(COLUMN_TYPES[kind].arrow)
    if _is_text(given):
        text = partial(_times, source=source) if kind == "timestamp" else _OF_TEXT[kind]
        return lambda values: text(values.cast(pa.string()))
    if kind == "timestamp" and (pa.types.is_timestamp(given) or pa.types.is_date(given)):
        return partial(_moments, zone=source.time_zone)
    number = pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_decimal(given)
    if kind == "float64" and number:
        return _reals
    if kind == "int64" and number:
        return _whole
    if kind == "bool" and (pa.types.is_boolean(given) or pa.types.is_integer(given)):
        return _truth
    return None


def _is_text(given: pa.DataType) -> bool:
    return bool(pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given))


def _fits(cast: Cast, values: Any) -> bool:
    try:
        cast(values)
    except _REFUSED:
        return False
    return True


def _integers(texts: Any) -> Any:
    texts = pc.utf8_trim_whitespace(texts)
    _require(pc.match_substring_regex(texts, _INTEGER))
    return pc.replace_substring_regex(texts, r"^\+|\.0*$", "").cast(pa.int64())


def _floats(texts: Any) -> Any:
    values = pc.utf8_trim_whitespace(texts).cast(pa.float64())  # the nearest there is; pandas misses it by a bit or two
    _require(pc.is_finite(values))  # "nan" and "inf" are no measurements, and 1e999 is none that fits
    return values


def _booleans(texts: Any) -> Any:
    return pc.utf8_trim_whitespace(texts).cast(pa.bool_())  # true, false, 1 and 0, in either case


def _times(texts: Any, source: Source) -> Any:
    """Return moments in UTC. ISO 8601 with a zone needs no declaration; everything else is read as declared."""
    texts = pc.utf8_trim_whitespace(texts)
    try:
        return texts.cast(_UTC)
    except pa.ArrowInvalid:
        if source.time_zone is None and source.time_format is None:
            raise
    moments = _written_as(texts, source.time_format) if source.time_format else texts.cast(pa.timestamp("ns"))
    return _moments(moments, source.time_zone)


def _written_as(texts: Any, form: str) -> Any:
    moments = [None if text is None else datetime.strptime(text, form) for text in texts.to_pylist()]  # noqa: DTZ007
    return pa.array(moments, _UTC if "%z" in form else pa.timestamp("ns"))


def _moments(moments: Any, zone: str | None) -> Any:
    """Return times in UTC; those without a zone, and days, are of the declared one."""
    if pa.types.is_timestamp(moments.type) and moments.type.tz:
        return moments.cast(_UTC)
    if zone is None:
        _require(pc.is_null(moments))
        return moments.cast(pa.timestamp("ns")).cast(_UTC)
    local = moments.cast(pa.timestamp("ns")).to_pandas().dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    if local.isna().sum() > moments.null_count:
        raise ValueError("a clock that is put back shows an hour twice, and one that is put forward never")
    return pa.array(local.dt.tz_convert("UTC"), _UTC)


def _reals(numbers: Any) -> Any:
    values = numbers.cast(pa.float64())  # of whole numbers, Arrow refuses those that it would change
    values = pc.if_else(pc.is_nan(values), None, values)  # as pandas and many a writer say "missing"
    _require(pc.is_finite(values))
    return values


def _whole(numbers: Any) -> Any:
    if pa.types.is_floating(numbers.type):
        numbers = pc.if_else(pc.is_nan(numbers), None, numbers)
    return numbers.cast(pa.int64())


def _truth(values: Any) -> Any:
    if pa.types.is_integer(values.type):
        _require(pc.is_in(values, pa.array([0, 1, None], values.type)))
    return values.cast(pa.bool_())


_OF_TEXT: dict[DataType, Cast] = {
    "string": lambda texts: texts,
    "int64": _integers,
    "float64": _floats,
    "bool": _booleans,
}


def _require(held: Any) -> None:
    if not pc.all(held, min_count=0).as_py():
        raise ValueError


def _shown(value: Any) -> str:
    return repr(value[:_LONGEST]) if isinstance(value, str) else str(value)[:_LONGEST]


def _advice(value: Any, kind: str, source: Source) -> str:
    """Return what to do about a value that is not of its type."""
    if kind == "timestamp":
        return _advice_on_time(source)
    if not isinstance(value, str):
        return "correct it, or declare what the column holds"
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
