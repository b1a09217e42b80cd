"""``POST /features``: what a prediction would see, of one call and of several at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.serving.app import create_app
from airflow_mlops_provider.serving.protocols.features import FeatureLookUp, _plain
from airflow_mlops_provider.serving.request_queue import Call
from airflow_mlops_provider.serving.server import ModelServer
from tests.factories.serving import WATERMARK, StandInFeatures, until

KEYS = [{"customer": "c3"}, {"customer": None}, {"customer": "c7"}]


@pytest.fixture
def features() -> StandInFeatures:
    return StandInFeatures()


@pytest.fixture
def server(product: MLProduct, features: StandInFeatures, tmp_path: Path) -> ModelServer:
    return ModelServer(product, str(tmp_path), lambda: features, tmp_path / "log", poll=0.02)


def test_features_are_answered_by_view(server: ModelServer, features: StandInFeatures) -> None:
    """Without any model; a key that is missing or unknown has none, and up to when they are is said."""
    with TestClient(create_app(server, token="")) as client:
        until(lambda: client.post("/features", json={"rows": KEYS}).status_code == 200)
        answer = client.post("/features", json={"rows": KEYS}, headers={"x-request-id": "mine"})
        assert answer.headers["x-request-id"] == "mine" and answer.headers["content-type"] == "application/json"
        said = answer.json()
        assert datetime.fromisoformat(said.pop("watermark")) == WATERMARK
        columns = {"orders": [3.0, None, 7.0], "mean_price": [3.0 / 7, None, 1.0]}
        assert said == {"product": "tiny_shop", "features": {"customer": columns}}
        described = client.get("/openapi.json").json()["paths"]["/features"]["post"]
        assert described["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Features")
        assert client.get("/features").status_code == 405
        assert "mlops_serving_requests_total{" not in client.get("/metrics").text
        features.broken = True
        refused = client.post("/features", json={"rows": KEYS})
        assert refused.status_code == 503 and "the store is down" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"rows": []}, "rows: List should have at least 1 item"),
        ({"rows": [{}]}, "row 0: column 'customer' is missing"),
        ({"rows": [{"customer": 3}]}, "row 0: column 'customer': Input should be a valid string"),
        ({"rows": [{"customer": "c1", "price": 1.0}]}, "row 0: unknown column 'price'; known: customer, event_time"),
        (
            {"rows": [{"customer": "c1", "event_time": (WATERMARK - timedelta(days=1)).isoformat()}]},
            "the online store already has later features",
        ),
    ],
)
def test_keys_that_do_not_fit_are_refused(server: ModelServer, body: dict[str, object], why: str) -> None:
    """The message says what fits; a row that says its time is held to it as a prediction's is."""
    with TestClient(create_app(server, token="")) as client:
        until(lambda: server.features.problem is None)
        answer = client.post("/features", json=body)
        assert answer.status_code == 422 and why in answer.json()["detail"]


def test_calls_that_come_together_share_a_look_up(server: ModelServer, features: StandInFeatures) -> None:
    """Each gets its own rows; one that does not fit spoils no other."""
    server.features.check()
    counted, online = [], features.online
    features.online = lambda keys: counted.append(len(keys)) or online(keys)  # type: ignore[method-assign,func-returns-value]
    look_up, bodies = FeatureLookUp(server), [b'{"rows":[{"customer":"c%d"}]}' % number for number in (1, 2)]
    first, second = look_up.answer([Call(body, "") for body in bodies])
    assert counted == [2]
    assert isinstance(first, bytes) and b'"orders":[1.0]' in first
    assert isinstance(second, bytes) and b'"orders":[2.0]' in second
    refused, answered = look_up.answer([Call(b"{", ""), Call(bodies[1], "")])
    assert isinstance(refused, Exception) and answered == second


def test_values_are_as_json_has_them() -> None:
    """Moments are text in UTC, what is missing is null."""
    moments = np.array([datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None), None], "datetime64[ns]")
    assert _plain(moments) == ["2020-01-02T03:04:05Z", None]
    assert _plain(np.array(["a", None], object)) == ["a", None]
