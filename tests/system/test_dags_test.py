"""``airflow dags test``, the quick way to try a DAG: the documented custom task runs, and asset events are real."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset
from tests.factories.tiny import TinyWorld, manifests

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "custom_task.md"
#: A DAG that sends an event, one that waits for it, and one that does so and is paused.
PAIR = """
from airflow.sdk import DAG, Asset, task

asset = Asset("probe://rows")
with DAG("producer", schedule=None):
    task(outlets=[asset])(lambda: 1).override(task_id="send")()
for name, paused in (("awake", False), ("asleep", True)):
    with DAG(name, schedule=[asset], is_paused_upon_creation=paused):
        task(lambda: 2).override(task_id="take")()
"""


@pytest.fixture
def try_run(prepared_home: Callable[[], Path], tmp_path: Path) -> Callable[..., Path]:
    """Return a function that tests one run of a DAG in a home of its own, and gives that home."""

    def run(dags: Path, dag_id: str, date: str, **settings: str) -> Path:
        home = prepared_home()
        settings = {"CORE__DAGS_FOLDER": str(dags), "CORE__LOAD_EXAMPLES": "False", **settings}
        env = {**os.environ, "AIRFLOW_HOME": str(home), **{f"AIRFLOW__{key}": value for key, value in settings.items()}}
        command = [sys.executable, "-m", "airflow", "dags", "test", dag_id, date]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return home

    return run


@pytest.mark.system
@pytest.mark.timeout(700)
def test_the_documented_custom_task(try_run: Callable[..., Path], tmp_path: Path) -> None:
    """The guide's DAG as it stands: the rows that its task left out are gone, and the record names the task."""
    world = TinyWorld(tmp_path)
    world.deliver(
        "shop,amount,at\nnorth,1.5,2024-01-01T08:00:00Z\nnorth,-1.5,2024-01-01T09:00:00Z\nsouth,2,2024-01-01T09:00:00Z\n"
    )
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    (world.products / "sales.py").write_text(example)
    roots = {"MLOPS__ARTIFACT_ROOT": str(world.root), "MLOPS__LANDING_ROOT": str(world.landing)}
    try:
        try_run(world.products, "sales", "2024-01-02", **roots)
    finally:
        world.close()
    (clean,) = manifests(world, "clean")
    (custom,) = manifests(world, "custom_task")
    given = clean.spec.inputs["raw"]
    assert isinstance(given, Dataset) and isinstance(custom.result, Dataset)
    assert (given.hash, given.interval) == (custom.result.hash, custom.spec.interval)
    assert custom.result.facts["rows"] == {"sales": 2}
    assert (custom.spec.run.dag_id, custom.spec.run.task_id) == ("sales", "without_returns")
    made_of: Manifest = manifests(world, "extract")[0]
    assert custom.spec.inputs["like"] == made_of.result
    assert str(given.interval) == "2024-01-01 00:00/2024-01-02 00:00"  # the one that ended at the date


@pytest.mark.system
@pytest.mark.timeout(700)
def test_asset_events_are_real(try_run: Callable[..., Path], tmp_path: Path) -> None:
    """The event is recorded, and a consumer that is switched on is queued: any scheduler of that home would run it."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "pair.py").write_text(PAIR)
    home = try_run(tmp_path / "dags", "producer", "2024-01-02")
    with sqlite3.connect(home / "airflow.db") as database:
        (events,) = database.execute("select count(*) from asset_event").fetchone()
        queued = [dag_id for (dag_id,) in database.execute("select target_dag_id from asset_dag_run_queue")]
        started = [dag_id for (dag_id,) in database.execute("select dag_id from dag_run")]
    assert (events, queued, started) == (1, ["awake"], ["producer"])
