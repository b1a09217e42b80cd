"""What a call gives by column, as tensors, Arrow or CSV: made rows, under the same rules as JSON."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES, MAX_TEXT
from airflow_mlops_provider.lifecycle.source import EVENT_TIME, DataType
from airflow_mlops_provider.serving.request_schema import MAX_ROWS, RequestError, RequestSchema, Rows

#: Text as bytes may have this many: more can't be as many letters as a column takes.
MAX_BYTES = 4 * MAX_TEXT
Values = npt.NDArray[Any]


def check_names(schema: RequestSchema, names: Sequence[str]) -> None:
    """Refuse columns that are unknown, come twice or are missing. :raises RequestError: naming the known ones."""
    known = f"known: {', '.join(schema.known)}"
    if unknown := [name for name in names if name not in schema.types]:
        raise RequestError(f"unknown column {unknown[0][:80]!r}; {known}")
    if twice := [name for name in schema.known if names.count(name) > 1]:
        raise RequestError(f"column {twice[0]!r} comes {names.count(twice[0])} times")
    if missing := [name for name in schema.known if name not in names and (schema.timed or name != EVENT_TIME)]:
        raise RequestError(f"column {missing[0]!r} is missing; {known}")


def check_count(rows: int) -> None:
    """Refuse no rows, or too many. :raises RequestError: saying how many there may be."""
    if not 1 <= rows <= MAX_ROWS:
        raise RequestError(f"there are {rows} rows; a call may have 1 to {MAX_ROWS:,}")


def rows_by_column(schema: RequestSchema, given: Mapping[str, Values]) -> Rows:
    """Return rows of which each column's values are given, as :class:`Columns` has them; times may be text as well.

    :param given: checked by :func:`check_names`; of whole numbers and truth values, objects where some are missing.
    """
    lengths = {name: len(values) for name, values in given.items()}
    if len({*lengths.values()}) > 1:
        raise RequestError(f"the columns differ in length: {lengths}")
    check_count(max(lengths.values(), default=0))
    exact = {name: _rounded(values) for name, values in given.items()}
    plain = [_plain(name, values) for name, values in exact.items()]
    rows = schema.rows_of([dict(zip(exact, row, strict=True)) for row in zip(*plain, strict=True)])
    fit = all(name in exact and _is_column(exact[name], kind) for name, kind in schema.types.items())
    return Rows(rows, Columns({name: exact[name] for name in schema.types}) if fit else None)


def missing_at(values: Values, gaps: npt.NDArray[np.bool_]) -> Values:
    """Return values of which some are missing."""
    if not gaps.any():
        return values
    made = values.copy() if values.dtype.kind in "fM" else values.astype(object)
    made[gaps] = {"f": np.nan, "M": np.datetime64("NaT")}.get(values.dtype.kind)
    return made


def flat(answers: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return answers by field; a field of several numbers is one for each, ``FIELD.NAME``."""
    columns: dict[str, list[Any]] = {}
    for field, value in answers[0].items():
        if isinstance(value, Mapping):
            columns |= {f"{field}.{name}": [said[field][name] for said in answers] for name in value}
        else:
            columns[field] = [said[field] for said in answers]
    return columns


def only(names: Collection[str], wanted: Collection[str]) -> None:
    """Refuse outputs that there are not."""
    if unknown := [name for name in wanted if name not in names]:
        raise RequestError(f"unknown output {unknown[0][:80]!r}; known: {', '.join(names)}")


def _rounded(values: Values) -> Values:
    """Return moments in whole microseconds, as all that reads JSON has them."""
    if values.dtype.kind != "M":
        return values
    gaps, moments = np.isnat(values), values.view("int64")
    up = (moments % 1000 >= 500) & (moments < 2**63 - 1000)
    whole = moments // 1000 * 1000 + np.where(up, 1000, 0)
    return np.where(gaps, moments, whole).view("datetime64[ns]")


def _plain(name: str, values: Values) -> list[Any]:
    if values.dtype.kind == "M":
        return [moment and moment.replace(tzinfo=UTC) for moment in values.astype("datetime64[us]").tolist()]
    if values.dtype.kind == "f":
        if (infinite := np.isinf(values)).any():
            row = int(np.argmax(infinite))
            raise RequestError(f"row {row}: column {name!r}: a number must be finite, not {values[row]}")
        return [None if math.isnan(value) else value for value in values.tolist()]
    plain: list[Any] = values.tolist()
    return plain


def _is_column(values: Values, kind: DataType) -> bool:
    wanted = np.dtype("datetime64[ns]") if kind == "timestamp" else COLUMN_TYPES[kind].frame
    return bool(values.dtype == wanted)
