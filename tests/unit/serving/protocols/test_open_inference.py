"""The Open Inference Protocol over HTTP: right answers, and each wrong call a clear refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from airflow_mlops_provider.problems.anomaly_detection import AnomalyDetection
from airflow_mlops_provider.problems.base import Problem
from airflow_mlops_provider.problems.binary_classification import BinaryClassification
from airflow_mlops_provider.problems.multiclass_classification import MulticlassClassification
from airflow_mlops_provider.problems.multilabel_classification import MultilabelClassification
from airflow_mlops_provider.problems.regression import Regression
from airflow_mlops_provider.serving.protocols.open_inference import InferRequest, OpenInference, model_of
from airflow_mlops_provider.serving.responses import Said
from tests.factories.protocols import infer_binary, infer_json, of_binary, text_bytes
from tests.factories.serving import make_rows, read_log

INFER = "/v2/models/tiny_shop/infer"
#: What matters beside ordinary rows: letters beyond ASCII, moments elsewhere, the largest numbers.
ODD = [
    {"customer": "c7", "price": 1e308, "pieces": 2**63 - 1, "event_time": "2020-01-03T23:30:00.123456-11:30"},
    {"customer": None, "price": None, "pieces": -(2**63), "event_time": "2020-06-03 01:00:00+05:45"},
    {"customer": "c\u00b2", "price": -0.0, "pieces": 0, "event_time": "2020-01-03T00:00:00Z"},
]


def test_the_same_bits_as_json_and_as_bytes(client: TestClient) -> None:
    """Nulls, letters beyond ASCII, zones and huge numbers: the answers, and the log, are those of /predict."""
    rows = [*make_rows(60), *ODD[:2]]
    plain = client.post("/predict", json={"rows": rows}).json()["predictions"]
    answer = client.post(INFER, json=infer_json(rows, id="mine"), headers={"x-request-id": "as-tensors"})
    body = answer.json()
    assert (body["model_name"], body["model_version"], body["id"]) == ("tiny_shop", "1", "mine")
    (output,) = body["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probability", "FP64", [62])
    assert output["data"] == [said["probability"] for said in plain]
    content, headers = infer_binary(rows)
    assert of_binary(client.post(INFER, content=content, headers=headers)) == [output["data"]]
    assert answer.headers["x-request-id"] == "as-tensors"


def test_what_is_logged_is_what_json_logs(client: TestClient, folder: Path) -> None:
    """The rows of a call by column lie in the log as those of /predict, to the letter."""
    rows = [*make_rows(20), *ODD[:2]]
    content, headers = infer_binary(rows)
    calls = [("plain", {"json": {"rows": rows}}, "/predict"), ("bytes", {"content": content}, INFER)]
    for name, given, path in calls:
        sent = {"x-request-id": name, **(headers if name == "bytes" else {})}
        assert client.post(path, headers=sent, **given).status_code == 200
    logged = read_log(folder / "log")
    plain, binary = (logged.query("request_id == @name") for name in ("plain", "bytes"))
    for column in ("customer", "price", "pieces", "event_time", "inputs", "prediction"):
        assert plain[column].astype(str).tolist() == binary[column].astype(str).tolist(), column


def test_it_says_what_it_is(client: TestClient) -> None:
    """Liveness, readiness, metadata of the server and of the model, with a version or without."""
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/models/tiny_shop", "/v2/models/tiny_shop/versions/1"):
        said = client.get(path).json()
        assert said["versions"] == ["1"]
        assert {tensor["name"]: tensor["datatype"] for tensor in said["inputs"]} == {
            "customer": "BYTES", "price": "FP64", "pieces": "INT64", "event_time": "BYTES",
        }  # fmt: skip
        assert said["outputs"] == [{"name": "probability", "datatype": "FP64", "shape": [-1]}]
        assert client.get(f"{path}/ready").status_code == 200
    for path in ("/v2/models/other", "/v2/models/tiny_shop/versions/2", "/v2/models/other/ready", "/v2/nothing"):
        assert client.get(path).status_code == 404 and set(client.get(path).json()) == {"error"}


@pytest.mark.parametrize(("version", "status"), [("1", 200), ("2", 404), ("01x", 404), ("9" * 30, 404)])
def test_only_the_live_version_answers(client: TestClient, version: str, status: int) -> None:
    """A call that names a version is answered by it, or by none."""
    answer = client.post(f"/v2/models/tiny_shop/versions/{version}/infer", json=infer_json(make_rows(2)))
    assert answer.status_code == status, answer.text
    assert status == 200 or answer.json() == {"error": "version 1 answers, and no other; leave the version out"}
    other = client.post("/v2/models/other/infer", json=infer_json(make_rows(2)))
    assert other.status_code == 404 and other.json()["error"].startswith("unknown model 'other'")


def tensor(of: str, /, **changes: Any) -> dict[str, Any]:
    """Return a request of two rows in which one tensor is changed."""
    request = infer_json(make_rows(2))
    request["inputs"] = [{**own, **(changes if own["name"] == of else {})} for own in request["inputs"]]
    return request


@pytest.mark.parametrize(("request_", "why"), [
    ({}, "no inference request"),
    ({"inputs": []}, "column 'customer' is missing; known: customer"),
    ([], "no inference request"),
    (tensor("price", shape=[3]), "the inputs differ in rows: {'customer': 2, 'price': 3"),
    (tensor("price", data=[1.0]), "has 1 values; its shape says 2"),
    (tensor("price", shape=[-2]), "there are -2 rows; a call may have 1 to 10,000"),
    (tensor("price", shape=[2**62]), "a call may have 1 to 10,000"),
    (tensor("price", shape=[2**70]), "no inference request"),
    ({"inputs": [{"name": "price", "shape": [10**4000], "datatype": "FP64"}]}, "no inference request"),
    (tensor("price", shape=[2, 2]), "shape [2, 2] does not fit; send [rows] or [rows, 1]"),
    (tensor("price", shape=[]), "send [rows] or [rows, 1]"),
    (tensor("price", shape=[1], data=[1.0]), "differ in rows"),
    (tensor("price", datatype="BYTES"), "datatype 'BYTES' does not fit; send FP64 or FP32"),
    (tensor("price", datatype="FP99"), "datatype 'FP99' does not fit"),
    (tensor("price", data=["a", 1.0]), "row 0: column 'price': 'a' is no FP64"),
    (tensor("price", data=[1.0, True]), "row 1: column 'price': True is no FP64"),
    (tensor("price", data=[[1.0], [2.0, 3.0]]), "row 0: column 'price': list is no FP64"),
    (tensor("price", data=[10**400, 1.0]), "too large"),
    (tensor("price", datatype="FP32", data=[1e300, 1.0]), "row 0: column 'price': a number must be finite"),
    (tensor("pieces", data=[2**63, 1]), "column 'pieces': a number is too large"),
    (tensor("pieces", datatype="UINT64", data=[1, 2**63]), "row 1: column 'pieces': 9223372036854775808 is too large"),
    (tensor("pieces", datatype="INT8", data=[1, 300]), "column 'pieces': a number is too large"),
    (tensor("pieces", data=[None, 1]), "row 0: column 'pieces': Input should be a valid integer, not None"),
    (tensor("pieces", data=[1.0, 1]), "row 0: column 'pieces': 1.0 is no INT64"),
    (tensor("customer", data=["a" * 1001, "b"]), "row 0: column 'customer': String should have at most 1000"),
    (tensor("customer", data=[5, "b"]), "row 0: column 'customer': 5 is no BYTES"),
    (tensor("event_time", data=["soon", "later"]), "row 0: column 'event_time': Input should be a valid datetime"),
    (tensor("event_time", data=[None, "2020-01-03T00:00:00Z"]), "row 0: column 'event_time'"),
    (tensor("event_time", data=["2020-01-03T00:00:00"] * 2), "timezone"),
    (tensor("event_time", datatype="INT64", data=[2**63, 0]), "too large"),
    (tensor("price", name="colour"), "unknown column 'colour'; known: customer, price"),
    (tensor("price", name="customer", datatype="BYTES"), "column 'customer' comes 2 times"),
    (tensor("price", data=None), "input 'price' has no data"),
    (tensor("price", data=None, parameters={"binary_data_size": 16}), "0 bytes are left behind the JSON"),
    (tensor("price", parameters={"shared_memory_region": "mine"}, data=None), "input 'price' has no data"),
    ({**tensor("price"), "outputs": [{"name": "much"}]}, "unknown output 'much'; known: probability"),
])  # fmt: skip
def test_wrong_tensors_are_refused(client: TestClient, request_: Any, why: str) -> None:
    """Each is a 400 that says what is wrong with which tensor."""
    answer = client.post(INFER, content=json.dumps(request_))
    assert answer.status_code == 400 and why in answer.json()["error"], answer.text


def broken(name: str, data: bytes, **changes: Any) -> tuple[bytes, str]:
    """Return the request of two rows as bytes, in which those of one tensor are others; and its JSON's length."""
    content, headers = infer_binary(make_rows(2))
    length = int(headers["inference-header-content-length"])
    head, at, behind = json.loads(content[:length]), length, []
    for own in head["inputs"]:
        size = own["parameters"]["binary_data_size"]
        behind.append(data if own["name"] == name else content[at : at + size])
        own["parameters"]["binary_data_size"] = len(behind[-1])
        own.update(changes if own["name"] == name else {})
        at += size
    text = json.dumps(head).encode()
    return b"".join((text, *behind)), str(len(text))


@pytest.mark.parametrize(("content", "length", "why"), [
    (*broken("customer", text_bytes(["a", "b"])[:-3]), "its bytes end before row 1"),
    (*broken("customer", text_bytes(["a", "b"])[:-1]), "row 1 is to have 1 bytes, and 0 are left"),
    (*broken("customer", text_bytes(["a", "b", "c"])), "has 15 bytes; its shape and datatype need 10"),
    (*broken("customer", b"\xff\xff\xff\xff" + b"a" * 20), "row 0 is to have 4294967295 bytes"),
    (*broken("customer", text_bytes(["a"]) + b"\x02\0\0\0\xff\xfe"), "row 1: column 'customer': its bytes are no"),
    (*broken("price", b"\0" * 15), "has 15 bytes; its shape and datatype need 16"),
    (*broken("price", b"\0" * 8 + b"\0\0\0\0\0\0\xf0\x7f"), "row 1: column 'price': a number must be finite, not inf"),
    (*broken("price", b"", shape=[10_000]), "the inputs differ in rows"),
    (*broken("price", b"", shape=[2**62]), "a call may have 1 to 10,000"),
    (*broken("price", b"\0" * 16, parameters={"binary_data_size": -1}), "binary_data_size is -1"),
    (*broken("price", b"\0" * 16, parameters={"binary_data_size": 10**30}), "binary_data_size is 10000"),
    (*broken("price", b"\0" * 16, parameters={"binary_data_size": "16"}), "binary_data_size is '16'"),
    (*broken("price", b"\0" * 16, parameters={"binary_data_size": 1.5}), "binary_data_size is 1.5"),
    (infer_binary(make_rows(2))[0], "0", "no inference request"),
    (infer_binary(make_rows(2))[0], "10", "no inference request"),
    (infer_binary(make_rows(2))[0], "99999", "the body has"),
    (infer_binary(make_rows(2))[0], "-5", "must be a number of bytes, not '-5'"),
    (infer_binary(make_rows(2))[0], "1e3", "must be a number of bytes, not '1e3'"),
    (infer_binary(make_rows(2))[0], "9" * 400, "must be a number of bytes"),
    (infer_binary(make_rows(2))[0] + b"more", infer_binary(make_rows(2))[1]["inference-header-content-length"],
     "4 bytes are left behind the last input's"),
    (b"[" * 100_000, None, "no inference request"),
    (b'{"inputs": [' + b"[" * 100_000, None, "no inference request"),
])  # fmt: skip
def test_lying_bytes_are_refused(client: TestClient, content: bytes, length: str | None, why: str) -> None:
    """Whatever lengths and sizes say, each is a 400 that says why."""
    headers = {} if length is None else {"inference-header-content-length": length}
    answer = client.post(INFER, content=content, headers=headers)
    assert answer.status_code == 400 and why in answer.json()["error"], answer.text


def test_of_gaps_there_is_one_tensor_each(client: TestClient) -> None:
    """Said twice, or of a column that can't miss a value, it is refused."""
    request = infer_json(make_rows(2))
    gaps = {"shape": [2], "datatype": "BOOL", "data": [True, False]}
    twice = {"inputs": [*request["inputs"], *[{"name": "customer.missing", **gaps}] * 2]}
    assert "come twice" in client.post(INFER, json=twice).json()["error"]
    whole = {"inputs": [*request["inputs"], {"name": "pieces.missing", **gaps}]}
    assert "row 0: column 'pieces'" in client.post(INFER, json=whole).json()["error"]
    fits = {"inputs": [*request["inputs"], {"name": "price.missing", **gaps}]}
    rows = [{**make_rows(2)[0], "price": None}, make_rows(2)[1]]
    plain = client.post("/predict", json={"rows": rows}).json()["predictions"]
    assert client.post(INFER, json=fits).json()["outputs"][0]["data"] == [said["probability"] for said in plain]


@pytest.mark.parametrize(("problem", "outputs"), [
    (BinaryClassification(), {"probability": "FP64"}),
    (Regression(quantiles=(0.1, 0.5)), {"prediction": "FP64", "quantiles.0.1": "FP64", "quantiles.0.5": "FP64"}),
    (MulticlassClassification(classes=("low", "high")),
     {"prediction": "BYTES", "probabilities.low": "FP64", "probabilities.high": "FP64"}),
    (MultilabelClassification(labels=("late", "dear")),
     {"prediction": "BYTES", "probabilities.late": "FP64", "probabilities.dear": "FP64"}),
    (AnomalyDetection(threshold=0.5), {"score": "FP64", "anomaly": "BOOL"}),
])  # fmt: skip
def test_each_kind_of_problem_has_outputs(problem: Problem, outputs: dict[str, str]) -> None:
    """A tensor for each number of an answer, and text for what is none; asked for, they come as JSON or as bytes."""
    model = model_of("shop", problem)
    assert model.outputs == outputs
    width = len(problem.outputs)
    said = Said("shop", 1, "call", problem.answers(np.full((2, width) if width > 1 else 2, 0.75)))
    form = OpenInference(model, "shop")
    plain = json.loads(form.answer(said))["outputs"]
    assert {output["name"]: output["datatype"] for output in plain} == outputs
    form._request = InferRequest([], parameters={"binary_data_output": True})
    answer = form.answer(said)
    head = json.loads(answer[: int(form.headers(answer)["inference-header-content-length"])])
    assert (
        sum(output["parameters"]["binary_data_size"] for output in head["outputs"]) == len(answer) - answer.json_bytes
    )
