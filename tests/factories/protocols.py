"""The same rows in each protocol of the model server, and what it answers, as the numbers of the first field."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import ipc

from airflow_mlops_provider.serving.protocols.arrow import ARROW

Row = Mapping[str, Any]
#: Asks a server at a base URL (of a client that knows it) for the predictions of some rows of a model.
Ask = Callable[[httpx.Client, str, Sequence[Row]], list[float]]
TYPES = {"customer": "BYTES", "price": "FP64", "pieces": "INT64", "event_time": "BYTES"}
NUMPY = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "BOOL": "?"}


def by_column(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return rows as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def text_bytes(values: Sequence[str]) -> bytes:
    """Return text as the bytes of a BYTES tensor."""
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


def infer_json(rows: Sequence[Row], types: Mapping[str, str] = TYPES, **further: Any) -> dict[str, Any]:
    """Return an inference request with its tensors as JSON."""
    inputs = [
        {"name": name, "shape": [len(values)], "datatype": types[name], "data": values}
        for name, values in by_column(rows).items()
    ]
    return {"inputs": inputs, **further}


def infer_binary(rows: Sequence[Row], types: Mapping[str, str] = TYPES) -> tuple[bytes, dict[str, str]]:
    """Return an inference request with its tensors behind the JSON, and its headers."""
    inputs, behind = [], []
    for name, values in by_column(rows).items():
        gaps = [value is None for value in values]
        if types[name] == "BYTES":
            parts = [(name, "BYTES", text_bytes(["" if value is None else value for value in values]))]
            parts += [(f"{name}.missing", "BOOL", np.array(gaps).tobytes())] if any(gaps) else []
        else:
            filled = [np.nan if value is None else value for value in values]
            parts = [(name, types[name], np.array(filled, NUMPY[types[name]]).tobytes())]
        for own, kind, data in parts:
            sized = {"binary_data_size": len(data)}
            inputs.append({"name": own, "shape": [len(values), 1], "datatype": kind, "parameters": sized})
            behind.append(data)
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return b"".join((head, *behind)), {"inference-header-content-length": str(len(head))}


def of_binary(answer: httpx.Response) -> list[float]:
    """Return the first output that an answer has behind its JSON."""
    length = int(answer.headers["inference-header-content-length"])
    output = json.loads(answer.content[:length])["outputs"][0]
    numbers = answer.content[length : length + output["parameters"]["binary_data_size"]]
    return [float(value) for value in np.frombuffer(numbers, NUMPY[output["datatype"]])]


def _checked(answer: httpx.Response) -> httpx.Response:
    assert answer.status_code == 200, answer.text[:500]
    return answer


def ask_json(client: httpx.Client, model: str, rows: Sequence[Row]) -> list[float]:
    """Ask as JSON."""
    answer = _checked(client.post("/predict", json={"rows": rows})).json()
    return [next(value for name, value in said.items() if name != "id") for said in answer["predictions"]]


def ask_infer(client: httpx.Client, model: str, rows: Sequence[Row]) -> list[float]:
    """Ask in the Open Inference Protocol, as JSON."""
    answer = _checked(client.post(f"/v2/models/{model}/infer", json=infer_json(rows))).json()
    data: list[float] = answer["outputs"][0]["data"]
    return data


def ask_infer_binary(client: httpx.Client, model: str, rows: Sequence[Row]) -> list[float]:
    """Ask in the Open Inference Protocol, as bytes."""
    body, headers = infer_binary(rows)
    return of_binary(_checked(client.post(f"/v2/models/{model}/infer", content=body, headers=headers)))


def ask_arrow(client: httpx.Client, model: str, rows: Sequence[Row]) -> list[float]:
    """Ask in Arrow, and be answered so."""
    headers = {"content-type": ARROW, "accept": ARROW}
    answer = _checked(client.post("/predict", content=arrow_bytes(arrow_table(rows)), headers=headers))
    assert answer.headers["content-type"] == ARROW
    return [float(value) for value in read_arrow(answer.content).column(1).to_pylist()]


def arrow_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as Arrow; moments as such."""
    columns: dict[str, Any] = by_column(rows)
    moments = [value and datetime.fromisoformat(value) for value in columns["event_time"]]
    return pa.table({**columns, "event_time": pa.array(moments, pa.timestamp("us", "Europe/Vienna"))})


def arrow_bytes(table: pa.Table, **options: Any) -> bytes:
    """Return a table as a stream."""
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, 700)
    return sink.getvalue()


def read_arrow(body: bytes) -> pa.Table:
    """Return the table of a stream."""
    with ipc.open_stream(body) as reader:
        return reader.read_all()


def _values(client: httpx.Client, path: str, body: Any, key: str) -> list[float]:
    values: list[float] = _checked(client.post(path, json=body)).json()[key]
    return values


def ask_split(client: httpx.Client, model: str, rows: Sequence[Row]) -> list[float]:
    """Ask as MLflow's client does of a frame."""
    split = {"columns": [*rows[0]], "data": [[*row.values()] for row in rows]}
    return _values(client, "/invocations", {"dataframe_split": split}, "predictions")


def ask_csv(client: httpx.Client, model: str, rows: Sequence[Row]) -> list[float]:
    """Ask with CSV."""
    text = pd.DataFrame(rows).to_csv(index=False)
    answer = _checked(client.post("/invocations", content=text, headers={"content-type": "text/csv; charset=utf-8"}))
    values: list[float] = answer.json()["predictions"]
    return values


#: Each way over HTTP.
WAYS: dict[str, Ask] = {
    "json": ask_json,
    "infer": ask_infer,
    "infer_binary": ask_infer_binary,
    "arrow": ask_arrow,
    "split": ask_split,
    "csv": ask_csv,
    "records": lambda client, _, rows: _values(client, "/invocations", {"dataframe_records": rows}, "predictions"),
    "inputs": lambda client, _, rows: _values(client, "/invocations", {"inputs": by_column(rows)}, "predictions"),
    "tf_rows": lambda client, model, rows: _values(
        client, f"/v1/models/{model}:predict", {"instances": rows}, "predictions"
    ),
    "tf_columns": lambda client, model, rows: _values(
        client, f"/v1/models/{model}/versions/1:predict", {"inputs": by_column(rows)}, "outputs"
    ),
}
