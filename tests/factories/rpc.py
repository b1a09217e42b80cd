"""A model server that listens as in production, over HTTP and gRPC, and calls of the latter."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from airflow_mlops_provider.serving import listener
from airflow_mlops_provider.serving.app import create_app
from airflow_mlops_provider.serving.request_queue import BODY_SECONDS, RequestQueue
from airflow_mlops_provider.serving.server import ModelServer
from tests.factories.ports import free_port
from tests.factories.protocols import Answers, Row, decoded, infer_binary

SERVICE = "/inference.GRPCInferenceService/"
TOKEN = (("authorization", "Bearer sesame"), ("x-request-id", "mine"))


class Ports(NamedTuple):
    """Where a server listens, its calls that wait, and what ends it."""

    http: int
    grpc: int
    queue: RequestQueue
    server: listener.Server


@contextmanager
def listening(
    served: ModelServer,
    tls: tuple[Path, Path] | None = None,
    token: str = "sesame",
    body_seconds: float = BODY_SECONDS,
    callers: Path | None = None,
) -> Iterator[Ports]:
    """Run a server, until it is left."""
    port = free_port()
    grpc = ("127.0.0.1", port, *(tls or (None, None)))
    app = create_app(served, token=token, body_seconds=body_seconds, grpc=grpc, callers_file=callers)
    with listener.bind_socket("127.0.0.1", 0) as bound:
        running = listener.Server(listener.uvicorn_config(app, "127.0.0.1", 0))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        end = time.monotonic() + 60
        while not running.started:
            assert time.monotonic() < end and thread.is_alive()
            time.sleep(0.02)
        yield Ports(bound.getsockname()[1], port, app.state.queue, running)
        running.should_exit = True
        thread.join(30)


def ask(
    channel: Any, name: str, /, metadata: Any = TOKEN, timeout: float = 30, way: str = "__call__", **fields: Any
) -> Any:
    """Call a method. :param way: ``future`` for a call that goes on meanwhile."""
    from airflow_mlops_provider.serving.protocols.grpc.messages import message

    method = channel.unary_unary(
        f"{SERVICE}{name}",
        request_serializer=lambda fields: (
            fields if isinstance(fields, bytes) else message(f"{name}Request")(**fields).SerializeToString()
        ),
        response_deserializer=message(f"{name}Response").FromString,
    )
    return getattr(method, way)(fields.get("body", fields), metadata=metadata, timeout=timeout)


def raw(rows: Sequence[Row], model: str = "tiny_shop") -> dict[str, Any]:
    """Return rows as tensors with raw contents."""
    content, headers = infer_binary(rows)
    at = int(headers["inference-header-content-length"])
    inputs, contents = [], []
    for tensor in json.loads(content[:at])["inputs"]:
        size = tensor.pop("parameters")["binary_data_size"]
        contents.append(content[at : at + size])
        inputs.append(tensor)
        at += size
    return {"model_name": model, "inputs": inputs, "raw_input_contents": contents}


def tensors(rows: Sequence[Row], model: str = "tiny_shop") -> dict[str, Any]:
    """Return rows as tensors with contents."""
    request = raw(rows, model)
    fields = {"BYTES": "bytes", "FP64": "fp64", "INT64": "int64", "BOOL": "bool"}
    for tensor, data in zip(request["inputs"], request.pop("raw_input_contents"), strict=True):
        plain = decoded(kind := tensor["datatype"], data)
        values = [text.encode() for text in plain] if kind == "BYTES" else plain
        tensor["contents"] = {f"{fields[kind]}_contents": values}
    return request


def infer(channel: Any, request: dict[str, Any]) -> Answers:
    """Ask for predictions, and return each field's."""
    answer = ask(channel, "ModelInfer", **request)
    if answer.raw_output_contents:
        pairs = zip(answer.outputs, answer.raw_output_contents, strict=True)
        return [decoded(output.datatype, data) for output, data in pairs]
    names = {"BYTES": "bytes_contents", "FP64": "fp64_contents", "BOOL": "bool_contents"}
    plain = [list(getattr(output.contents, names[output.datatype])) for output in answer.outputs]
    return [[v.decode() if isinstance(v, bytes) else v for v in values] for values in plain]
