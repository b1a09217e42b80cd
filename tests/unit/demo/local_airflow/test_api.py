"""The REST API's client: listings come whole, whatever the server gives at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.demo.local_airflow.api import PAGE, AirflowApi


@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 2 * PAGE])
def test_a_listing_comes_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """No run beyond the first page is lost, and none comes twice."""
    every = [{"dag_run_id": str(number)} for number in range(count)]

    def call(method: str, path: str, *, params: dict[str, Any], body: Any = None) -> Any:
        return {"dag_runs": every[params["offset"] :][: params["limit"]]}

    api = AirflowApi("http://127.0.0.1:1", tmp_path)
    monkeypatch.setattr(api, "call", call)
    assert api.dag_runs("training") == every
