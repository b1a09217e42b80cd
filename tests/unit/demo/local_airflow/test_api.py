"""The REST API's client: listings come whole, whatever the server gives at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_mlops_provider.demo.local_airflow import api as api_module
from airflow_mlops_provider.demo.local_airflow.api import PAGE, AirflowApi
from airflow_mlops_provider.exceptions import BackendError


@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 2 * PAGE])
def test_a_listing_comes_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """No run beyond the first page is lost, and none comes twice."""
    every = [{"dag_run_id": str(number)} for number in range(count)]

    def call(method: str, path: str, *, params: dict[str, Any], body: Any = None) -> Any:
        return {"dag_runs": every[params["offset"] :][: params["limit"]]}

    api = AirflowApi("http://127.0.0.1:1", tmp_path)
    monkeypatch.setattr(api, "call", call)
    assert api.dag_runs("training") == every


class Locked:
    """Answers 500 as Airflow does while SQLite is locked, a number of times, and then what was asked for."""

    def __init__(self, times: int, answer: str = '{"detail": {"reason": "Database error"}}') -> None:
        self.left, self.answer, self.asked = times, answer, 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.left -= 1
        return httpx.Response(500, text=self.answer) if self.left >= 0 else httpx.Response(200, json={"id": 7})


def api_of(server: Locked, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AirflowApi:
    """Return a client whose server is ``server``, already logged in."""
    monkeypatch.setattr(api_module, "LOCKED_WAITS", (0.0, 0.0, 0.0))
    api = AirflowApi("http://127.0.0.1:1", folder)
    monkeypatch.setattr(api, "_token", "one")
    monkeypatch.setattr(api, "_http", httpx.Client(base_url=api.url, transport=httpx.MockTransport(server)))
    return api


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_locked_database_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    server = Locked(times)
    assert api_of(server, tmp_path, monkeypatch).post("assets/events", {"asset_id": 1}) == {"id": 7}
    assert server.asked == times + 1


@pytest.mark.parametrize(
    "server", [Locked(9), Locked(1, "Internal Server Error")], ids=["locked for good", "another error"]
)
def test_other_errors_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Locked) -> None:
    with pytest.raises(BackendError, match="answered 500"):
        api_of(server, tmp_path, monkeypatch).post("assets/events")
    assert server.asked in {1, 4}
