"""Rows as Arrow's IPC stream, in and out: columns stay columns. And CSV, which Arrow reads."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, ipc

from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.lifecycle.source import DataType
from airflow_mlops_provider.serving.prediction_log import row_ids
from airflow_mlops_provider.serving.protocols.flatbuffers import decoded_bytes
from airflow_mlops_provider.serving.protocols.given import (
    MAX_BYTES,
    Values,
    check_count,
    check_names,
    rows_by_column,
)
from airflow_mlops_provider.serving.request_queue import MAX_BODY
from airflow_mlops_provider.serving.request_schema import MAX_ROWS, RequestError, RequestSchema, Rows
from airflow_mlops_provider.serving.responses import AS_JSON, Form, Said

ARROW = "application/vnd.apache.arrow.stream"
#: Bytes that a call may have once it is not compressed any more; and rows of an answer's batches.
MAX_DECODED, BATCH_ROWS = 4 * MAX_BODY, 1_000
#: What is raised of bytes that are no stream.
UNREADABLE = (pa.ArrowException, ValueError, OSError, MemoryError, KeyError, TypeError, struct.error)
_FIT = {
    "string": "text", "int64": "whole numbers", "float64": "numbers", "bool": "truth values",
    "timestamp": "timestamps with a time zone",
}  # fmt: skip


class ArrowIn(Form):
    """A call in Arrow, answered as JSON."""

    def rows(self, schema: RequestSchema, body: bytes) -> Rows:
        return rows_of_table(schema, read_table(body))


class ArrowOut(Form):
    """A call as JSON, answered in Arrow: batches of so many rows, so that a reader begins with the first."""

    def answer(self, said: Said) -> bytes:
        sink = io.BytesIO()
        table = answer_table(said)
        with ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, BATCH_ROWS)
        return sink.getvalue()

    def headers(self, answer: bytes) -> dict[str, str]:  # noqa: ARG002  # as for every form
        return {"content-type": ARROW}


class ArrowBoth(ArrowIn, ArrowOut):
    """A call in Arrow, answered in Arrow."""


_FORMS = {(False, False): AS_JSON, (True, False): ArrowIn(), (False, True): ArrowOut(), (True, True): ArrowBoth()}


def form_of(content_type: str, accept: str) -> Form:
    """Return how a call of ``/predict`` is written, and is to be answered, by its headers."""
    return _FORMS[content_type.strip().lower().startswith(ARROW), ARROW in accept.lower()]


def read_table(body: bytes) -> pa.Table:
    """Return what an IPC stream holds. :raises RequestError: if it is none, or holds more than a call may."""
    try:
        sizes, schema = 0, None
        for message in messages(body):
            sizes += decoded_bytes(message)
            if sizes > MAX_DECODED:
                raise RequestError(f"decoded, a call may have {MAX_DECODED:,} bytes; send the rows in several calls")
        batches, rows = [], 0
        with ipc.open_stream(body) as reader:
            schema = reader.schema
            _ = schema.names  # of bytes that are no text, which is said here
            for batch in reader:
                rows += batch.num_rows
                if rows > MAX_ROWS:
                    check_count(rows)
                batch.validate(full=True)
                batches.append(batch)
        return pa.Table.from_batches(batches, schema)
    except UNREADABLE as error:
        raise RequestError(f"the body is no Arrow stream: {str(error)[:200]}") from None


def rows_of_table(schema: RequestSchema, table: pa.Table) -> Rows:
    """Return a table's rows. :raises RequestError: naming column and reason."""
    check_names(schema, table.column_names)
    check_count(table.num_rows)
    return rows_by_column(schema, {name: _values(name, schema.types[name], table[name]) for name in table.column_names})


def rows_of_csv(schema: RequestSchema, body: bytes) -> Rows:
    """Return the rows of a CSV whose first line names the columns; an empty field is missing, unless it is quoted."""
    types = {name: COLUMN_TYPES[kind].arrow for name, kind in schema.types.items()}
    try:
        table = csv.read_csv(
            pa.BufferReader(body), csv.ReadOptions(use_threads=False), csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True),
        )  # fmt: skip
    except (pa.ArrowException, ValueError) as error:
        raise RequestError(f"the body is no CSV of these columns: {str(error)[:300]}") from None
    return rows_of_table(schema, table)


def messages(body: Any) -> Iterator[Any]:
    """Return the messages of a stream, not decoded. :raises RequestError: for one of a kind that no call has."""
    reader = ipc.MessageReader.open_stream(body)
    with suppress(StopIteration):
        while message := reader.read_next_message():
            if message.type not in {"schema", "record batch", "dictionary"}:
                raise RequestError(f"the stream holds a {message.type}; send schema, dictionaries and record batches")
            yield message


def plain_table(batch: pa.RecordBatch) -> pa.Table:
    """Return a batch without dictionaries. :raises RequestError: if that were much more than what came."""
    table = pa.Table.from_batches([batch])
    named = zip(table.column_names, table.columns, strict=True)
    return pa.Table.from_arrays([_decoded(name, column) for name, column in named], table.column_names)


def _values(name: str, kind: DataType, column: pa.ChunkedArray) -> Values:
    """Return a column as :class:`~...models.columns.Columns` has it; objects, where whole numbers are missing."""
    try:
        own = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not pa.types.is_null(own) and not _fits(own, kind):
            raise RequestError(f"column {name!r}: {str(column.type)[:60]} does not fit; send {_FIT[kind]}")
        array = _decoded(name, column)
        if kind == "timestamp" and not _is_text(own):
            return _objects(array.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()), -(2**63)).view("datetime64[ns]")
        if kind == "float64":
            return _objects(array.cast(pa.float64(), safe=False), np.nan)
        array = array.cast(pa.string() if kind == "timestamp" else COLUMN_TYPES[kind].arrow)
        if array.null_count and kind == "int64":
            return np.array(array.to_pylist(), dtype=object)
        values: Values = array.to_numpy(zero_copy_only=False)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise RequestError(f"column {name!r}: {str(error)[:200]}") from None
    return values


def _objects(array: pa.Array, gap: float) -> Values:
    values: Values = array.fill_null(gap).to_numpy(zero_copy_only=False)
    return values


def _decoded(name: str, column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece, and without a dictionary, once that can't be much more than what came."""
    chunks = []
    for chunk in column.chunks:
        texts = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
        if _is_text(texts.type) and len(texts) and (longest := _longest(texts)) > MAX_BYTES:
            raise RequestError(f"column {name!r} has a text of {longest} bytes; {MAX_BYTES} are allowed")
        chunks.append(chunk.dictionary_decode() if texts is not chunk else chunk)
    return pa.concat_arrays(chunks)


def _longest(texts: pa.Array) -> int:
    if pa.types.is_string_view(texts.type):
        # Each view begins with its text's length; many may be of the same bytes.
        views = np.frombuffer(texts.buffers()[1], "<i4")[::4][texts.offset : texts.offset + len(texts)]
        return int(views[np.asarray(texts.is_valid())].max(initial=0))
    return pc.max(pc.binary_length(texts)).as_py() or 0


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _fits(own: pa.DataType, kind: DataType) -> bool:
    types = pa.types
    fits = {
        "string": _is_text(own),
        "int64": types.is_integer(own),
        "float64": types.is_integer(own) or types.is_floating(own),
        "bool": types.is_boolean(own),
        "timestamp": _is_text(own) or (types.is_timestamp(own) and own.tz is not None),
    }
    return bool(fits[kind])


def answer_table(said: Said) -> pa.Table:
    """Return what a call is answered, a row for each."""
    columns = {"id": pa.array(row_ids(said.request_id, len(said.answers)), pa.string())}
    for field, value in said.answers[0].items():
        columns[field] = pa.array([answer[field] for answer in said.answers], _type(value))
    about = {"product": said.product, "version": str(said.version)}
    return pa.table(columns).replace_schema_metadata(about)


def _type(value: Any) -> pa.DataType:
    if isinstance(value, dict):
        return pa.struct([(name, pa.float64()) for name in value])
    if isinstance(value, list):
        return pa.list_(pa.string())
    return {bool: pa.bool_(), float: pa.float64()}.get(type(value), pa.string())
