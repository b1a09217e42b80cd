"""MLflow's and TensorFlow Serving's ways to ask: right answers, and each wrong call a clear refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.factories.protocols import WAYS
from tests.factories.serving import make_rows

TF = "/v1/models/tiny_shop:predict"
TIMES = {"event_time": "2020-01-03T23:30:00.123456-11:30", "customer": "c7"}
ODD = [
    {**TIMES, "price": 1e308, "pieces": 2**63 - 1},
    {**TIMES, "customer": None, "price": None, "pieces": -(2**63)},
    {**TIMES, "price": 5e-324, "pieces": 2**53 + 1, "event_time": "2020-06-03T01:00:00+05:45"},
]


@pytest.mark.parametrize("way", WAYS)
def test_each_way_gives_the_same_bits(client: TestClient, way: str) -> None:
    """A few rows, one row, and odd values: what /predict answers."""
    for rows in (make_rows(60), make_rows(1), ODD, ODD[1:2]):
        assert WAYS[way](client, "tiny_shop", rows) == WAYS["json"](client, "tiny_shop", rows)


def test_text_is_text_in_every_way(client: TestClient) -> None:
    """Letters beyond ASCII arrive as they were sent: the store has no such customer, and says so of each."""
    rows = [{**make_rows(1)[0], "customer": "c1\u00fc\U0001f600"}]
    for way, ask in WAYS.items():
        with pytest.raises(AssertionError, match=r"invalid literal|could not convert"):
            ask(client, "tiny_shop", rows)
        assert way


def split(**changes: Any) -> dict[str, Any]:
    row = make_rows(1)[0]
    return {"dataframe_split": {"columns": [*row], "data": [[*row.values()]], **changes}}


ROW = make_rows(1)[0]


@pytest.mark.parametrize(("body", "why"), [
    ("{", "the body is no JSON"),
    ("[]", "must be a JSON object, not list"),
    ("[" * 100_000, "the body is no JSON"),
    ({}, "give one of dataframe_split, dataframe_records, instances, inputs, not none"),
    ({"inputs": {}, "instances": []}, "not instances and inputs"),
    ({"dataframe_split": 5}, "dataframe_split must be"),
    (split(columns=["price"]), "column 'customer' is missing; known: customer, price"),
    (split(columns=[*ROW, "colour"]), "unknown column 'colour'; known: customer"),
    (split(columns=[*ROW, "price"]), "column 'price' comes 2 times"),
    (split(columns=[[1]]), "dataframe_split must be"),
    (split(data=[[1]]), "row 0 must be a list of 4 values"),
    (split(data=[5]), "row 0 must be a list of 4 values"),
    (split(data=[]), "there are 0 rows"),
    (split(data=[[1]] * 10_001), "there are 10001 rows; a call may have 1 to 10,000"),
    ({"dataframe_records": [{**ROW, "colour": 1}]}, "row 0: unknown column 'colour'; known"),
    ({"dataframe_records": [5]}, "row 0"),
    ({"dataframe_records": 5}, "dataframe_records must be a list of rows"),
    ({"instances": [[1, 2]]}, "row 0"),
    ({"inputs": {"price": [1]}}, "column 'customer' is missing"),
    ({"inputs": {name: [value] * (1 + (name == "price")) for name, value in ROW.items()}}, "differ in length"),
    ({"inputs": ROW}, "column 'customer' must be a list"),
    ({**split(), "params": {"temperature": 1}}, "params can't be given"),
    ('{"dataframe_records": [{"price": Infinity}]}', "Infinity is no number"),
    ('{"dataframe_records": [{"price": 1e999}]}', "1e999 is out of range"),
    ('{"dataframe_records": [{"price": %s}]}' % ("9" * 5000), ""),
    ({"dataframe_records": [{**ROW, "pieces": 2**64}]}, "row 0: column 'pieces'"),
    ({"dataframe_records": [{**ROW, "pieces": 1.0}]}, "row 0: column 'pieces': Input should be a valid integer"),
    ({"dataframe_records": [{**ROW, "customer": ["a"]}]}, "row 0: column 'customer': Input should be a valid string"),
    ({"dataframe_records": [{**ROW, "event_time": "soon"}]}, "row 0: column 'event_time'"),
])  # fmt: skip
def test_wrong_invocations_are_refused(client: TestClient, body: Any, why: str) -> None:
    """Each is a 400 that says what is wrong, as MLflow says it."""
    sent = body if isinstance(body, str) else json.dumps(body)
    answer = client.post("/invocations", content=sent, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and why in answer.json()["message"], answer.text
    assert answer.json()["error_code"] == "BAD_REQUEST"


def test_other_content_is_not_taken(client: TestClient) -> None:
    """What is neither JSON nor CSV is a 415; a broken CSV a 400 that names the column."""
    answer = client.post("/invocations", content=b"", headers={"content-type": "application/xml"})
    assert answer.status_code == 415 and "send application/json or text/csv" in answer.json()["message"]
    csv = {"content-type": "text/csv"}
    for text, why in {
        "customer,price,pieces,event_time\na,much,1,2020-01-03T00:00:00Z\n": "column #1: Row #2: CSV conversion error",
        "customer,price,pieces,event_time\na,inf,1,2020-01-03T00:00:00Z\n": "must be finite",
        "customer,price,pieces,event_time\na,1,,2020-01-03T00:00:00Z\n": "row 0: column 'pieces'",
        "customer,price,pieces,event_time\na,1,1,2020-01-03T00:00:00\n": "",
        "customer,customer\na,b\n": "column 'customer' comes 2 times",
        "customer,price,pieces,event_time\na,1\n": "Expected 4 columns",
        "customer,price,pieces,event_time,colour\na,1,1,2020-01-03T00:00:00Z,red\n": "unknown column 'colour'",
        "": "no CSV",
        "\0\xff": "",
    }.items():
        answer = client.post("/invocations", content=text, headers=csv)
        assert answer.status_code == 400 and why in answer.json()["message"], answer.text


@pytest.mark.parametrize(("body", "why"), [
    ({}, "give one of instances, inputs, not none"),
    ({"instances": [ROW], "signature_name": "other"}, "the only signature_name is 'serving_default'"),
    ({"instances": [{**ROW, "price": {"b64": "aGE="}}]}, "row 0: column 'price'"),
    ({"instances": {}}, "instances must be a list"),
    ({"inputs": [1]}, "inputs must be an object of columns"),
])  # fmt: skip
def test_wrong_tensorflow_calls_are_refused(client: TestClient, body: Any, why: str) -> None:
    """Each is a 400 with the protocol's own error; another model or version is a 404."""
    answer = client.post(TF, json=body)
    assert answer.status_code == 400 and why in answer.json()["error"], answer.text


def test_it_says_which_version_is_live(client: TestClient) -> None:
    """As MLflow and TensorFlow Serving say it; of any other there is nothing."""
    assert client.get("/ping").status_code == 200
    (version,) = client.get("/v1/models/tiny_shop").json()["model_version_status"]
    assert (version["version"], version["state"]) == ("1", "AVAILABLE")
    good = {"instances": [ROW]}
    for path in ("/v1/models/other:predict", "/v1/models/tiny_shop/versions/2:predict"):
        answer = client.post(path, json=good)
        assert answer.status_code == 404 and answer.json()["error"]
    assert client.get("/v1/models/tiny_shop/versions/2").status_code == 404
