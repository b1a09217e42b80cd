"""Rows in the JSON of others, of which there are two kinds: rows by name, and columns by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from airflow_mlops_provider.serving.protocols.given import check_count, check_names
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema, Rows


def parsed(body: bytes) -> dict[str, Any]:
    """Return a JSON object; NaN, which is no JSON and which pandas writes all the same, is null.

    :raises RequestError: if it is none.
    """
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        try:
            given = json.loads(body, parse_constant=_constant, parse_float=_number)
        except (RecursionError, ValueError) as error:
            raise RequestError(f"the body is no JSON: {str(error)[:200]}") from None
    if not isinstance(given, dict):
        raise RequestError(f"the body must be a JSON object, not {type(given).__name__}")
    return given


def one_of(given: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return which of some keys is there. :raises RequestError: unless it is exactly one."""
    there = [key for key in keys if key in given]
    if len(there) != 1:
        raise RequestError(f"give one of {', '.join(keys)}, not {' and '.join(there) or 'none'}")
    return there[0]


def rows_by_name(schema: RequestSchema, rows: Any, key: str) -> Rows:
    """Return rows that are objects. :raises RequestError: naming row, column and reason."""
    if not isinstance(rows, list):
        raise RequestError(f"{key} must be a list of rows, each an object of {', '.join(schema.known)}")
    check_count(len(rows))
    return Rows(schema.rows_of(rows))


def columns_by_name(schema: RequestSchema, columns: Any, key: str) -> Rows:
    """Return rows of which each column is a list."""
    if not isinstance(columns, dict):
        raise RequestError(f"{key} must be an object of columns: {', '.join(schema.known)}")
    check_names(schema, [*columns])
    if odd := [name for name, values in columns.items() if not isinstance(values, list)]:
        raise RequestError(f"column {odd[0]!r} must be a list of values")
    lengths = {name: len(values) for name, values in columns.items()}
    if len({*lengths.values()}) > 1:
        raise RequestError(f"the columns differ in length: {lengths}")
    check_count(max(lengths.values(), default=0))
    rows = zip(*columns.values(), strict=True)
    return Rows(schema.rows_of([dict(zip(columns, row, strict=True)) for row in rows]))


def split_rows(schema: RequestSchema, split: Any) -> Rows:
    """Return rows that come as lists, with the names of their columns."""
    columns, data = (split.get("columns"), split.get("data")) if isinstance(split, dict) else (None, None)
    if not isinstance(columns, list) or not isinstance(data, list) or {*map(type, columns)} - {str}:
        raise RequestError('dataframe_split must be {"columns": [names], "data": [[values of a row], …]}')
    check_names(schema, columns)
    check_count(len(data))
    if odd := [n for n, row in enumerate(data) if not isinstance(row, list) or len(row) != len(columns)]:
        raise RequestError(f"row {odd[0]} must be a list of {len(columns)} values, one for each column")
    return Rows(schema.rows_of([dict(zip(columns, row, strict=True)) for row in data]))


def answered_by_row(answers: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return answers, each as its value where it has but one."""
    return [*answers] if len(answers[0]) > 1 else [value for said in answers for value in said.values()]


def answered_by_column(answers: Sequence[Mapping[str, Any]]) -> Any:
    """Return the values of all answers, by field where there are several."""
    columns = {field: [said[field] for said in answers] for field in answers[0]}
    return columns if len(columns) > 1 else next(iter(columns.values()))


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is no number that can be given")


def _number(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"{text[:40]} is out of range")
    return value
