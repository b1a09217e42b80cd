"""Whether the loop has come to rest: nothing runs, and no event has yet to start a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from airflow_mlops_provider.demo import watch as watch_module
from airflow_mlops_provider.demo.local_airflow.api import AirflowApi
from airflow_mlops_provider.demo.local_airflow.settings import PASSWORDS
from airflow_mlops_provider.demo.watch import Watch
from airflow_mlops_provider.exceptions import BackendError

DAY = datetime(2026, 1, 1, tzinfo=UTC)
LOADED = {"dag_id": "shop_feature_engineering", "dag_run_id": "1", "state": "success", "data_interval_start": str(DAY)}
WAITS, RUNS, ENDED = (
    {"dag_id": "shop_training", "dag_run_id": "2", "state": state} for state in ("none", "running", "success")
)


class Airflow(BaseHTTPRequestHandler):
    """Goes on by one state each time that it is asked for runs; the last one holds."""

    states: ClassVar[list[list[dict[str, Any]]]] = []

    def do_POST(self) -> None:
        self.say({"access_token": "a"})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/api/v2/")
        shown = self.states[0]
        if path.endswith("dagRuns") and len(self.states) > 1:
            self.states.pop(0)
        queued = sum(run in shown for run in (WAITS,)) if path == "dags/shop_training/assets/queuedEvents" else 0
        self.say(
            {
                "dag_runs": [run for run in shown if run is not WAITS],
                "dags": [{"dag_id": "shop_training"}, {"dag_id": "other_training"}],
                "task_instances": [],
                "total_entries": queued,
            }
        )

    def say(self, what: dict[str, Any]) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(what).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """A watch on an Airflow that a test lets go on."""
    (tmp_path / PASSWORDS).write_text('{"admin": "a"}')
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Airflow)
    Thread(target=server.serve_forever, daemon=True).start()
    api = AirflowApi(f"http://127.0.0.1:{server.server_port}", tmp_path)
    yield Watch(SimpleNamespace(api=api, home=tmp_path), "shop", print)  # type: ignore[arg-type]  # as far as it is used
    server.shutdown()


@pytest.mark.parametrize(
    "states",
    [
        [[LOADED, ENDED]],
        [[], [LOADED | {"state": "running"}], [LOADED], [LOADED, ENDED]],
        [[LOADED, RUNS], [LOADED, ENDED]],
        [[LOADED, WAITS], [LOADED, WAITS], [LOADED, RUNS], [LOADED, ENDED]],
        [[LOADED], [LOADED, RUNS], [LOADED, ENDED]],  # it began between the look at the runs and that at the events
    ],
)
def test_it_is_at_rest_when_nothing_runs_and_nothing_follows(watch: Watch, states: list[list[dict[str, Any]]]) -> None:
    """A run, an event that has yet to start one, or one that began meanwhile: each is waited for."""
    Airflow.states = list(states)
    watch.until_rest(DAY, 30)
    assert Airflow.states == [states[-1]]


def test_it_does_not_wait_for_ever(watch: Watch) -> None:
    """What never comes to rest is told."""
    Airflow.states = [[LOADED, WAITS]]
    with pytest.raises(BackendError, match="did not come to rest within 1 s"):
        watch.until_rest(DAY, 0.6)
