"""``airflow mlops up`` on a folder of one's own: a product, copied DAG files, and nothing of the reference product."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_mlops_provider.demo.local_airflow.api import AirflowApi
from airflow_mlops_provider.demo.local_airflow.stack import recorded
from tests.factories.rain import NAME, PRODUCTS

pytestmark = pytest.mark.system
DAGS = Path(__file__).parents[2] / "dags"
PIPELINES = {"feature_engineering", "training", "deployment", "batch_inference", "monitoring"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home that is named; nothing is there before."""
    return tmp_path_factory.mktemp("up") / "home"


@pytest.fixture(scope="module")
def mlops(home: Path) -> Iterator[Callable[..., str]]:
    """Return a function that runs ``airflow mlops …`` with that home at hand and returns what it printed."""

    def run(*arguments: str) -> str:
        env = {**os.environ, "AIRFLOW_HOME": str(home), "COLUMNS": "300", "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", "airflow", "mlops", *arguments]
        done = subprocess.run(command, env=env, cwd=home.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    run("down", "--home", str(home))


@pytest.mark.timeout(400)
def test_a_folder_of_ones_own_is_started(mlops: Callable[..., str], home: Path, tmp_path: Path) -> None:
    """Its pipelines appear without an import error, every command finds its product, and all ends with `down`."""
    from tests.factories.ports import free_port

    shutil.copytree(PRODUCTS / NAME, tmp_path / NAME)
    for file in DAGS.glob("*.py"):
        shutil.copy(file, tmp_path)
    home.mkdir()
    port, mlflow = free_port(), free_port()
    named = ("--dags", str(tmp_path), "--home", str(home), "--port", str(port), "--mlflow-port", str(mlflow))
    told = mlops("up", *named)
    assert str(home / "landing") in told and "days/2012.csv" in told and "flight_delay" not in told

    api, wanted = AirflowApi(f"http://127.0.0.1:{port}", home), {f"{NAME}_{pipeline}" for pipeline in PIPELINES}
    deadline = time.monotonic() + 120
    while not (found := {dag["dag_id"] for dag in api.get("dags")["dags"]}) >= wanted:
        assert time.monotonic() < deadline, api.get("importErrors")
        time.sleep(0.5)
    assert not any(dag_id.startswith("flight_delay") for dag_id in found)
    assert api.get("importErrors")["import_errors"] == []

    assert NAME in mlops("products") and "flight_delay" not in mlops("products")
    assert str(home / "landing") in mlops("history", NAME)
    assert "no open requests" in mlops("feedback", NAME)
    assert "stopped" in mlops("down")
    assert not recorded(home)
