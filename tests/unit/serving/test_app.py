"""The model server's API and rolls, in one process, with a stand-in for the feature store."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.serving import prediction_log
from airflow_mlops_provider.serving.access.callers import Right, new_token
from airflow_mlops_provider.serving.app import create_app
from airflow_mlops_provider.serving.log_files import locked
from airflow_mlops_provider.serving.request_queue import Call
from airflow_mlops_provider.serving.request_schema import RequestError
from airflow_mlops_provider.serving.server import ModelServer
from tests.factories.serving import (
    WATERMARK,
    StandInFeatures,
    make_release,
    make_rows,
    read_log,
    request_release,
    until,
)

TINY = {"product": "tiny_shop"}
PROTOCOLS = ("/v1/", "/v2", "/invocations", "/ping")  # see protocols/test_routes.py


@pytest.fixture
def features() -> StandInFeatures:
    return StandInFeatures()


@pytest.fixture
def server(product: MLProduct, features: StandInFeatures, tmp_path: Path) -> ModelServer:
    return ModelServer(product, str(tmp_path), lambda: features, tmp_path / "log", poll=0.02, retry=0.2)


@pytest.fixture
def client(server: ModelServer) -> Iterator[TestClient]:
    with TestClient(create_app(server, token="")) as client:
        yield client


def live(client: TestClient) -> int | None:
    """Return the live version's number."""
    state = client.get("/version").json()["live"]
    return state["version"] if state else None


def test_unready_until_model_and_features_are_there(
    client: TestClient, features: StandInFeatures, tmp_path: Path
) -> None:
    """/ready says why not, /predict answers 503 with the same reason, and both turn once all is there."""
    assert client.get("/health").status_code == 200
    assert "no release has been requested" in client.get("/ready").json()["reason"]
    answer = client.post("/predict", json={"rows": make_rows(1)})
    assert answer.status_code == 503 and "no model" in answer.json()["detail"]
    features.mark = None
    request_release(tmp_path, make_release(tmp_path, 1))
    until(lambda: live(client) == 1)
    until(lambda: "online store is empty" in str(client.get("/ready").json()["reason"]))
    features.mark = WATERMARK
    until(lambda: client.get("/ready").status_code == 200)
    features.broken = True
    until(lambda: "the store is down" in str(client.get("/ready").json()["reason"]))


def test_predicts_records_and_counts(client: TestClient, server: ModelServer, tmp_path: Path) -> None:
    """Predictions are answered, recorded bit for bit, and counted."""
    request_release(tmp_path, make_release(tmp_path, 1))
    until(lambda: client.get("/ready").status_code == 200)
    answer = client.post("/predict", json={"rows": make_rows(20)}, headers={"x-request-id": "mine"})
    assert answer.status_code == 200 and answer.headers["x-request-id"] == "mine"
    given = [one["probability"] for one in answer.json()["predictions"]]
    until(lambda: len(read_log(tmp_path / "log")) == 20)
    logged = read_log(tmp_path / "log")
    assert logged["prediction"].tolist() == given and set(logged["request_id"]) == {"mine"}
    ids = [one["id"] for one in answer.json()["predictions"]]
    assert logged["id"].tolist() == ids == [f"mine-{number}" for number in range(20)]
    assert logged["inputs"][1]["orders"] == 1 and logged["inputs"][9]["known"] == 0
    client.post("/predict", content=b"{")
    text = client.get("/metrics").text
    for line in (
        'mlops_serving_requests_total{product="tiny_shop",status="200"} 1.0',
        'mlops_serving_requests_total{product="tiny_shop",status="422"} 1.0',
        'mlops_serving_rows_total{product="tiny_shop"} 20.0',
        'mlops_serving_prediction_count{product="tiny_shop"} 20.0',
        'mlops_serving_model_version{product="tiny_shop"} 1.0',
        'mlops_serving_log_dropped_rows_total{product="tiny_shop"} 0.0',
        f'mlops_serving_feature_watermark_timestamp_seconds{{product="tiny_shop"}} {WATERMARK.timestamp()!r}',
    ):
        assert line.replace("1577923200.0", "1.5779232e+09") in text


def test_rows_before_the_watermark_are_refused(client: TestClient, features: StandInFeatures, tmp_path: Path) -> None:
    """A row at the watermark is predicted; one older is refused, since the store knows its future."""
    request_release(tmp_path, make_release(tmp_path, 1))
    until(lambda: client.get("/ready").status_code == 200)
    row = {**make_rows(1)[0], "event_time": WATERMARK.isoformat()}
    assert client.post("/predict", json={"rows": [row]}).status_code == 200
    features.mark = datetime(2020, 1, 2, 0, 0, 1, tzinfo=UTC)
    answer = client.post("/predict", json={"rows": [row]})
    assert answer.status_code == 422 and "use batch prediction" in answer.json()["detail"]


def test_version_that_cannot_load_leaves_the_old_one(client: TestClient, tmp_path: Path) -> None:
    """A corrupt version is reported, counted and retried; the one before goes on; once repaired it rolls."""
    request_release(tmp_path, make_release(tmp_path, 1))
    until(lambda: live(client) == 1)
    bad = make_release(tmp_path, 2)
    file = tmp_path / "tiny_shop/train/model-2/model.lgb"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    request_release(tmp_path, bad)
    until(lambda: client.get("/version").json()["failure"] is not None)
    state = client.get("/version").json()
    assert state["failure"]["version"] == 2 and "changed or are incomplete" in state["failure"]["error"]
    assert state["live"]["version"] == 1 and state["desired"]["version"] == 2
    assert client.post("/predict", json={"rows": make_rows(2)}).json()["version"] == 1
    assert 'load_failures_total{product="tiny_shop"} 0.0' not in client.get("/metrics").text
    file.write_bytes(whole)
    until(lambda: live(client) == 2)
    info = [line for line in client.get("/metrics").text.splitlines() if line.startswith("mlops_serving_model_info{")]
    assert [line[-3:] for line in info if 'version="2"' in line] == ["1.0"]
    assert len(info) == 1
    assert client.get("/version").json()["failure"] is None


def test_damaged_pointer_is_reported_and_survived(client: TestClient, tmp_path: Path) -> None:
    """A pointer that is no release is shown as a failure, and the next good one is followed."""
    pointer = tmp_path / "tiny_shop/serving/desired.json"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_text("{")
    until(lambda: client.get("/version").json()["failure"] is not None)
    request_release(tmp_path, make_release(tmp_path, 3))
    until(lambda: live(client) == 3)


def test_token_is_asked_for(server: ModelServer, tmp_path: Path) -> None:
    """With a token set, /predict refuses none and another; only the right one passes."""
    request_release(tmp_path, make_release(tmp_path, 1))
    with TestClient(create_app(server, token="sécret")) as client:
        until(lambda: client.get("/ready").status_code == 200)
        rows = {"rows": make_rows(1)}
        assert client.post("/predict", json=rows).status_code == 401
        for given in (b"Bearer wrong", b"Bearer ", "Bearer sécre".encode(), "Basic sécret".encode(), b"Bearer \xff"):
            assert client.post("/predict", json=rows, headers={b"authorization": given}).status_code == 401
        right = {b"authorization": "Bearer sécret".encode()}
        assert client.post("/predict", json=rows, headers=right).status_code == 200
        for path in ("/", "/version", "/metrics", "/openapi.json"):
            refused = client.get(path)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert client.get(path, headers=right).status_code == 200
        # A probe has no token, and learns nothing but yes or no.
        assert client.get("/health").json() == {"status": "up"}
        assert client.get("/ready").json() == {"ready": True}
        assert client.get("/ready", headers=right).json() == {"ready": True, "reason": None}


def test_each_caller_may_what_its_rights_say(
    server: ModelServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every route wants its right; log and audit name the caller, and neither has a token."""
    caplog.set_level("INFO", "mlops.audit")
    request_release(tmp_path, make_release(tmp_path, 1))
    made = {right.value: new_token(f"{right}er", [right]) for right in Right}
    (tmp_path / "callers").write_text("".join(f"{line}\n" for _, line in made.values()))
    allowed = {
        ("POST", "/predict"): {"predict"},
        ("POST", "/predict/stream"): {"predict"},
        ("GET", "/predictions/{call_id}"): {"predict"},
        ("GET", "/predictions/{call_id}/result"): {"predict"},
        ("DELETE", "/predictions/{call_id}"): {"predict"},
        ("POST", "/features"): {"read"},
        ("GET", "/"): {"read", "operate"},
        ("GET", "/version"): {"read", "operate"},
        ("GET", "/metrics"): {"operate"},
        ("GET", "/openapi.json"): {"predict", "read", "operate"},
    }
    with TestClient(create_app(server, token="sesame", callers_file=tmp_path / "callers")) as client:
        open_to_all = {("GET", "/health"), ("GET", "/ready")}
        routes = {(method, route.path) for route in client.app.routes for method in route.methods}  # type: ignore[attr-defined]
        assert {route for route in routes if not route[1].startswith(PROTOCOLS)} == {*allowed, *open_to_all}
        until(lambda: client.get("/ready").status_code == 200)
        for (method, path), rights in allowed.items():
            for right, token in {**{name: token for name, (token, _) in made.items()}, "all": "sesame"}.items():
                headers = {"authorization": f"Bearer {token}", "x-request-id": right}
                rows = [{"customer": "c1"}] if path == "/features" else make_rows(2)
                status = client.request(method, path, json={"rows": rows}, headers=headers).status_code
                fit = 415 if path == "/predict/stream" else 404 if "call_id" in path else 200  # of other bodies; none
                assert status == (fit if right in {*rights, "all"} else 403), (path, right)
                assert ("reason" in client.get("/ready", headers=headers).json()) == (right != "predict")
            assert client.request(method, path).status_code == 401
    logged = read_log(tmp_path / "log")
    assert [*zip(logged["request_id"], logged["caller"], strict=True)] == [
        *[("predict", "predicter")] * 2,
        *[("all", "default")] * 2,
    ]
    assert "reader may not POST '/predict'" in caplog.messages
    assert "operateer: GET '/metrics'" in caplog.messages
    assert "default: GET '/version'" in caplog.messages
    everything = caplog.text + "".join(file.read_text() for file in (tmp_path / "log").iterdir())
    assert not [token for token in ("sesame", *(token for token, _ in made.values())) if token in everything]


def test_metrics_are_open_only_where_that_is_said(server: ModelServer) -> None:
    """Told so, /metrics is read without the token; the rest still asks for it."""
    with TestClient(create_app(server, token="secret", open_metrics=True)) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/version").status_code == 401


def test_too_large_a_body_is_refused(client: TestClient) -> None:
    """A body beyond the limit is refused before it is parsed."""
    assert client.post("/predict", content=b" " * (16 * 1024 * 1024 + 1)).status_code == 413


def test_callers_wait_within_a_bound(server: ModelServer) -> None:
    """Where others' bodies fill the room, a call is told to come again; what was answered makes room."""
    with TestClient(create_app(server, token="", waiting=100)) as client:
        for _ in range(3):
            answer = client.post("/predict", content=b" " * 101)
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            assert "too many calls wait" in answer.json()["detail"]
        assert client.post("/predict", content=b" " * 100).status_code == 422


def test_calls_that_wait_are_answered_together(
    client: TestClient, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrives while the model works is one call of it, and each caller gets what it would have got alone."""
    request_release(tmp_path, make_release(tmp_path, 1))
    until(lambda: client.get("/ready").status_code == 200)
    given = [make_rows(count) for count in (1, 3, 2, 5)]

    def call(rows: list[dict[str, object]]) -> Any:
        return client.post("/predict", json={"rows": rows}, headers={"x-request-id": f"of-{len(rows)}"}).json()

    alone = [call(rows) for rows in given]
    sizes, gate, score = [], threading.Event(), Predictor.score

    def slow(self: Predictor, inputs: Columns) -> Any:
        sizes.append(inputs.rows)
        assert gate.wait(20)
        return score(self, inputs)

    monkeypatch.setattr(Predictor, "score", slow)
    waiting = server.metrics.registry.get_sample_value
    assert waiting("mlops_serving_rows_total", {"product": "tiny_shop"}) == 11
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(call, given[0])]
        until(lambda: sizes == [1])
        answers += [pool.submit(call, rows) for rows in given[1:]]
        until(lambda: client.app.state.queue.waiting == 3)  # type: ignore[attr-defined]
        gate.set()
        assert [one.result() for one in answers] == alone
    assert sizes == [1, 10]
    assert waiting("mlops_serving_rows_total", {"product": "tiny_shop"}) == 22


def test_a_call_that_keeps_its_release_changes_no_other(
    client: TestClient, server: ModelServer, tmp_path: Path
) -> None:
    """Together with calls of the release that is live since, each is answered by its own, as it would be alone."""
    request_release(tmp_path, make_release(tmp_path, 1))
    until(lambda: live(client) == 1 and client.get("/ready").status_code == 200)
    body, before = json.dumps({"rows": make_rows(3)}).encode(), server.follower.live
    (old,) = server.predictions.answer([Call(body, "a")])
    request_release(tmp_path, make_release(tmp_path, 2))
    until(lambda: live(client) == 2)
    (new,) = server.predictions.answer([Call(body, "b")])
    calls = [Call(body, "b"), Call(body, "a", live=before), Call(body, "b", live=server.follower.live)]
    assert server.predictions.answer(calls) == [new, old, new]
    assert isinstance(old, bytes) and b'"version":1' in old


def test_a_call_that_fails_spoils_no_other(client: TestClient, server: ModelServer, tmp_path: Path) -> None:
    """Of calls that are answered together, each that can't be says why by its own rows' numbers; the others are."""
    request_release(tmp_path, make_release(tmp_path, 1))
    until(lambda: client.get("/ready").status_code == 200)
    early = [*make_rows(2), {**make_rows(1)[0], "event_time": "2019-12-31T00:00:00Z"}]
    bodies = [json.dumps({"rows": rows}).encode() for rows in (make_rows(4), early, make_rows(2))]
    answer = server.predictions.answer
    given = (bodies[0], b"{", bodies[1], bodies[2])
    answers = answer([Call(body, name) for body, name in zip(given, "abcd", strict=True)])
    assert [answers[0], answers[3]] == [*answer([Call(bodies[0], "a")]), *answer([Call(bodies[2], "d")])]
    assert [type(one) for one in answers[1:3]] == [RequestError, RequestError]
    assert "row 2: event_time 2019-12-31" in str(answers[2])


def test_an_answer_leaves_once_it_is_recorded(
    client: TestClient, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the log can't be written, the caller knows of no prediction; a log that hangs holds no answer back."""
    request_release(tmp_path, make_release(tmp_path, 1))
    until(lambda: client.get("/ready").status_code == 200)
    rows = {"rows": make_rows(2)}
    client.post("/predict", json=rows)
    (file,) = (tmp_path / "log").glob("*.jsonl")
    monkeypatch.setattr(prediction_log, "SETTLE_SECONDS", 30.0)
    with ThreadPoolExecutor() as pool, file.open("rb") as log:
        with locked(log):
            answers = [pool.submit(client.post, "/predict", json=rows) for _ in range(2)]
            until(lambda: server.metrics.registry.get_sample_value("mlops_serving_rows_total", TINY) >= 4)  # type: ignore[operator]
            time.sleep(0.1)
            assert not any(answer.done() for answer in answers)
            assert client.get("/health").status_code == 200
        assert [answer.result().status_code for answer in answers] == [200, 200]
        assert len(file.read_bytes().splitlines()) == 6
        monkeypatch.setattr(prediction_log, "SETTLE_SECONDS", 0.1)
        with locked(log):
            assert client.post("/predict", json=rows).status_code == 200
            assert len(file.read_bytes().splitlines()) == 6


def test_values_that_overflow_together_are_the_callers(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moments that each fit, and whose distance doesn't, are a 422 and not a failure."""
    request_release(tmp_path, make_release(tmp_path, 1))
    until(lambda: client.get("/ready").status_code == 200)
    ends = pd.Series([pd.Timestamp.max]), pd.Series([pd.Timestamp.min])
    for far in (lambda *_: ends[0] - ends[1], lambda *_: ends[0] + pd.Timedelta(days=1)):
        monkeypatch.setattr(Predictor, "column_inputs", far)
        answer = client.post("/predict", json={"rows": make_rows(1)})
        assert answer.status_code == 422
        assert "too far apart or too large" in answer.json()["detail"]


@pytest.mark.parametrize("given", ["a b", "a\x1bb", "é", "x" * 101, "<script>", ""])
def test_odd_request_ids_are_replaced(client: TestClient, given: str) -> None:
    """What could forge a line of a log or a page gets an id of our own."""
    answer = client.post("/predict", content=b"{", headers={b"x-request-id": given.encode("latin-1")})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_a_repeated_failure_is_said_once(
    client: TestClient, server: ModelServer, features: StandInFeatures, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is down for a hundred looks is one line, and one more when it answers again."""
    until(lambda: server.features.error is None)
    caplog.set_level("INFO")
    looks = 0

    def broken() -> None:
        nonlocal looks
        looks += 1
        raise OSError("the store is down")

    features.require_online = broken  # type: ignore[method-assign]
    until(lambda: looks > 20)
    features.require_online = lambda: None  # type: ignore[method-assign]
    until(lambda: "feature store: it answers" in caplog.messages)
    assert caplog.messages.count("feature store: OSError: the store is down") == 1


def test_the_description_tells_each_refusal(client: TestClient) -> None:
    """A generated client knows answers and refusals, and where the token goes."""
    told = client.get("/openapi.json").json()
    predict = told["paths"]["/predict"]["post"]
    assert set(predict["responses"]) == {"200", "401", "403", "408", "413", "422", "429", "500", "503", "504"}
    for status, response in predict["responses"].items():
        content = response["content"].pop("application/json")
        assert [*response["content"]] == (["application/vnd.apache.arrow.stream"] if status == "200" else [])
        assert content["schema"]["$ref"].endswith("/Predictions" if status == "200" else "/Refusal")
    assert {"id", "probability"} == set(told["components"]["schemas"]["Prediction"]["required"])
    assert "401" in told["paths"]["/version"]["get"]["responses"]
    assert predict["security"] == [{"HTTPBearer": []}]


def test_page_escapes_and_links(client: TestClient) -> None:
    """The page shows the goal as text, links the rest, and loads nothing from elsewhere."""
    text = client.get("/").text
    assert "Will &lt;this&gt; order" in text and "href='metrics'" in text and "http" not in text
    assert client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["required"]


def test_serving_needs_no_airflow_and_no_vendor() -> None:
    """Importing the server loads neither Airflow nor Feast nor MLflow."""
    code = (
        "import sys, airflow_mlops_provider.serving.__main__, airflow_mlops_provider.backends.model_server.launcher\n"
        "bad = {'airflow', 'feast', 'mlflow', 'evidently', 'great_expectations', 'lightgbm'} & set(sys.modules)\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
