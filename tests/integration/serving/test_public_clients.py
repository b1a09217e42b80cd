"""Triton's own clients against the model server; ``.ci/protocols`` installs them, since they pin another protobuf."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from airflow_mlops_provider.serving.server import ModelServer
from tests.factories.protocols import TYPES, ask_json, by_column
from tests.factories.rpc import Ports, listening
from tests.factories.serving import StandInFeatures, make_product, make_release, make_rows, request_release

ROWS = make_rows(200)
pytestmark = pytest.mark.skipif(
    os.environ.get("MLOPS_TEST_PROTOCOLS") != "1", reason="needs tritonclient: .ci/protocols installs it and sets this"
)


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    folder = tmp_path_factory.mktemp("clients")
    product = make_product(folder / "code")
    request_release(folder, make_release(folder, 1))
    served = ModelServer(product, str(folder), StandInFeatures, folder / "log", poll=0.05, ready_within=60)
    with listening(served, token="") as ports:
        yield ports


@pytest.fixture(scope="module")
def expected(ports: Ports) -> list[float]:
    with httpx.Client(base_url=f"http://127.0.0.1:{ports.http}", trust_env=False) as client:
        return ask_json(client, "tiny_shop", ROWS)[0]


def inputs(kind: Any) -> list[Any]:
    """Return the rows as a client's tensors. :param kind: its class of inputs."""
    made = []
    for name, values in by_column(ROWS).items():
        datatype, gaps = TYPES[name], np.array([value is None for value in values])
        plain = [("" if datatype == "BYTES" else np.nan) if value is None else value for value in values]
        dtype = {"BYTES": object, "FP64": "float64", "INT64": "int64"}[datatype]
        tensors = [(name, datatype, np.array(plain, dtype=dtype))]
        tensors += [(f"{name}.missing", "BOOL", gaps)] if datatype == "BYTES" and gaps.any() else []
        for own, of, array in tensors:
            made.append(kind(own, [len(array)], of))
            made[-1].set_data_from_numpy(array)
    return made


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_triton_gets_right_answers(ports: Ports, expected: list[float], protocol: str) -> None:
    """Its clients find the server ready, read what the model takes, and get the bits of /predict."""
    import importlib

    triton = importlib.import_module(f"tritonclient.{protocol}")
    client = triton.InferenceServerClient(f"127.0.0.1:{getattr(ports, protocol)}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("tiny_shop", "1")
    assert "tiny_shop" in str(client.get_model_metadata("tiny_shop"))
    for outputs in (None, [triton.InferRequestedOutput("probability")]):
        answer = client.infer("tiny_shop", inputs(triton.InferInput), outputs=outputs, request_id="mine")
        assert answer.as_numpy("probability").tolist() == expected
    with pytest.raises(triton.InferenceServerException, match="unknown model"):
        client.infer("other", inputs(triton.InferInput))


def test_triton_is_given_the_code_of_a_refusal(ports: Ports, tmp_path: Path) -> None:
    """Over gRPC, a wrong tensor is an invalid argument."""
    import tritonclient.grpc as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{ports.grpc}")
    with pytest.raises(triton.InferenceServerException, match="column 'customer' is missing") as refused:
        client.infer("tiny_shop", inputs(triton.InferInput)[2:])
    assert "INVALID_ARGUMENT" in str(refused.value.status())
