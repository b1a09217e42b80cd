"""The rows that a caller may send: the product's request columns, typed and bounded; errors say what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typing_extensions
from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.lifecycle.source import EVENT_TIME, DataType

MAX_ROWS = 10_000
MAX_MESSAGES = 5
_MAX_DETAIL = 2_000
# What pandas' nanoseconds reach: September 1677 to April 2262.
_MAX_MICROSECONDS = (2**63 - 1) // 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MISSING = np.iinfo(np.int64).min  # pandas' NaT


class RequestError(MLOpsError):
    """A caller's rows that cannot be predicted; the message names row and reason. A retry does not help."""

    retryable = False


class RequestSchema:
    """The rows that a product's callers may send.

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

    def json_schema(self) -> dict[str, Any]:
        """Return the request as JSON schema without ``$defs``, which an OpenAPI description could not refer to."""
        schema = self._adapter.json_schema()
        schema["properties"]["rows"]["items"] = schema.pop("$defs")["Row"]
        return schema

    def rows(self, body: bytes) -> list[dict[str, Any]]:
        """Return the rows of a JSON body. :raises RequestError: naming row, column, value and what is allowed."""
        try:
            return self._adapter.validate_json(body)["rows"]
        except ValidationError as error:
            raise RequestError(self._explain(error)) from None

    def frame(self, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """Return rows as a frame of the request columns. :raises RequestError: for a time that no frame holds."""
        if not self.timed:
            now = datetime.now(UTC)
            rows = [{EVENT_TIME: now, **row} for row in rows]
        columns = {name: _column(name, kind, [row[name] for row in rows]) for name, kind in self.types.items()}
        return pd.DataFrame(columns)

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
            return f"{where}: unknown column {_short(column)}; known: {', '.join(self.known)}"
        if kind == "missing":
            return f"{where}: column {column!r} is missing; known: {', '.join(self.known)}"
        if kind == "timezone_aware":
            message += ", such as 2013-07-01T12:00:00Z"
        return f"{where}: column {column!r}: {message}, not {_short(error['input'])}"


def _column(name: str, kind: DataType, values: list[Any]) -> np.ndarray | pd.DatetimeIndex:
    """Return checked values in the type that a frame needs, so that no cast is left to do."""
    if kind == "timestamp":
        return _times(name, values)
    return np.array(values, dtype=COLUMN_TYPES[kind].frame)


def _times(name: str, values: list[datetime | None]) -> pd.DatetimeIndex:
    moments = [_MISSING if value is None else (value - _EPOCH) // _MICROSECOND for value in values]
    for row, moment in enumerate(moments):
        if moment != _MISSING and abs(moment) > _MAX_MICROSECONDS:
            raise RequestError(f"row {row}: column {name!r}: a time must lie in 1678 to 2261, not {values[row]}")
    exact = np.array([moment if moment == _MISSING else 1000 * moment for moment in moments], dtype="int64")
    return pd.DatetimeIndex(exact.view("datetime64[ns]"), tz="UTC")


def _short(value: object) -> str:
    """Return a value's first 80 characters, whatever its size; Python refuses to print a very long whole number."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a whole number of {value.bit_length()} bits"
    return repr(value[:80]) if isinstance(value, str) else f"{value!r:.80}"


def check_times(times: pd.Series, watermark: datetime) -> None:
    """Refuse rows older than what the online store has, their future. :raises RequestError: naming the first."""
    if times.min() < watermark:
        late = times[times < watermark]
        raise RequestError(
            f"row {late.index[0]}: {EVENT_TIME} {late.iloc[0].isoformat()} is before {watermark.isoformat()}, up to "
            f"where the online store already has later features; use batch prediction for the past "
            f"({len(late)} such rows)"
        )
