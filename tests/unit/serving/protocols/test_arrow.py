"""Rows in Arrow: right answers, and whatever else comes a clear refusal that costs no memory."""

from __future__ import annotations

import random
import struct
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.problems.base import Problem
from airflow_mlops_provider.problems.multilabel_classification import MultilabelClassification
from airflow_mlops_provider.serving.protocols import arrow
from airflow_mlops_provider.serving.protocols.arrow import ARROW, ArrowOut, read_table, rows_of_table
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema
from airflow_mlops_provider.serving.responses import Said
from tests.factories.protocols import arrow_bytes, arrow_table, read_arrow
from tests.factories.serving import make_rows

IN, OUT = {"content-type": ARROW}, {"accept": ARROW}


@pytest.fixture
def schema(product: MLProduct) -> RequestSchema:
    return RequestSchema(product.scoring.row_columns)


def test_in_and_out_each_by_itself(client: TestClient) -> None:
    """Arrow in and JSON out, JSON in and Arrow out, or both: the same answers, and in Arrow whose they are."""
    rows = make_rows(2300)
    plain = client.post("/predict", json={"rows": rows}).json()["predictions"]
    body = arrow_bytes(arrow_table(rows))
    by_json = client.post("/predict", content=body, headers=IN).json()["predictions"]
    assert [said["probability"] for said in by_json] == [said["probability"] for said in plain]
    for answer in (
        client.post("/predict", json={"rows": rows}, headers={**OUT, "x-request-id": "mine"}),
        client.post("/predict", content=body, headers={**IN, **OUT, "x-request-id": "mine"}),
    ):
        table = read_arrow(answer.content)
        assert table["probability"].to_pylist() == [said["probability"] for said in plain]
        assert table["id"].to_pylist()[:2] == ["mine-0", "mine-1"]
        assert table.schema.metadata == {b"product": b"tiny_shop", b"version": b"1"}
        assert [len(chunk) for chunk in table["id"].chunks] == [1000, 1000, 300]
    refused = client.post("/predict", content=b"[]", headers={**IN, **OUT})
    assert refused.status_code == 422 and refused.headers["content-type"] == "application/json"
    assert "no Arrow stream" in refused.json()["detail"]


@pytest.mark.parametrize("problem", [MultilabelClassification(labels=("late", "dear"))])
def test_answers_of_several_numbers_are_nested(problem: Problem) -> None:
    """Lists stay lists, and numbers by name a struct, also where the first row has none."""
    said = Said("shop", 1, "call", [{"prediction": [], "probabilities": {"late": 0.1, "dear": 0.2}}])
    table = read_arrow(ArrowOut().answer(said))
    assert table.to_pylist()[0]["probabilities"] == {"late": 0.1, "dear": 0.2}
    assert table.schema.field("prediction").type == pa.list_(pa.string())


def changed(name: str, values: Any, kind: pa.DataType) -> pa.Table:
    """Return two rows with one column changed."""
    table = arrow_table(make_rows(2))
    return table.set_column(table.column_names.index(name), name, pa.array(values, kind))


@pytest.mark.parametrize("table", [
    changed("customer", ["c0", "c1"], pa.large_string()),
    changed("customer", ["c0", "c1"], pa.string_view()),
    changed("customer", ["c0", "c1"], pa.dictionary(pa.int8(), pa.string())),
    changed("customer", [None, "c1"], pa.string_view()),
    changed("customer", [None, None], pa.null()),
    changed("price", [1, 2], pa.int32()),
    changed("price", [1.5, None], pa.float32()),
    changed("price", [float("nan"), None], pa.float64()),
    changed("price", [2**53 + 1, None], pa.int64()),
    changed("pieces", [1, 2], pa.uint8()),
    changed("event_time", ["2020-01-03T00:00:00Z", "2020-01-03T02:00:00+02:00"], pa.string()),
    changed("event_time", [1578009600, 1578009601], pa.timestamp("s", "Asia/Kathmandu")),
    changed("event_time", [1578009600123456789, 1578009600123456499], pa.timestamp("ns", "UTC")),
])  # fmt: skip
def test_each_fitting_type_is_what_json_makes_of_it(schema: RequestSchema, table: pa.Table) -> None:
    """Whether by column or by row, a call's values are those of the same rows as JSON, also in several batches."""
    for compression in (None, "zstd", "lz4"):
        read = rows_of_table(schema, read_table(arrow_bytes(table, compression=compression)))
        by_row = schema.columns(read.rows)
        if read.columns is not None:
            for name, values in by_row.items():
                assert read.columns[name].dtype == values.dtype, name
                assert repr(read.columns[name].tolist()) == repr(values.tolist()), name


@pytest.mark.parametrize(("table", "why"), [
    (changed("price", ["a", "b"], pa.string()), "column 'price': string does not fit; send numbers"),
    (changed("price", [float("inf"), 1], pa.float64()), "row 0: column 'price': a number must be finite, not inf"),
    (changed("price", [1, 2], pa.decimal128(5)), "does not fit"),
    (changed("price", [[1], [2]], pa.list_(pa.float64())), "does not fit"),
    (changed("pieces", [1.0, 2.0], pa.float64()), "column 'pieces': double does not fit; send whole numbers"),
    (changed("pieces", [2**63, 1], pa.uint64()), "column 'pieces'"),
    (changed("pieces", [None, 1], pa.int64()), "row 0: column 'pieces': Input should be a valid integer, not None"),
    (changed("customer", ["a" * 1001, "b"], pa.string()), "row 0: column 'customer': String should have at most 1000"),
    (changed("customer", ["a" * 5000, "b"], pa.string()), "a text of 5000 bytes; 4000 are allowed"),
    (changed("customer", ["a" * 5000, "b"], pa.string_view()), "a text of 5000 bytes"),
    (changed("customer", ["a" * 5000, "b"], pa.dictionary(pa.int8(), pa.string())), "a text of 5000 bytes"),
    (changed("customer", [b"a", b"b"], pa.binary()), "binary does not fit; send text"),
    (changed("event_time", [1, 2], pa.timestamp("us")), "timestamp[us] does not fit; send timestamps with a time zone"),
    (changed("event_time", [2**62, 2], pa.timestamp("s", "UTC")), "column 'event_time'"),
    (changed("event_time", [None, None], pa.null()), "row 0: column 'event_time'"),
    (changed("price", [1.0, 2.0], pa.float64()).drop_columns("pieces"), "column 'pieces' is missing; known: customer"),
    (changed("price", [1.0, 2.0], pa.float64()).append_column("colour", [["a", "b"]]), "unknown column 'colour'"),
    (changed("price", [1.0, 2.0], pa.float64()).append_column("price", [[1.0, 2.0]]), "'price' comes 2 times"),
    (changed("price", [1.0, 2.0], pa.float64()).slice(0, 0), "there are 0 rows; a call may have 1 to 10,000"),
    (pa.table({"price": pa.Array.from_buffers(pa.null(), 2**31 - 1, [None])}), "rows; a call may have 1 to 10,000"),
    (pa.table({"price": pa.nulls(20_000)}), "there are"),
])  # fmt: skip
def test_wrong_tables_are_refused(client: TestClient, table: pa.Table, why: str) -> None:
    """Each is a 422 that says what is wrong with which column."""
    body = arrow_bytes(table) if table.num_rows < 2**20 else _of_nothing(table)
    answer = client.post("/predict", content=body, headers=IN)
    assert answer.status_code == 422 and why in answer.json()["detail"], answer.text


def _of_nothing(table: pa.Table) -> bytes:
    """Return a stream of one batch, of however many rows: of nulls there is nothing to write."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_batch(table.to_batches()[0])
    return sink.getvalue().to_pybytes()


def test_bombs_are_refused_before_they_are_decoded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said to decode to more than a call may have is not decoded, whether it is true or a lie."""
    bomb = pa.table({"customer": pa.array(["a" * 2_000_000] * 100)})
    body = arrow_bytes(bomb, compression="zstd")
    assert len(body) < 1_000_000
    before = pa.total_allocated_bytes()
    answer = client.post("/predict", content=body, headers=IN)
    assert answer.status_code == 422 and "decoded, a call may have" in answer.json()["detail"]
    honest = arrow_bytes(arrow_table(make_rows(50)), compression="zstd")
    sizes = {struct.pack("<q", 50 * 8)}
    lying = honest
    for size in sizes:
        assert size in honest
        lying = honest.replace(size, struct.pack("<q", 2**45))
    answer = client.post("/predict", content=lying, headers=IN)
    assert answer.status_code == 422 and "decoded, a call may have" in answer.json()["detail"]
    assert pa.total_allocated_bytes() - before < 50_000_000
    monkeypatch.setattr(arrow, "MAX_DECODED", 500)
    answer = client.post("/predict", content=arrow_bytes(arrow_table(make_rows(50))), headers=IN)
    assert answer.status_code == 422 and "decoded, a call may have 500 bytes" in answer.json()["detail"]


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_broken_streams_are_refused(schema: RequestSchema, compression: str | None) -> None:
    """Cut short anywhere, or with any byte changed: rows, or a refusal, and nothing else."""
    whole, chance, refused = arrow_bytes(arrow_table(make_rows(20)), compression=compression), random.Random(3), 0
    cut = [whole[:length] for length in range(0, len(whole) - 9, 7)]
    flipped = []
    for _ in range(1500):
        body = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 8))):
            body[chance.randrange(len(body))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        flipped.append(bytes(body))
    for body in (*cut, *flipped, b"", b"ARROW1\0\0", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\0" * 64):
        try:
            rows_of_table(schema, read_table(body))
        except RequestError:
            refused += 1
    assert refused > len(cut) // 2
