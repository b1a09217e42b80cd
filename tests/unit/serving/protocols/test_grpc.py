"""The Open Inference Protocol over gRPC, with the messages of this package."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.serving.server import ModelServer
from tests.factories.protocols import text_bytes
from tests.factories.rpc import ask, listening, raw, tensors
from tests.factories.serving import (
    HeldFeatures,
    StandInFeatures,
    make_release,
    make_rows,
    read_log,
    request_release,
    until,
)

grpc = pytest.importorskip("grpc", reason="needs an extra: pip install 'airflow-mlops-provider[grpc]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rpc")


@pytest.fixture(scope="module")
def channel(product: MLProduct, folder: Path) -> Iterator[Any]:
    with listening(made(product, folder)) as ports, grpc.insecure_channel(f"127.0.0.1:{ports.grpc}") as channel:
        yield channel


def made(product: MLProduct, folder: Path) -> ModelServer:
    request_release(folder, make_release(folder, 1))
    return ModelServer(product, str(folder), StandInFeatures, folder / "log", poll=0.02, ready_within=60)


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


def test_a_caller_who_went_away_costs_no_prediction(product: MLProduct, tmp_path: Path) -> None:
    """Whose connection ends, or who cancels, while the call waits: nothing is looked up, counted or recorded of it."""
    held, rows = HeldFeatures(), make_rows(3)
    request_release(tmp_path, make_release(tmp_path, 1))
    served = ModelServer(product, str(tmp_path), lambda: held, tmp_path / "log", poll=0.02, ready_within=60)
    body = json.dumps({"rows": rows}).encode()
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\nx-request-id: left\r\ncontent-length: {len(body)}\r\n\r\n"
    with (
        listening(served, token="") as ports,
        grpc.insecure_channel(f"127.0.0.1:{ports.grpc}") as channel,
        ThreadPoolExecutor(2) as pool,
    ):

        def post(name: str) -> int:
            url, headers = f"http://127.0.0.1:{ports.http}/predict", {"x-request-id": name}
            return httpx.post(url, content=body, headers=headers, trust_env=False, timeout=30).status_code

        first = pool.submit(post, "first")
        assert held.asked.wait(20)
        left = socket.create_connection(("127.0.0.1", ports.http))
        left.sendall(head.encode() + body)
        until(lambda: ports.queue.waiting == 1)
        cancelled = ask(channel, "ModelInfer", **raw(rows), way="future")
        until(lambda: ports.queue.waiting == 2)
        stays = pool.submit(post, "stays")
        until(lambda: ports.queue.waiting == 3)
        left.close()
        cancelled.cancel()
        until(lambda: [call.gone() or future.done() for call, future, _ in ports.queue._calls] == [True, True, False])
        held.answers.set()
        assert (first.result(), stays.result()) == (200, 200)
        said = httpx.get(f"http://127.0.0.1:{ports.http}/metrics", trust_env=False).text
    assert 'mlops_serving_requests_total{product="tiny_shop",status="499"} 1.0' in said
    assert 'mlops_serving_rows_total{product="tiny_shop"} 6.0' in said
    assert set(read_log(tmp_path / "log")["request_id"]) == {"first", "stays"}


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
    with listening(made(product, tmp_path), (certificate, key)) as (_, port, *_):
        trusted = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{port}", trusted) as channel:
            assert ask(channel, "ModelInfer", **raw(make_rows(3))).outputs
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9)
            assert b"inference" not in plain.recv(100)
