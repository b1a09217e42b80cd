"""Tensors of the Open Inference Protocol: one for each column, of ``[rows]`` or ``[rows, 1]``.

Numbers that are missing are NaN; of text and times a BOOL tensor ``COLUMN.missing`` says which are. In JSON they are
null. Times are text (ISO 8601) or whole nanoseconds since 1970 in UTC.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from airflow_mlops_provider.lifecycle.source import DataType
from airflow_mlops_provider.serving.protocols.given import (
    MAX_BYTES,
    Values,
    check_count,
    check_names,
    missing_at,
    rows_by_column,
)
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema, Rows, shortened

MISSING = ".missing"
BYTES = "BYTES"
NUMPY = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_WHOLE = tuple(name for name in NUMPY if "INT" in name)
#: Which tensors a column may come as; the first is what the metadata says.
DATATYPES: Mapping[DataType, tuple[str, ...]] = {
    "string": (BYTES,),
    "int64": ("INT64", *_WHOLE),
    "float64": ("FP64", "FP32", "FP16", *_WHOLE),
    "bool": ("BOOL",),
    "timestamp": (BYTES, "INT64"),
}
_PLAIN: Mapping[str, tuple[type, ...]] = {
    BYTES: (str,),
    "BOOL": (bool,),
    **dict.fromkeys(_WHOLE, (int,)),
    **dict.fromkeys(("FP16", "FP32", "FP64"), (int, float)),
}


class Tensor(NamedTuple):
    """A column as it comes. :param data: plain values, bytes as they travel, or None where there are neither."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any] | memoryview | None


def rows_of_tensors(schema: RequestSchema, tensors: Sequence[Tensor]) -> Rows:
    """Return the rows that some tensors hold. :raises RequestError: naming tensor and reason."""
    columns = [tensor for tensor in tensors if tensor.name in schema.types or not _column(tensor.name, schema)]
    gaps = [tensor for tensor in tensors if tensor.name not in schema.types and _column(tensor.name, schema)]
    check_names(schema, [tensor.name for tensor in columns])
    if len({tensor.name for tensor in gaps}) < len(gaps):
        raise RequestError(f"inputs of what is {MISSING[1:]} come twice")
    for tensor in tensors:
        _check(tensor, schema.types.get(tensor.name, "bool"))
    if len({tensor.shape[0] for tensor in tensors}) > 1:
        raise RequestError(f"the inputs differ in rows: { {tensor.name: tensor.shape[0] for tensor in tensors} }")
    given = {tensor.name: _values(tensor, schema.types[tensor.name]) for tensor in columns}
    for tensor in gaps:
        if (name := _column(tensor.name, schema)) in given:
            given[name] = missing_at(given[name], _values(tensor, "bool").astype(bool))
    return rows_by_column(schema, given)


def datatype_of(values: Sequence[Any]) -> str:
    """Return as which tensor an answer's field goes; what is a list goes as JSON text."""
    return {bool: "BOOL", float: "FP64"}.get(type(values[0]), BYTES)


def texts(values: Sequence[Any]) -> list[str]:
    """Return text as it is, and lists as JSON text."""
    return [value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in values]


def as_bytes(datatype: str, values: Sequence[Any]) -> bytes:
    """Return values as the bytes in which they travel."""
    if datatype != BYTES:
        return np.array(values, dtype=NUMPY[datatype]).tobytes()
    parts = [text.encode() for text in texts(values)]
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def _column(name: str, schema: RequestSchema) -> str:
    column = name.removesuffix(MISSING)
    return column if column != name and column in schema.types else ""


def _check(tensor: Tensor, kind: DataType) -> None:
    """Refuse what can't be read, before anything is made of it."""
    where, allowed = f"input {tensor.name!r}", DATATYPES[kind]
    if tensor.datatype not in allowed:
        raise RequestError(f"{where}: datatype {tensor.datatype[:20]!r} does not fit; send {' or '.join(allowed)}")
    if not 1 <= len(tensor.shape) <= 2 or [*tensor.shape[1:]] not in ([], [1]):
        raise RequestError(f"{where}: shape {[*tensor.shape[:9]]} does not fit; send [rows] or [rows, 1]")
    check_count(tensor.shape[0])
    if tensor.data is None:
        raise RequestError(f"{where} has no data")


def _values(tensor: Tensor, kind: DataType) -> Values:
    """Return a tensor as the array that its column is; of objects, where whole numbers or truth values are missing."""
    try:
        read = _read(tensor)
        if kind == "float64":
            return read.astype("float64")
        if kind == "timestamp" and tensor.datatype != BYTES:
            return _moments(read)
    except OverflowError as error:
        raise RequestError(f"column {tensor.name!r}: a number is too large: {error}") from None
    if read.dtype == np.uint64 and (over := read > 2**63 - 1).any():
        row = int(np.argmax(over))
        raise RequestError(f"row {row}: column {tensor.name!r}: {read[row]} is too large for int64")
    return read if read.dtype == object else read.astype(kind)


def _read(tensor: Tensor) -> Values:
    data = tensor.data
    if isinstance(data, memoryview):
        return _text_of_bytes(tensor, data) if tensor.datatype == BYTES else _numbers_of_bytes(tensor, data)
    assert data is not None  # checked
    with np.errstate(over="ignore"):  # what is infinite is refused later
        return _of_plain(tensor, _flat(data))


def _moments(values: Values) -> Values:
    if values.dtype == object:
        values = np.array([-(2**63) if value is None else value for value in values.tolist()], dtype="int64")
    return values.astype("int64").view("datetime64[ns]")


def _numbers_of_bytes(tensor: Tensor, data: memoryview) -> Values:
    kind = np.dtype(NUMPY[tensor.datatype])
    _check_length(tensor, data, kind.itemsize * tensor.shape[0])
    if tensor.datatype == "BOOL" and (np.frombuffer(data, "u1") > 1).any():
        raise RequestError(f"input {tensor.name!r}: a BOOL is one byte, 0 or 1")
    return np.frombuffer(data, kind)


def _text_of_bytes(tensor: Tensor, data: memoryview) -> Values:
    values, at, where = [], 0, f"input {tensor.name!r}"
    for row in range(tensor.shape[0]):
        if at + 4 > len(data):
            raise RequestError(f"{where}: its bytes end before row {row}; each value is 4 bytes of length and so many")
        (length,) = struct.unpack_from("<I", data, at)
        end = at + 4 + length
        if length > MAX_BYTES or end > len(data):
            raise RequestError(f"{where}: row {row} is to have {length} bytes, and {len(data) - at - 4} are left")
        values.append(_text(bytes(data[at + 4 : end]), tensor.name, row))
        at = end
    _check_length(tensor, data, at)
    return np.array(values, dtype=object)


def _text(value: bytes, name: str, row: int) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise RequestError(f"row {row}: column {name!r}: its bytes are no UTF-8") from None


def _check_length(tensor: Tensor, data: memoryview, wanted: int) -> None:
    if len(data) != wanted:
        raise RequestError(f"input {tensor.name!r} has {len(data)} bytes; its shape and datatype need {wanted}")


def _flat(data: Sequence[Any]) -> list[Any]:
    """Return the values of ``[rows]``, or of ``[rows, 1]`` in lists of their own."""
    if all(isinstance(value, list) and len(value) == 1 for value in data):
        return [value[0] for value in data]
    return [*data]


def _of_plain(tensor: Tensor, values: list[Any]) -> Values:
    where, types = f"column {tensor.name!r}", _PLAIN[tensor.datatype]
    if len(values) != tensor.shape[0]:
        raise RequestError(f"input {tensor.name!r} has {len(values)} values; its shape says {tensor.shape[0]}")
    for row, value in enumerate(values):
        if isinstance(value, bytes) and tensor.datatype == BYTES:
            values[row] = _text(value, tensor.name, row)
        elif value is not None and type(value) not in types:
            shown = type(value).__name__ if isinstance(value, list | dict) else shortened(value)
            raise RequestError(f"row {row}: {where}: {shown} is no {tensor.datatype}")
    if tensor.datatype.startswith("FP"):
        values = [np.nan if value is None else value for value in values]
    whole = tensor.datatype in NUMPY and None not in values
    return np.array(values, dtype=NUMPY[tensor.datatype] if whole else object)
