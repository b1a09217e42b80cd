"""The Open Inference Protocol over gRPC, with the messages of this package and, where it is there, Triton's client."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.serving import listener
from airflow_mlops_provider.serving.app import create_app
from airflow_mlops_provider.serving.server import ModelServer
from tests.factories.ports import free_port
from tests.factories.protocols import by_column, infer_binary, text_bytes
from tests.factories.serving import StandInFeatures, make_release, make_rows, read_log, request_release

grpc = pytest.importorskip("grpc", reason="needs an extra: pip install 'airflow-mlops-provider[grpc]'")
SERVICE = "/inference.GRPCInferenceService/"
TOKEN = (("authorization", "Bearer sesame"), ("x-request-id", "mine"))


@contextmanager
def listening(product: MLProduct, folder: Path, tls: tuple[Path, Path] | None = None) -> Iterator[int]:
    """Run a server as in production; give gRPC's port."""
    request_release(folder, make_release(folder, 1))
    served = ModelServer(product, str(folder), StandInFeatures, folder / "log", poll=0.02, ready_within=60)
    port = free_port()
    app = create_app(served, token="sesame", grpc=("127.0.0.1", port, *(tls or (None, None))))
    with listener.bind_socket("127.0.0.1", 0) as bound:
        running = listener.Server(listener.uvicorn_config(app, "127.0.0.1", 0))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        end = time.monotonic() + 60
        while not running.started:
            assert time.monotonic() < end and thread.is_alive()
            time.sleep(0.02)
        yield port
        running.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rpc")


@pytest.fixture(scope="module")
def channel(product: MLProduct, folder: Path) -> Iterator[Any]:
    with listening(product, folder) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


def ask(channel: Any, name: str, /, metadata: Any = TOKEN, timeout: float = 30, **fields: Any) -> Any:
    """Call a method."""
    from airflow_mlops_provider.serving.protocols.grpc.messages import message

    method = channel.unary_unary(
        f"{SERVICE}{name}",
        request_serializer=lambda fields: (
            fields if isinstance(fields, bytes) else message(f"{name}Request")(**fields).SerializeToString()
        ),
        response_deserializer=message(f"{name}Response").FromString,
    )
    return method(fields.get("body", fields), metadata=metadata, timeout=timeout)


def tensors(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as tensors with contents."""
    fields = {"customer": "bytes", "price": "fp64", "pieces": "int64", "event_time": "bytes"}
    kinds = {"bytes": "BYTES", "fp64": "FP64", "int64": "INT64", "bool": "BOOL"}
    inputs = []
    for name, values in by_column(rows).items():
        field, gaps = fields[name], [value is None for value in values]
        filled = [
            {"bytes": lambda v: (v or "").encode(), "fp64": lambda v: np.nan if v is None else v}.get(field, int)(value)
            for value in values
        ]
        own = [(name, field, filled)]
        own += [(f"{name}.missing", "bool", gaps)] if field == "bytes" and any(gaps) else []
        inputs += [
            {"name": key, "datatype": kinds[of], "shape": [len(rows)], "contents": {f"{of}_contents": data}}
            for key, of, data in own
        ]
    return {"model_name": "tiny_shop", "inputs": inputs}


def raw(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as tensors with raw contents."""
    content, headers = infer_binary(rows)
    at = int(headers["inference-header-content-length"])
    inputs, contents = [], []
    for tensor in json.loads(content[:at])["inputs"]:
        size = tensor.pop("parameters")["binary_data_size"]
        contents.append(content[at : at + size])
        inputs.append(tensor)
        at += size
    return {"model_name": "tiny_shop", "inputs": inputs, "raw_input_contents": contents}


def test_both_kinds_of_contents_give_the_same_bits(channel: Any, folder: Path) -> None:
    """As contents and raw, nulls among them: what is answered is what the log holds, and names the call."""
    rows = make_rows(50)
    typed = ask(channel, "ModelInfer", **tensors(rows), id="own")
    packed = ask(channel, "ModelInfer", **raw(rows))
    given = list(typed.outputs[0].contents.fp64_contents)
    assert given == np.frombuffer(packed.raw_output_contents[0], "<f8").tolist()
    assert (typed.id, packed.id, typed.model_version) == ("own", "mine", "1")
    logged = read_log(folder / "log").query("request_id == 'mine'")
    assert logged["prediction"].tolist() == given * 2 and set(logged["caller"]) == {"default"}


def test_it_says_what_it_is(channel: Any) -> None:
    """Liveness and readiness to anybody, metadata to callers."""
    assert ask(channel, "ServerLive", metadata=()).live and ask(channel, "ServerReady", metadata=()).ready
    assert ask(channel, "ServerMetadata").name == "tiny_shop"
    assert ask(channel, "ModelReady", name="tiny_shop", version="1").ready
    said = ask(channel, "ModelMetadata", name="tiny_shop")
    assert [tensor.name for tensor in said.inputs] == ["customer", "price", "pieces", "event_time"]
    assert [(tensor.name, tensor.datatype) for tensor in said.outputs] == [("probability", "FP64")]


def changed(**changes: Any) -> dict[str, Any]:
    return {**raw(make_rows(2)), **changes}


@pytest.mark.parametrize(("name", "fields", "code", "why"), [
    ("ModelInfer", changed(model_name="other"), "NOT_FOUND", "unknown model 'other'"),
    ("ModelInfer", changed(model_version="7"), "NOT_FOUND", "version 1 answers, and no other"),
    ("ModelReady", {"name": "other"}, "NOT_FOUND", "unknown model"),
    ("ModelMetadata", {"name": "tiny_shop", "version": "7"}, "NOT_FOUND", "unknown version '7'; live is 1"),
    ("ModelInfer", changed(inputs=[]), "INVALID_ARGUMENT", "there are 0 inputs, and 4 raw contents"),
    ("ModelInfer", {"model_name": "tiny_shop"}, "INVALID_ARGUMENT", "column 'customer' is missing"),
    ("ModelInfer", changed(outputs=[{"name": "much"}]), "INVALID_ARGUMENT", "unknown output 'much'"),
    ("ModelInfer", changed(raw_input_contents=[b""] * 4), "INVALID_ARGUMENT", "bytes"),
    ("ModelInfer", changed(raw_input_contents=[text_bytes(["a"])[:-1]] * 4), "INVALID_ARGUMENT", "'customer'"),
    ("ModelInfer", {"body": b"\xff" * 40}, "INVALID_ARGUMENT", "no ModelInferRequest"),
    ("ModelReady", {"body": b"\xff" * 40}, "INVALID_ARGUMENT", "no ModelReadyRequest"),
    ("ModelInfer", {"body": b"\0" * (17 * 1024 * 1024)}, "RESOURCE_EXHAUSTED", ""),
])  # fmt: skip
def test_wrong_calls_are_refused(channel: Any, name: str, fields: dict[str, Any], code: str, why: str) -> None:
    """Each by the code that fits, with the reason."""
    with pytest.raises(grpc.RpcError) as refused:
        ask(channel, name, **fields)
    assert refused.value.code().name == code and why in refused.value.details(), refused.value


def test_huge_shapes_and_other_types_are_refused(channel: Any) -> None:
    """Before anything is made of them."""
    for shape, datatype, why in (([2**62], "FP64", "1 to 10,000"), ([-1], "FP64", "-1 rows"), ([2], "FP16", "no data")):
        request = tensors(make_rows(2))
        request["inputs"][1] |= {"shape": shape, "datatype": datatype}
        with pytest.raises(grpc.RpcError) as refused:
            ask(channel, "ModelInfer", **request)
        assert refused.value.code().name == "INVALID_ARGUMENT" and why in refused.value.details()


def test_a_token_is_needed_and_a_deadline_kept(channel: Any) -> None:
    """Without a token nothing but the probes; a call whose time is over is ended."""
    for name, fields in (("ModelInfer", changed()), ("ServerMetadata", {}), ("ModelReady", {"name": "tiny_shop"})):
        with pytest.raises(grpc.RpcError) as refused:
            ask(channel, name, metadata=(("authorization", "Bearer wrong"),), **fields)
        assert refused.value.code().name == "UNAUTHENTICATED" and "Authorization" in refused.value.details()
    with pytest.raises(grpc.RpcError) as late:
        ask(channel, "ModelInfer", timeout=0.0001, **changed())
    assert late.value.code().name == "DEADLINE_EXCEEDED"
    assert ask(channel, "ModelInfer", **changed()).outputs


def test_the_certificate_is_that_of_http(product: MLProduct, tmp_path: Path) -> None:
    """With certificate and key it speaks TLS, and nothing else."""
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    with listening(product, tmp_path, (certificate, key)) as port:
        trusted = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{port}", trusted) as channel:
            assert ask(channel, "ModelInfer", **raw(make_rows(3))).outputs
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9)
            assert b"inference" not in plain.recv(100)
