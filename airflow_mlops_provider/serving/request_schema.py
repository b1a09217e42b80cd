"""The rows that a caller may send: the product's request columns, typed and bounded; errors say what is allowed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
import typing_extensions
from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES, MAX_TEXT
from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.lifecycle.source import EVENT_TIME, DataType

MAX_ROWS = 10_000
MAX_MESSAGES = 5
_MAX_DETAIL = 2_000
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_MISSING = -(2**63)  # NaT; nanoseconds reach from there, September 1677, as far beyond 1970, to April 2262
# What a caller's values must be, as msgspec takes them; see `COLUMN_TYPES` for pydantic.
_TIME = Annotated[datetime, msgspec.Meta(tz=True)]
_FAST: Mapping[DataType, Any] = {
    "string": Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] | None,
    "int64": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    "float64": float | None,
    "bool": bool,
    "timestamp": _TIME | None,
}
Row = Any  # a msgspec struct of a schema's columns, made at run time; or a dict


class Rows(NamedTuple):
    """A call's rows; and the same by column, where they came so."""

    rows: Sequence[Row]
    columns: Columns | None = None


class RequestError(MLOpsError):
    """A caller's rows that cannot be predicted; the message names row and reason. A retry does not help."""

    retryable = False


class RequestSchema:
    """The rows that a product's callers may send.

    msgspec reads them; it takes nothing that pydantic, a tenth as fast, would not take as the same value, but rounds a
    fraction of a microsecond. What it refuses pydantic explains, or takes after all: times may be written in more ways.

    :param types: the request columns, ``event_time`` among them, and their types.
    :param max_rows: the most rows a call may hold.
    :param timed: whether each row must say its time; one that does not is of now.
    """

    def __init__(self, types: Mapping[str, DataType], max_rows: int = MAX_ROWS, *, timed: bool = True) -> None:
        self.types, self.known, self.timed = types, [*types], timed
        columns = {name: COLUMN_TYPES[kind].json for name, kind in types.items()}
        typed_dict: Any = typing_extensions.TypedDict  # made at run time, which type checkers do not follow
        strict = ConfigDict(extra="forbid", strict=True)
        time: Any = AwareDatetime if timed else typing_extensions.NotRequired[AwareDatetime]
        row: Any = typed_dict("Row", {**columns, EVENT_TIME: time})
        row.__pydantic_config__ = strict
        rows = Annotated[list[row], Field(min_length=1, max_length=max_rows)]
        request = typed_dict("Request", {"rows": rows})
        request.__pydantic_config__ = strict
        self._adapter: TypeAdapter[dict[str, list[dict[str, Any]]]] = TypeAdapter(request)
        kinds = {name: _FAST[kind] for name, kind in types.items()} | {EVENT_TIME: _TIME}
        # Any text may be a column's name, so the fields have other ones.
        self._fields = {name: f"c{number}" for number, name in enumerate(kinds)}
        self._row: Any
        self._values: Callable[[Row], Iterable[Any]] = msgspec.structs.astuple
        try:
            own = self._row = msgspec.defstruct(
                "Row",
                [(self._fields[name], kind, *self._default(name)) for name, kind in kinds.items()],
                rename={field: name for name, field in self._fields.items()},
                forbid_unknown_fields=True,
                kw_only=True,
                gc=False,
            )
            some: Any = Annotated[list[own], msgspec.Meta(min_length=1, max_length=max_rows)]  # type: ignore[valid-type]
        except ValueError:  # no struct has a name with a quote, a backslash or a control character: rows are dicts
            self._row, self._values = partial(_row, tuple(kinds)), _of_dict
            self._fields = {name: name for name in kinds}
            some = int  # what rows never are: pydantic reads them all
        self._request: Any = msgspec.defstruct("Request", [("rows", some)], forbid_unknown_fields=True)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._request)

    def json_schema(self) -> dict[str, Any]:
        """Return the request as JSON schema without ``$defs``, which an OpenAPI description could not refer to."""
        schema = self._adapter.json_schema()
        schema["properties"]["rows"]["items"] = schema.pop("$defs")["Row"]
        return schema

    def rows(self, body: bytes) -> list[Row]:
        """Return the rows of a JSON body. :raises RequestError: naming row, column, value and what is allowed."""
        try:
            rows: list[Row] = self._decoder.decode(body).rows
        except (msgspec.DecodeError, RecursionError, ValueError):
            try:
                given = self._adapter.validate_json(body)["rows"]
            except ValidationError as error:
                raise RequestError(self._explain(error)) from None
            rows = [self._row(**{self._fields[name]: value for name, value in row.items()}) for row in given]
        if not self.timed:
            self._set_time(rows)
        return rows

    def rows_of(self, given: Sequence[Any]) -> list[Row]:
        """Return rows of plain values by name, of moments or text for times, as of a JSON body. Errors as there."""
        try:
            rows: list[Row] = msgspec.convert({"rows": given}, self._request).rows
        except (msgspec.ValidationError, RecursionError, ValueError):
            try:
                body = json.dumps({"rows": given}, default=datetime.isoformat).encode()
            except (RecursionError, ValueError):
                raise RequestError("the rows are nested too deeply, or hold a number of thousands of digits") from None
            return self.rows(body)
        if not self.timed:
            self._set_time(rows)
        return rows

    def named(self, row: Row) -> dict[str, Any]:
        """Return a row's values by column."""
        return dict(zip(self._fields, self._values(row), strict=True))

    def columns(self, rows: Sequence[Row]) -> Columns:
        """Return rows by column. :raises RequestError: for a time that nanoseconds can't hold."""
        values = zip(*map(self._values, rows), strict=True) if rows else ([] for _ in self.types)
        return Columns(
            {name: _column(name, kind, own) for (name, kind), own in zip(self.types.items(), values, strict=True)}
        )

    def frame(self, rows: Sequence[Row]) -> pd.DataFrame:
        """Return rows as a frame. :raises RequestError: as :meth:`columns`."""
        return self.columns(rows).frame()

    def _default(self, name: str) -> tuple[None, ...]:
        return (None,) if name == EVENT_TIME and not self.timed else ()

    def _set_time(self, rows: Sequence[Row]) -> None:
        now, field = datetime.now(UTC), self._fields[EVENT_TIME]
        for row in rows:
            if isinstance(row, dict):
                row[field] = row[field] or now
            elif getattr(row, field) is None:
                setattr(row, field, now)

    def _explain(self, error: ValidationError) -> str:
        errors = error.errors(include_url=False, include_context=False)
        lines = [self._line(detail) for detail in errors[:MAX_MESSAGES]]
        more = [f"and {len(errors) - MAX_MESSAGES} more"] if len(errors) > MAX_MESSAGES else []
        text = "; ".join(lines + more)
        return text if len(text) <= _MAX_DETAIL else f"{text[:_MAX_DETAIL]}…"

    def _line(self, error: ErrorDetails) -> str:
        path, kind, message = error["loc"], error["type"], error["msg"]
        if len(path) < 3:
            where = f"row {path[1]}" if len(path) == 2 else ".".join(map(str, path)) or "the body"
            return f'{where}: {message}; send {{"rows": [{{{", ".join(self.known)}}}, …]}}'
        where, column = f"row {path[1]}", path[2]
        if kind == "extra_forbidden":
            return f"{where}: unknown column {shortened(column)}; known: {', '.join(self.known)}"
        if kind == "missing":
            return f"{where}: column {column!r} is missing; known: {', '.join(self.known)}"
        if kind == "timezone_aware":
            message += ", such as 2013-07-01T12:00:00Z"
        return f"{where}: column {column!r}: {message}, not {shortened(error['input'])}"


def _row(names: Sequence[str], /, **values: Any) -> dict[str, Any]:
    return {name: values.get(name) for name in names}


def _of_dict(row: dict[str, Any]) -> Iterable[Any]:
    return row.values()


def _column(name: str, kind: DataType, values: Sequence[Any]) -> np.ndarray:
    """Return checked values in the type that a column has."""
    return _times(name, values) if kind == "timestamp" else np.array(values, dtype=COLUMN_TYPES[kind].frame)


def _times(name: str, values: Sequence[datetime | None]) -> np.ndarray:
    moments = [_MISSING if value is None else (value - _EPOCH) // _MICROSECOND * 1000 for value in values]
    if moments and not _MISSING <= min(moments) <= max(moments) <= -_MISSING:
        row = next(row for row, moment in enumerate(moments) if not _MISSING <= moment <= -_MISSING)
        raise RequestError(f"row {row}: column {name!r}: a time must lie in 1678 to 2261, not {values[row]}")
    return np.array(moments, dtype="int64").view("datetime64[ns]")


def shortened(value: object) -> str:
    """Return a value's first 80 characters, whatever its size; Python refuses to print a very long whole number."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a whole number of {value.bit_length()} bits"
    return repr(value[:80]) if isinstance(value, str) else f"{value!r:.80}"


def check_times(times: np.ndarray, watermark: datetime) -> None:
    """Refuse rows older than what the online store has, their future. :raises RequestError: naming the first."""
    late = times < np.datetime64(watermark.astimezone(UTC).replace(tzinfo=None))
    if late.any():
        row = int(np.argmax(late))
        raise RequestError(
            f"row {row}: {EVENT_TIME} {pd.Timestamp(times[row], tz='UTC').isoformat()} is before "
            f"{watermark.isoformat()}, up to where the online store already has later features; use batch prediction "
            f"for the past ({int(late.sum())} such rows)"
        )
