"""Calls in the Open Inference Protocol, version 2: JSON, with tensors in it or as bytes behind it (KServe, Triton).

https://github.com/kserve/open-inference-protocol; the bytes are Triton's extension "binary tensor data".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from fastapi import HTTPException

from airflow_mlops_provider.problems.predictions import Predictions
from airflow_mlops_provider.serving.protocols.given import flat, only
from airflow_mlops_provider.serving.protocols.tensors import (
    DATATYPES,
    Tensor,
    as_bytes,
    datatype_of,
    rows_of_tensors,
    texts,
)
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema, Rows
from airflow_mlops_provider.serving.responses import JSON, Form, Said

HEADER = "inference-header-content-length"
EXTENSIONS = ("binary_tensor_data",)


class Model(NamedTuple):
    """What this server has: its name, and its outputs with their datatypes."""

    name: str
    outputs: Mapping[str, str]


class Named(msgspec.Struct):
    """What every tensor has."""

    name: str
    parameters: dict[str, Any] = {}


class Input(Named, kw_only=True):
    """A tensor of a request."""

    shape: list[Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]]
    datatype: str
    data: list[Any] | None = None


class InferRequest(msgspec.Struct):
    """A request's JSON."""

    inputs: list[Input]
    id: str = ""
    outputs: list[Named] = []
    parameters: dict[str, Any] = {}


class Framed(bytes):
    """An answer with bytes behind its JSON, of which that has so many."""

    json_bytes = 0


_DECODE = msgspec.json.Decoder(InferRequest).decode


class OpenInference(Form):
    """One call. :param length: how many bytes of the body are JSON; None for all."""

    unfit = 400

    def __init__(self, model: Model, name: str, version: str = "", length: str | None = None) -> None:
        self._model, self._name, self._length = model, name, length
        self.version = version_of(version)
        self._request = InferRequest([])

    def rows(self, schema: RequestSchema, body: bytes) -> Rows:
        check_model(self._model.name, self._name)
        whole = memoryview(body)
        rest = len(body) if self._length is None else _number(self._length)
        if rest > len(body):
            raise RequestError(f"{HEADER} is {rest}, and the body has {len(body)} bytes")
        try:
            request = _DECODE(whole[:rest])
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise RequestError(f"the body is no inference request: {error}") from None
        only(self._model.outputs, [output.name for output in request.outputs])
        self._request, tensors = request, []
        for given in request.inputs:
            data: Any = given.data
            if (size := given.parameters.get("binary_data_size")) is not None:
                if data is not None or type(size) is not int or not 0 <= size <= len(body) - rest:
                    raise RequestError(
                        f"input {given.name!r}: binary_data_size is {size!r:.40}, and {len(body) - rest} bytes are "
                        "left behind the JSON; there must be no data beside them"
                    )
                data, rest = whole[rest : rest + size], rest + size
            tensors.append(Tensor(given.name, given.datatype, given.shape, data))
        if self._length is not None and rest < len(body):
            raise RequestError(f"{len(body) - rest} bytes are left behind the last input's")
        return rows_of_tensors(schema, tensors)

    def answer(self, said: Said) -> bytes:
        columns, request = flat(said.answers), self._request
        wanted = {output.name: output.parameters for output in request.outputs} or {name: {} for name in columns}
        outputs, behind = [], []
        for name, parameters in wanted.items():
            values = columns[name]
            kind = datatype_of(values)
            output: dict[str, Any] = {"name": name, "datatype": kind, "shape": [len(values)]}
            if parameters.get("binary_data", request.parameters.get("binary_data_output", False)):
                behind.append(as_bytes(kind, values))
                outputs.append({**output, "parameters": {"binary_data_size": len(behind[-1])}})
            else:
                outputs.append({**output, "data": texts(values) if kind == "BYTES" else values})
        head = {"model_name": said.product, "model_version": str(said.version), "id": request.id or said.request_id}
        text = msgspec.json.encode({**head, "outputs": outputs})
        if not behind:
            return text
        framed = Framed(b"".join((text, *behind)))
        framed.json_bytes = len(text)
        return framed

    def refusal(self, status: int, why: str) -> bytes:  # noqa: ARG002  # as for every form
        return error_json(why)

    def headers(self, answer: bytes) -> dict[str, str]:
        if isinstance(answer, Framed):
            return {"content-type": "application/octet-stream", HEADER: str(answer.json_bytes)}
        return {"content-type": JSON}


def error_json(why: str) -> bytes:
    """Return an error as this protocol, and TensorFlow Serving, have it."""
    return msgspec.json.encode({"error": why})


def error_of(refusal: bytes) -> str:
    """Return what such an error says."""
    return str(msgspec.json.decode(refusal)["error"])


def check_model(model: str, name: str) -> None:
    """Refuse another model's name."""
    if name != model:
        raise HTTPException(404, f"unknown model {name[:80]!r}; this server has {model!r}")


def version_of(version: str) -> int | None:
    """Return a version that a caller names; 0, which none has, for what can't be one."""
    if not version:
        return None
    return int(version) if version.isascii() and version.isdecimal() and len(version) < 10 else 0


def metadata(model: Model, versions: Sequence[str], schema: RequestSchema) -> dict[str, Any]:
    """Return what the protocol says of a model."""
    inputs = [{"name": name, "datatype": DATATYPES[kind][0], "shape": [-1]} for name, kind in schema.types.items()]
    outputs = [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in model.outputs.items()]
    about = {"name": model.name, "versions": [*versions], "platform": "airflow-mlops-provider"}
    return {**about, "inputs": inputs, "outputs": outputs}


def model_of(name: str, problem: Predictions) -> Model:
    """Return what calls must fit of a model, by its kind of problem."""
    width = len(problem.outputs)
    sample = problem.answers(np.zeros((1, width) if width > 1 else 1))
    return Model(name, {name: datatype_of(values) for name, values in flat(sample).items()})


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise RequestError(f"{HEADER} must be a number of bytes, not {text[:40]!r}")
    return int(text)
