"""Who may call the other protocols' routes, and that they are counted, logged and limited as /predict is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.serving.access.callers import Right, new_token
from airflow_mlops_provider.serving.app import create_app
from airflow_mlops_provider.serving.request_queue import MAX_BODY
from airflow_mlops_provider.serving.server import ModelServer
from tests.factories.protocols import by_column, infer_json
from tests.factories.serving import StandInFeatures, make_release, make_rows, read_log, request_release, until

ROWS = make_rows(2)
OPEN = {"/v2/health/live", "/v2/health/ready", "/ping"}
#: What each is sent; None is got.
CALLS = {
    **dict.fromkeys(OPEN),
    "/v2": None,
    "/v2/models/{name}": None,
    "/v2/models/{name}/versions/{version}": None,
    "/v2/models/{name}/ready": None,
    "/v2/models/{name}/versions/{version}/ready": None,
    "/v1/models/{name}": None,
    "/v1/models/{name}/versions/{version}": None,
    "/v2/models/{name}/infer": infer_json(ROWS),
    "/v2/models/{name}/versions/{version}/infer": infer_json(ROWS),
    "/v1/models/{name}:predict": {"instances": ROWS},
    "/v1/models/{name}/versions/{version}:predict": {"inputs": by_column(ROWS)},
    "/invocations": {"dataframe_records": ROWS},
}


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    """A token of a caller with each right."""
    made = {right.value: new_token(f"{right}er", [right]) for right in Right}
    (tmp_path / "callers").write_text("".join(f"{line}\n" for _, line in made.values()))
    return {right: token for right, (token, _) in made.items()}


@pytest.fixture
def closed(product: MLProduct, tmp_path: Path, tokens: dict[str, str]) -> Iterator[TestClient]:
    request_release(tmp_path, make_release(tmp_path, 1))
    server = ModelServer(product, str(tmp_path), StandInFeatures, tmp_path / "log", poll=0.02)
    with TestClient(create_app(server, token="", callers_file=tmp_path / "callers")) as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client


def test_each_caller_may_what_its_rights_say(
    closed: TestClient, tokens: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Predictions want the right to predict, the rest any; without a token only probes are answered."""
    caplog.set_level(logging.INFO, "mlops.audit")
    known = {route.path for route in closed.app.routes if route.path.startswith(("/v1/", "/v2", "/inv", "/ping"))}  # type: ignore[attr-defined]
    assert known == {*CALLS}
    for path, body in CALLS.items():
        url = path.format(name="tiny_shop", version=1)
        method = "GET" if body is None else "POST"
        nobody = closed.request(method, url, json=body)
        assert nobody.status_code == (200 if path in OPEN else 401), path
        assert path in OPEN or "authorization: bearer" in nobody.text.lower()
        for right, token in tokens.items():
            headers = {"authorization": f"Bearer {token}", "x-request-id": f"{right}{path}"}
            answer = closed.request(method, url, json=body, headers=headers)
            assert answer.status_code == (403 if body and right != "predict" else 200), (path, right)
    logged = read_log(tmp_path / "log")
    assert len(logged) == 2 * 5 and set(logged["caller"]) == {"predicter"}
    assert "reader may not POST '/invocations'" in caplog.messages
    metrics = closed.get("/metrics", headers={"authorization": f"Bearer {tokens['operate']}"}).text
    assert 'mlops_serving_requests_total{product="tiny_shop",status="200"} 5.0' in metrics
    assert 'mlops_serving_requests_total{product="tiny_shop",status="403"} 10.0' in metrics


@pytest.mark.parametrize("path", [path for path, body in CALLS.items() if body])
def test_a_body_may_have_so_many_bytes(client: TestClient, path: str) -> None:
    """More are a 413 in the protocol's own words, and each answer names its call."""
    url = path.format(name="tiny_shop", version=1)
    answer = client.post(url, content=b" " * (MAX_BODY + 1), headers={"content-type": "application/json"})
    assert answer.status_code == 413 and answer.headers["x-request-id"]
    assert "send the rows in several calls" in (answer.json().get("error") or answer.json()["message"])
