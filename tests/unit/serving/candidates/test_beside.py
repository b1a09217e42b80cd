"""A candidate beside the live version: who answers which call, what is counted, and what no caller ever feels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, call

import pytest
from fastapi.testclient import TestClient

from airflow_mlops_provider.backends.model_server import releases
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.serving.app import create_app
from airflow_mlops_provider.serving.candidates import beside
from airflow_mlops_provider.serving.candidates.beside import Beside
from airflow_mlops_provider.serving.server import ModelServer
from tests.factories.serving import StandInFeatures, enter, make_release, make_rows, read_log, request_release, until

ROWS = [{**row, "customer": f"c{number}"} for number, row in enumerate(make_rows(30))]


@pytest.fixture
def client(product: MLProduct, tmp_path: Path) -> Iterator[TestClient]:
    """A server whose version 1 is live."""
    server = ModelServer(product, str(tmp_path), StandInFeatures, tmp_path / "log", poll=0.02, retry=0.2)
    request_release(tmp_path, make_release(tmp_path, 1))
    with TestClient(create_app(server, token="")) as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client


def propose(client: TestClient, root: Path, mode: Status, share: float = 0.0, ledger: Status | None = None) -> None:
    """Have the ledger and the pointer name version 2 as a candidate, and wait until it is there, or can't be."""
    proposed = make_release(root, 2)
    enter(root, proposed.model, ledger or mode)
    now = datetime.now(UTC)
    wanted = releases.CandidateRelease.of(proposed.model, mode=mode, share=share, requested_at=now)
    request_release(root, make_release(root, 1).model_copy(update={"candidate": wanted}))
    until(lambda: (said := state(client)) is not None and bool(said["since"] or said["failure"]))


def state(client: TestClient) -> Any:
    """Return what the server says of its candidate."""
    return client.get("/version").json()["candidate"]


def versions(client: TestClient) -> list[int]:
    """Call once for each row, and return which versions answered."""
    answers = [client.post("/predict", json={"rows": [row]}) for row in ROWS]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json()["version"] for answer in answers]


def test_in_shadow_nobody_sees_it(client: TestClient, tmp_path: Path) -> None:
    """The live version answers all; what the candidate says of the same rows is counted, and logged as a shadow's."""
    propose(client, tmp_path, Status.SHADOW)
    assert set(versions(client)) == {1}
    until(lambda: state(client)["observed"]["calls"] == len(ROWS))
    until(lambda: len(read_log(tmp_path / "log")) == 2 * len(ROWS))
    log = read_log(tmp_path / "log")
    assert set(log[log["shadow"] == True]["version"]) == {2}  # noqa: E712 - the others have none
    assert set(log[log["shadow"].isna()]["version"]) == {1}
    assert state(client)["observed"]["errors"] == 0
    assert 'mlops_serving_candidate_version{product="tiny_shop"} 2.0' in client.get("/metrics").text


def test_a_canary_answers_the_same_customers(client: TestClient, tmp_path: Path) -> None:
    """About its share of them, each time the same; both versions' predictions of these rows are logged."""
    propose(client, tmp_path, Status.CANARY, 0.4)
    first = versions(client)
    assert first == versions(client)
    assert 0.2 < first.count(2) / len(first) < 0.6
    until(lambda: len(read_log(tmp_path / "log")) == 2 * len(ROWS) + 2 * first.count(2))


@pytest.mark.parametrize("mode", [Status.SHADOW, Status.CANARY])
def test_what_it_raises_no_caller_sees(
    client: TestClient, tmp_path: Path, mode: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live version answers instead, and each call is an error of the candidate's."""
    propose(client, tmp_path, mode, 1.0)
    score = Predictor.score
    monkeypatch.setattr(Predictor, "score", lambda own, rows: fail() if own is not live else score(own, rows))
    live = client.app.state.queue._work.__self__._follower.live.predictor  # type: ignore[attr-defined]
    assert set(versions(client)) == {1}
    until(lambda: state(client)["observed"]["errors"] == len(ROWS))


def hang(released: threading.Event) -> Any:
    """Hang, and fail in the end."""
    released.wait()
    return fail()


def fail() -> Any:
    """Fail."""
    raise KeyError("odd")


def test_one_that_hangs_delays_its_share_for_a_moment(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds the live version's prediction is the answer; whether the candidate ever ends is no matter."""
    released = threading.Event()
    monkeypatch.setattr(beside, "SECONDS", 0.1)
    propose(client, tmp_path, Status.CANARY, 1.0)
    live = client.app.state.queue._work.__self__._follower.live.predictor  # type: ignore[attr-defined]
    score = Predictor.score
    monkeypatch.setattr(Predictor, "score", lambda own, rows: score(own, rows) if own is live else hang(released))
    try:
        assert {client.post("/predict", json={"rows": [row]}).json()["version"] for row in ROWS[:5]} == {1}
        assert state(client)["observed"]["errors"] >= 4
    finally:
        released.set()


def test_only_what_the_ledger_has_so(client: TestClient, tmp_path: Path) -> None:
    """A pointer that makes a canary of what is in shadow is refused; once it is rejected it is out by itself."""
    propose(client, tmp_path, Status.CANARY, 1.0, ledger=Status.SHADOW)
    assert "is shadow, and not canary" in state(client)["failure"]
    assert set(versions(client)) == {1}
    enter(tmp_path, make_release(tmp_path, 2).model, Status.CANARY)
    propose_again(client, tmp_path)
    assert set(versions(client)) == {2}
    enter(tmp_path, make_release(tmp_path, 2).model, Status.REJECTED)
    until(lambda: bool(state(client)["failure"]))
    assert set(versions(client)) == {1}


def propose_again(client: TestClient, root: Path) -> None:
    """Point at the candidate once more."""
    now = datetime.now(UTC)
    model = make_release(root, 2).model
    wanted = releases.CandidateRelease.of(model, mode=Status.CANARY, share=1.0, requested_at=now)
    request_release(root, make_release(root, 1).model_copy(update={"candidate": wanted}))
    until(lambda: bool((state(client) or {}).get("since")))


def test_it_goes_live_as_it_is(client: TestClient, tmp_path: Path) -> None:
    """A candidate that the pointer makes the live version is there at once, and nothing is beside it any more."""
    propose(client, tmp_path, Status.CANARY, 0.5)
    request_release(tmp_path, make_release(tmp_path, 2))
    until(lambda: client.get("/version").json()["live"]["version"] == 2)
    assert set(versions(client)) == {2}
    assert state(client) is None


def test_a_late_answer_is_in_the_log_before_it_leaves_and_counts() -> None:
    """Kept, with the operating system, then counted; only then it is given back."""
    steps = Mock()
    beside: Any = SimpleNamespace(comparison=steps, _answers=steps)
    live: Any = SimpleNamespace(
        predictor="p", version=1, scores=[0.5], calls=SimpleNamespace(only=lambda numbers: "own", parts=[0])
    )
    answer: Any = {"answer": 1}
    assert Beside._too_late(beside, live, 0, answer) is answer
    assert steps.mock_calls == [call.keep("p", 1, "own", 0.5), call.settle(), call.failed(1)]
