"""What a large call's file is made of, piece by piece."""

from __future__ import annotations

import io
import json
import tempfile
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops_provider.serving.protocols.arrow import ARROW, read_table
from airflow_mlops_provider.serving.streams import pieces
from airflow_mlops_provider.serving.streams.pieces import LINES, PIECE_ROWS, Kind
from tests.factories.protocols import arrow_bytes


def test_lines_are_pieces_by_number_or_by_size() -> None:
    """Of at most a thousand rows, or half a mebibyte; each a body as /predict takes it, byte for byte as it came."""
    short, long = b'{"a": 1.50}\n', b'{"a": "%b"}\n' % (b"x" * 300_000)
    found = [*Kind(LINES, LINES).pieces(io.BytesIO(short * (PIECE_ROWS + 1) + b"\n" + long * 3))]
    assert [(piece.first, piece.rows) for piece in found] == [(0, 1000), (1000, 3), (1003, 1)]
    assert json.loads(found[0].body) == {"rows": [{"a": 1.5}] * PIECE_ROWS}
    assert b"1.50" in found[0].body


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", None, "b"] * 900),
        pa.array(["a", None, "b"] * 900).dictionary_encode(),
        pa.array([1.5, None, 2.5] * 900),
        pa.array(["a", None, "b"] * 900, pa.string_view()),
    ],
    ids=["text", "dictionary", "numbers", "view"],
)
def test_batches_are_cut(column: Any) -> None:
    """Whatever their size: no piece holds another's values, nor a dictionary that is larger than it."""
    with tempfile.TemporaryFile() as file:
        file.write(arrow_bytes(pa.table({"a": column, "b": range(2700)})))
        file.flush()
        found = [*Kind(ARROW, ARROW).pieces(file)]
    assert [(piece.first, piece.rows) for piece in found] == [(0, 700), (700, 700), (1400, 700), (2100, 600)]
    tables = [read_table(piece.body) for piece in found]
    assert pa.concat_tables(tables)["a"].to_pylist() == column.to_pylist()
    assert not [table for table in tables if pa.types.is_dictionary(table["a"].type)]


def test_the_same_column_twice_stays_twice() -> None:
    """So that it is refused as anywhere else."""
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    with tempfile.TemporaryFile() as file:
        file.write(arrow_bytes(table))
        file.flush()
        (piece,) = Kind(ARROW, ARROW).pieces(file)
    assert read_table(piece.body).column_names == ["a", "a"]


def test_a_file_is_read_as_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to its end before the first piece."""
    monkeypatch.setattr(pieces, "PIECE_ROWS", 2)
    file = io.BytesIO(b'{"a": 1}\n' * 100)
    some = Kind(LINES, LINES).pieces(file)
    next(some)
    assert file.tell() < 50
