"""A new folder, no operator touched: the reference pipelines train, serve and monitor a second product."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.demo.watch import Watch
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.rain import NAME, PRODUCTS, deliver, year

ALL = "MLOPS_TEST_PRODUCTS"
DAGS = Path(__file__).parents[2] / "dags"
PIPELINES = {
    f"{NAME}_{pipeline}"
    for pipeline in ("feature_engineering", "training", "deployment", "batch_inference", "monitoring")
}


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """The artifact root."""
    return tmp_path / "artifacts"


@pytest.fixture
def rain(stack_factory: Callable[..., Stack], free_port: Callable[[], int], tmp_path: Path, artifacts: Path) -> Stack:
    """An Airflow on the reference DAGs, with the second product beside them; only its pipelines are switched on."""
    settings = {
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "MLOPS__PRODUCTS_FOLDERS": str(PRODUCTS),
        "MLOPS__ARTIFACT_ROOT": str(artifacts),
        "MLOPS__LANDING_ROOT": str(tmp_path / "landing"),
        "MLOPS__POKE_SECONDS": "1",
        "MLOPS__SERVING_PORT": str(free_port()),
    }
    stack = stack_factory(DAGS, env={f"AIRFLOW__{name}": value for name, value in settings.items()})
    deadline = time.monotonic() + 90
    while not {dag["dag_id"] for dag in stack.api.get("dags")["dags"]} >= PIPELINES:
        assert time.monotonic() < deadline, stack.api.get("importErrors")
        time.sleep(0.5)
    for dag_id in PIPELINES:
        stack.api.call("PATCH", f"dags/{dag_id}", body={"is_paused": False})
    return stack


@pytest.mark.system
@pytest.mark.timeout(900)
@pytest.mark.skipif(not os.environ.get(ALL), reason=f"{ALL}=1 has another product go through a real Airflow")
def test_the_same_pipelines_train_and_serve_it(rain: Stack, artifacts: Path, tmp_path: Path) -> None:
    """Two years bring a model that answers over REST; the third is predicted and judged with it, and needs no other."""
    watch = Watch(rain, NAME, print)
    for number in (2012, 2013):
        deliver(tmp_path / "landing", year(number))
    watch.until_rest(year(2013).start, timeout=400)
    store = open_store(str(artifacts))
    live = Ledger(store, NAME).live()
    assert live is not None
    assert ask(rain, "2014-01-01T00:00:00Z")["version"] == live.version

    deliver(tmp_path / "landing", year(2014))
    watch.until_rest(year(2014).start, timeout=400)
    predicted = current(store, NAME, "predictions")
    assert {entry.version.version for entry in Ledger(store, NAME).entries()} == {
        1
    }  # a new model is due after two years
    assert [(one.interval, one.facts["rows"]) for one in predicted] == [(year(2014), 365)]

    runs = [run for run in watch.runs() if run["state"] != "running"]  # one still waits for 2015
    assert {run["dag_id"] for run in runs} == PIPELINES
    assert {run["state"] for run in runs} == {"success"}


def ask(stack: Stack, when: str) -> Any:
    """Ask the product's model server for one evening."""
    url = f"http://127.0.0.1:{stack.env['AIRFLOW__MLOPS__SERVING_PORT']}/predict"
    body = json.dumps({"rows": [{"station": "Seattle", "month": 1, "event_time": when}]}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
        return json.load(answer)
