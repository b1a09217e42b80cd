"""The pieces of a large call, each a call of its own: read from a file, so that memory holds one of them."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from typing import IO, NamedTuple

import msgspec
import pyarrow as pa
from pyarrow import ipc

from airflow_mlops_provider.serving.prediction_log import row_ids
from airflow_mlops_provider.serving.protocols import arrow
from airflow_mlops_provider.serving.protocols.flatbuffers import decoded_bytes
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema, Rows
from airflow_mlops_provider.serving.responses import AS_JSON, Form, Said

LINES = "application/x-ndjson"
#: Rows of a piece: what others wait for; and the bytes of a line, and after which lines are a piece.
PIECE_ROWS, MAX_LINE, PIECE_BYTES = 1_000, 1024 * 1024, 512 * 1024
_TABLE, _LINES = arrow.ArrowIn(), msgspec.json.Encoder()
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream
_RAW: msgspec.json.Decoder[msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw)


class Piece(NamedTuple):
    """Some rows, as the body of a call. :param first: the place of the first. :param rows: how many there are."""

    body: bytes
    first: int
    rows: int


class Kind(Form):
    """How a large call is written and answered, piece by piece.

    :param given, wanted: :data:`LINES`, or :data:`~.arrow.ARROW`.
    :param begins: whether the piece is the first.
    """

    def __init__(self, given: str, wanted: str, *, begins: bool = True) -> None:
        self.given, self.wanted, self._begins = given, wanted, begins

    def rows(self, schema: RequestSchema, body: bytes) -> Rows:
        return (AS_JSON if self.given == LINES else _TABLE).rows(schema, body)

    def answer(self, said: Said) -> bytes:
        if self.wanted == LINES:
            named = zip(row_ids(said.request_id, len(said.answers)), said.answers, strict=True)
            return _LINES.encode_lines([{"id": row, "version": said.version, **fields} for row, fields in named])
        table = arrow.answer_table(said)
        versions = pa.array([said.version] * table.num_rows, pa.int64())
        table = table.add_column(1, "version", versions).replace_schema_metadata({"product": said.product})
        (batch,) = table.combine_chunks().to_batches()
        begin = table.schema.serialize().to_pybytes() if self._begins else b""
        return bytes(begin + batch.serialize().to_pybytes())

    def headers(self, answer: bytes) -> dict[str, str]:  # noqa: ARG002  # as for every form
        return {"content-type": self.wanted}

    @property
    def further(self) -> Kind:
        """The form of all pieces but the first."""
        return Kind(self.given, self.wanted, begins=False)

    def broken(self, why: str) -> bytes:
        """Return what comes instead of the rest."""
        return msgspec.json.encode({"detail": why}) + b"\n" if self.wanted == LINES else b""

    @property
    def end(self) -> bytes:
        """What comes behind the last piece."""
        return b"" if self.wanted == LINES else _END

    def pieces(self, file: IO[bytes]) -> Iterator[Piece]:
        """Return the pieces of a file's rows. :raises RequestError: where it holds anything else."""
        file.seek(0)
        first = 0
        for body, rows in _of_lines(file) if self.given == LINES else _of_arrow(file):
            yield Piece(body, first, rows)
            first += rows
        if not first:
            raise RequestError("there are no rows")


def _of_lines(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    rows: list[msgspec.Raw] = []
    size = number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if not line.strip():
            continue
        try:
            rows.append(_RAW.decode(line))
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise RequestError(f"line {number} is no JSON of at most {MAX_LINE:,} bytes: {error}") from None
        size += len(line)
        if len(rows) == PIECE_ROWS or size >= PIECE_BYTES:
            yield _body(rows)
            rows, size = [], 0
    if rows:
        yield _body(rows)


def _body(rows: list[msgspec.Raw]) -> tuple[bytes, int]:
    return b'{"rows":[%b]}' % b",".join(rows), len(rows)


def _of_arrow(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Return slices of the record batches, which lie in the file and not in memory."""
    try:
        held = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        for message in arrow.messages(held):
            if decoded_bytes(message) - len(message.body or b"") > arrow.MAX_DECODED:
                raise RequestError(f"decoded, a batch may have {arrow.MAX_DECODED:,} bytes; write smaller ones")
        with ipc.open_stream(held) as reader:
            _ = reader.schema.names  # of bytes that are no text, which is said here
            for batch in reader:
                batch.validate(full=True)
                for start in range(0, batch.num_rows, PIECE_ROWS):
                    table = arrow.plain_table(batch.slice(start, PIECE_ROWS))
                    sink = io.BytesIO()
                    with ipc.new_stream(sink, table.schema) as writer:
                        writer.write_table(table)
                    yield sink.getvalue(), table.num_rows
    except arrow.UNREADABLE as error:
        raise RequestError(f"the body is no Arrow stream: {str(error)[:200]}") from None
