"""The same rows in each protocol of the model server, and what it answers: a list for each field, in their order."""

from __future__ import annotations

import io
import json
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import ipc

from airflow_mlops_provider.serving.protocols.arrow import ARROW
from airflow_mlops_provider.serving.protocols.given import flat
from airflow_mlops_provider.serving.streams.pieces import LINES

Row = Mapping[str, Any]
#: Asks the server that a client knows for the predictions of some rows of a model.
Answers = list[list[Any]]
Ask = Callable[[httpx.Client, str, Sequence[Row]], Answers]
TYPES = {"customer": "BYTES", "price": "FP64", "pieces": "INT64", "event_time": "BYTES"}
NUMPY = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "BOOL": "?"}


def by_column(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return rows as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def text_bytes(values: Sequence[str]) -> bytes:
    """Return text as the bytes of a BYTES tensor."""
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


def datatype(name: str, values: Sequence[Any]) -> str:
    """Return as which tensor a column goes."""
    some = next((value for value in values if value is not None), 0.0)
    return TYPES.get(name) or {str: "BYTES", int: "INT64", bool: "BOOL"}.get(type(some), "FP64")


def infer_json(rows: Sequence[Row], **further: Any) -> dict[str, Any]:
    """Return an inference request with its tensors as JSON."""
    inputs = [
        {"name": name, "shape": [len(values)], "datatype": datatype(name, values), "data": values}
        for name, values in by_column(rows).items()
    ]
    return {"inputs": inputs, **further}


def infer_binary(rows: Sequence[Row]) -> tuple[bytes, dict[str, str]]:
    """Return an inference request with its tensors behind the JSON, and its headers."""
    inputs, behind = [], []
    for name, values in by_column(rows).items():
        gaps, kind = [value is None for value in values], datatype(name, values)
        if kind == "BYTES":
            parts = [(name, "BYTES", text_bytes(["" if value is None else value for value in values]))]
            parts += [(f"{name}.missing", "BOOL", np.array(gaps).tobytes())] if any(gaps) else []
        else:
            filled = [np.nan if value is None else value for value in values]
            parts = [(name, kind, np.array(filled, NUMPY[kind]).tobytes())]
        for own, of, data in parts:
            sized = {"binary_data_size": len(data)}
            inputs.append({"name": own, "shape": [len(values), 1], "datatype": of, "parameters": sized})
            behind.append(data)
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return b"".join((head, *behind)), {"inference-header-content-length": str(len(head))}


def of_binary(answer: httpx.Response) -> Answers:
    """Return the outputs that an answer has behind its JSON."""
    at, columns = int(answer.headers["inference-header-content-length"]), []
    for output in json.loads(answer.content[:at])["outputs"]:
        end = at + output["parameters"]["binary_data_size"]
        columns.append(decoded(output["datatype"], answer.content[at:end]))
        at = end
    assert at == len(answer.content)
    return columns


def decoded(kind: str, data: bytes) -> list[Any]:
    """Return the values of a tensor's bytes."""
    if kind != "BYTES":
        values: list[Any] = np.frombuffer(data, NUMPY[kind]).tolist()
        return values
    texts, at = [], 0
    while at < len(data):
        end = at + 4 + struct.unpack_from("<I", data, at)[0]
        texts.append(data[at + 4 : end].decode())
        at = end
    return texts


def _checked(answer: httpx.Response) -> httpx.Response:
    assert answer.status_code == 200, answer.text[:500]
    return answer


def columns_of(answers: Sequence[Any]) -> Answers:
    """Return answers that are objects, or the one value of each, by column; without ids."""
    if not isinstance(answers[0], dict):
        return [[*answers]]
    return [values for name, values in flat(answers).items() if name != "id"]


def ask_json(client: httpx.Client, model: str, rows: Sequence[Row]) -> Answers:
    """Ask as JSON."""
    return columns_of(_checked(client.post("/predict", json={"rows": rows})).json()["predictions"])


def ask_infer(client: httpx.Client, model: str, rows: Sequence[Row]) -> Answers:
    """Ask in the Open Inference Protocol, as JSON."""
    answer = _checked(client.post(f"/v2/models/{model}/infer", json=infer_json(rows))).json()
    return [output["data"] for output in answer["outputs"]]


def ask_infer_binary(client: httpx.Client, model: str, rows: Sequence[Row]) -> Answers:
    """Ask in the Open Inference Protocol, as bytes."""
    body, headers = infer_binary(rows)
    return of_binary(_checked(client.post(f"/v2/models/{model}/infer", content=body, headers=headers)))


def ask_arrow(client: httpx.Client, model: str, rows: Sequence[Row]) -> Answers:
    """Ask in Arrow, and be answered so."""
    headers = {"content-type": ARROW, "accept": ARROW}
    answer = _checked(client.post("/predict", content=arrow_bytes(arrow_table(rows)), headers=headers))
    assert answer.headers["content-type"] == ARROW
    return columns_of(read_arrow(answer.content).to_pylist())


def arrow_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as Arrow; moments as such."""
    columns: dict[str, Any] = by_column(rows)
    if "event_time" in columns:
        moments = [value and datetime.fromisoformat(value) for value in columns["event_time"]]
        columns["event_time"] = pa.array(moments, pa.timestamp("us", "Europe/Vienna"))
    return pa.table(columns)


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


def _values(client: httpx.Client, path: str, body: Any, key: str) -> Answers:
    answers = _checked(client.post(path, json=body)).json()[key]
    return columns_of(answers) if isinstance(answers, list) else columns_of(zipped(answers))


def zipped(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return columns as rows."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def ask_split(client: httpx.Client, model: str, rows: Sequence[Row]) -> Answers:
    """Ask as MLflow's client does of a frame."""
    split = {"columns": [*rows[0]], "data": [[*row.values()] for row in rows]}
    return _values(client, "/invocations", {"dataframe_split": split}, "predictions")


def ask_csv(client: httpx.Client, model: str, rows: Sequence[Row]) -> Answers:
    """Ask with CSV."""
    text = pd.DataFrame(rows).to_csv(index=False)
    answer = _checked(client.post("/invocations", content=text, headers={"content-type": "text/csv; charset=utf-8"}))
    return columns_of(answer.json()["predictions"])


def ask_lines(client: httpx.Client, model: str, rows: Sequence[Row]) -> Answers:
    """Ask with JSON lines, of which there may be any number."""
    text, headers = "\n".join(map(json.dumps, rows)), {"content-type": LINES}
    answer = _streamed(client, text.encode(), headers)
    return columns_of(_without_version([json.loads(line) for line in answer.text.splitlines()]))


def ask_batches(client: httpx.Client, model: str, rows: Sequence[Row]) -> Answers:
    """Ask with Arrow's record batches, of which there may be any number."""
    body, headers = arrow_bytes(arrow_table(rows), compression="zstd"), {"content-type": ARROW}
    answer = _streamed(client, body, headers)
    return columns_of(_without_version(read_arrow(answer.content).to_pylist()))


def _streamed(client: httpx.Client, body: bytes, headers: dict[str, str]) -> httpx.Response:
    """Ask, again if as many large calls are answered as may be."""
    while (answer := client.post("/predict/stream", content=body, headers=headers)).status_code == 429:
        time.sleep(0.05)
    return _checked(answer)


def _without_version(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    assert {answer.pop("version") for answer in answers} == {1}
    return [*answers]


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
    "stream_lines": ask_lines,
    "stream_arrow": ask_batches,
    "tf_rows": lambda client, model, rows: _values(
        client, f"/v1/models/{model}:predict", {"instances": rows}, "predictions"
    ),
    "tf_columns": lambda client, model, rows: _values(
        client, f"/v1/models/{model}/versions/1:predict", {"inputs": by_column(rows)}, "outputs"
    ),
}
