"""``airflow mlops stale``: what it lists, and which runs it clears in a real Airflow's database."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import declare
from tests.factories.shop import DAYS, ShopWorld

FIRST, SECOND = (day.key for day in DAYS)
DAG = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("shop", schedule=None):
    EmptyOperator(task_id="extract")
"""


class Shop(ShopWorld):
    """The shop, in an Airflow's DAG of that name; each day's run has the day's key for its id."""

    home: Path

    def spec(self, job: str, *, attempt: int = 1, **fields: Any) -> JobSpec:
        """Return what asks for a job, on behalf of a day's run."""
        day = fields.get("interval") or DAYS[0]
        run = RunIdentity(dag_id="shop", run_id=day.key, task_id=job, try_number=attempt)
        return super().spec(job, attempt=attempt, **{"run": run, **fields})

    def go_live(self) -> None:
        """Let a version serve that learned of both days."""
        version = self.learn()
        for status in (Status.STAGING, Status.PRODUCTION_READY, Status.LIVE):
            Ledger(open_store(str(self.root)), self.name).move(version, status, reason="test", by="test")

    def correct(self) -> None:
        """Deliver both days again, with other amounts, and read them."""
        for day in DAYS:
            self.deliver_day(7, day)
            self.job("extract", day)

    def remakes(self, *, by_itself: bool) -> None:
        """Declare whether what is stale is made anew by itself."""
        features = self.product.features.model_copy(update={"remake_stale": by_itself})
        declare(open_store(str(self.root)), self.product.model_copy(update={"features": features}))

    def airflow(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the Airflow that has the runs."""
        ours = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__MLOPS__ARTIFACT_ROOT": str(self.root),
            "AIRFLOW__MLOPS__PRODUCTS_FOLDERS": str(self.products),
            "PYTHONWARNINGS": "ignore",
        }
        command, env = [sys.executable, "-m", "airflow", *arguments], {**os.environ, **ours}
        return subprocess.run(command, env=env, cwd=self.home, capture_output=True, text=True, check=False)

    def stale(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return self.airflow("mlops", "stale", self.name, *options)

    def runs(self) -> dict[str, str]:
        """Return the state of each run."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            return dict(database.execute("select run_id, state from dag_run order by run_id").fetchall())

    def let_runs_be(self, state: str) -> None:
        """Say that each run, and each of its tasks, is in some state."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as database, database:
            for table in ("dag_run", "task_instance"):
                database.execute(f"update {table} set state = ?", (state,))

    def trigger(self) -> None:
        """Make each day's run."""
        (self.home / "dags").mkdir()
        (self.home / "dags" / "shop.py").write_text(DAG)
        calls = (("dags", "reserialize"), *(("dags", "trigger", "shop", "--run-id", run) for run in (FIRST, SECOND)))
        for arguments in calls:
            done = self.airflow(*arguments)
            assert done.returncode == 0, done.stderr


@pytest.fixture
def shop(tmp_path: Path, prepared_home: Callable[[], Path]) -> Shop:
    """Two days, engineered."""
    world = Shop(tmp_path)
    world.home = prepared_home()
    return world


def test_what_is_stale_is_listed_with_reasons_and_runs(shop: Shop) -> None:
    """Before a correction nothing is; after it both days are, the oldest first, and what the live version learned."""
    shop.go_live()
    done = shop.stale()
    assert (done.returncode, done.stdout) == (0, f"nothing is stale of {shop.name}\n"), done.stderr
    shop.correct()
    clean = shop.job("clean", DAYS[0], raw=shop.job("extract", DAYS[0]))
    shop.job("compute", DAYS[0], clean=(clean,))
    done = shop.stale()
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("computed and not loaded") < done.stdout.index("read again since it was cleaned")
    assert f"shop {SECOND}" in done.stdout
    assert f"version 1 learned from an older {DAYS[0]}" in done.stdout
    listed = json.loads(shop.stale("--json").stdout)
    assert [entry["interval"] for entry in listed["stale"]] == [day.to_json() for day in DAYS]
    assert listed["stale"][1]["reasons"] == ["its sources were read again since it was cleaned"]
    assert listed["stale"][0]["run"]["run_id"] == FIRST
    assert listed["learned"] == [f"version 1 learned from an older {DAYS[0]}"]


def test_runs_are_cleared_as_declared(shop: Shop) -> None:
    """Where a run's last task goes on with the next, only the oldest; else all. One on its way is left alone."""
    for day in DAYS:
        shop.engineer(day)
    shop.correct()
    done = shop.stale("--remake")
    assert done.returncode == 1
    assert done.stderr.count(f"this Airflow has no shop {FIRST}") == 1
    shop.trigger()
    shop.let_runs_be("running")
    done = shop.stale("--remake")
    assert (done.returncode, done.stderr.count("is running already")) == (1, 2), done.stderr
    shop.let_runs_be("success")
    done = shop.stale("--remake")
    assert done.returncode == 0, done.stderr
    assert shop.runs() == {FIRST: "queued", SECOND: "success"}
    shop.let_runs_be("failed")
    shop.remakes(by_itself=False)
    done = shop.stale("--remake")
    assert done.returncode == 0, done.stderr
    assert shop.runs() == {FIRST: "queued", SECOND: "queued"}


def test_a_mistyped_product_is_refused(shop: Shop) -> None:
    """Nothing is stale of what there is not; the known ones are named."""
    done = shop.airflow("mlops", "stale", f"{shop.name}x")
    assert done.returncode == 1
    assert shop.name in done.stderr.partition("known: ")[2]
