"""The tutorial of a team that has Feast, MLflow, Great Expectations and PostgreSQL already, done as its page says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.model_server import launcher
from airflow_mlops_provider.demo.local_airflow.stack import Stack
from tests.factories import postgres
from tests.factories.attack import until
from tests.factories.blocks import ROOT, blocks
from tests.factories.mlflow import mlflow_server
from tests.factories.ports import free_port

PAGE = ROOT / "docs" / "tutorial" / "existing_stack.md"
PASSWORD = "open sesame"
ALL = "MLOPS_TEST_PRODUCTS"
LONG = pytest.mark.skipif(not os.environ.get(ALL), reason=f"{ALL}=1 has the tutorial of an existing stack done")
pytestmark = [pytest.mark.system, pytest.mark.timeout(900), LONG, *postgres.NEEDED]


class Team:
    """What a team has before it hears of us."""

    def __init__(self, folder: Path, mlflow: str, port: int) -> None:
        self.folder, self.mlflow, self.port, self.serving = folder, mlflow, port, free_port()
        self.files = {block.marks["file"]: block.text for block in blocks(PAGE, "python") if "file" in block.marks}
        (self.sql,) = (block.text for block in blocks(PAGE, "sql"))
        self.do("-m", "feast.cli.cli", "init", "drivers")
        self.repository = folder / "drivers" / "feature_repo"
        self.stats = pd.read_parquet(self.repository / "data" / "driver_stats.parquet")
        self.until = self.stats["event_timestamp"].quantile(0.7).floor("h")
        self.trips = self.made_trips()
        self.fill()

    def do(self, *arguments: str) -> None:
        """Run Python in the team's folder."""
        known = {
            name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")
        }  # other tests' too
        env = {**known, "MLFLOW_TRACKING_URI": self.mlflow, "FEAST_USAGE": "False"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def made_trips(self) -> pd.DataFrame:
        """Return trips, each a while after what is known of its driver; a driver with a low rate is late."""
        random = np.random.default_rng(4)
        known = self.stats.dropna().sample(900, random_state=4)
        late = random.random(len(known)) < 1 / (1 + np.exp(8 * (known["conv_rate"] - 0.5)))
        at = known["event_timestamp"] + pd.Timedelta("10min")
        trips = pd.DataFrame({"driver_id": known["driver_id"], "at": at, "late": late.astype(int)})
        return trips.assign(conv_rate=known["conv_rate"])

    def fill(self) -> None:
        """Fill the warehouse, and register a model and write a suite as the page says."""
        import psycopg2

        with psycopg2.connect(
            f"host=127.0.0.1 port={self.port} dbname=postgres user=team password='{PASSWORD}'"
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(self.sql)
            for trip in self.trips.itertuples():
                cursor.execute("insert into trips values (%s, %s, %s)", (trip.driver_id, trip.at, trip.late))
        self.trips.to_csv(self.folder / "yesterday.csv", index=False)
        for name in ("baseline.py", "suite.py"):
            (self.folder / name).write_text(self.files[name])
            self.do(name)

    def env(self, artifacts: Path) -> dict[str, str]:
        """Return the page's three connections, and where we keep what we make."""
        feast = {"conn_type": "feast", "extra": {"repository": str(self.repository)}}
        mlflow = {"conn_type": "mlflow", "host": "127.0.0.1", "port": int(self.mlflow.rpartition(":")[2])}
        warehouse = {"conn_type": "postgres", "host": "127.0.0.1", "port": self.port, "schema": "postgres"}
        return {
            "AIRFLOW_CONN_FEAST_PROD": json.dumps(feast),
            "AIRFLOW_CONN_MLFLOW_PROD": json.dumps(mlflow),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({**warehouse, "login": "team", "password": PASSWORD}),
            "AIRFLOW__MLOPS__ARTIFACT_ROOT": str(artifacts),
            "AIRFLOW__MLOPS__SERVING_PORT": str(self.serving),
        }


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Return a team with its servers."""
    folder = tmp_path_factory.mktemp("team")
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as uri, postgres.server("team", PASSWORD) as port:
        yield Team(folder, uri, port)


@pytest.fixture
def stack(team: Team, tmp_path: Path, stack_factory: Callable[..., Stack]) -> Iterator[Stack]:
    """Return an Airflow with the page's DAG, which runs in the team's folder as far as paths go."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "eta.py").write_text(team.files["dags/eta.py"])
    stack = stack_factory(tmp_path / "dags", env=team.env(tmp_path / "artifacts"))
    (stack.home / "quality").symlink_to(team.folder / "quality")
    yield stack
    launcher.stop("eta", str(tmp_path / "artifacts"))


def test_the_page_works(team: Team, stack: Stack, tmp_path: Path) -> None:
    """Every task succeeds, the model is served and predicts, no secret is in a record, nothing is declared."""
    until(lambda: any(dag["dag_id"] == "eta" for dag in stack.api.get("dags")["dags"]))
    run = stack.api.trigger("eta", {"until": team.until.isoformat()})
    path = f"dags/eta/dagRuns/{run}"
    until(lambda: stack.api.get(path)["state"] in {"success", "failed"}, 600)
    tasks = stack.api.task_instances("eta", run)
    broken = [task["task_id"] for task in tasks if task["state"] != "success"]
    assert not broken, [stack.api.get(f"{path}/taskInstances/{name}/logs/1", full_content="true") for name in broken]
    scored = pd.read_parquet(stack.home / "eta" / "predictions.parquet")
    assert len(scored) == (team.trips["at"] >= team.until).sum()
    row = {"conv_rate": 0.2, "acc_rate": 0.5, "avg_daily_trips": 120}
    answer = httpx.post(f"http://127.0.0.1:{team.serving}/predict", json={"rows": [row]}, trust_env=False).json()
    assert answer["version"] == 1
    assert 0.5 < answer["predictions"][0]["probability"] < 1
    records: list[Any] = [file.read_text("utf-8") for file in (tmp_path / "artifacts").rglob("*.json")]
    assert records
    assert not [text for text in records if PASSWORD in text]
