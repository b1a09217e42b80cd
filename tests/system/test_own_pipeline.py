"""Whole pipelines in a few lines, in a real Airflow: a step inserted, one replaced, two as groups of another DAG."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.storage.artifacts import FolderStore, content_hash
from airflow_mlops_provider.storage.intervals import current
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records
from tests.factories.rain import NAME, PRODUCTS, deliver, year

ALL = "MLOPS_TEST_PRODUCTS"
LONG = pytest.mark.skipif(not os.environ.get(ALL), reason=f"{ALL}=1 has pipelines of one's own run")
pytestmark = [pytest.mark.system, pytest.mark.timeout(900), LONG]
FEATURES, MINE = f"{NAME}_feature_engineering", "mine"
DAGS = """
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow.sdk import DAG, task
from airflow_mlops_provider import MLOpsDag, MLOpsTaskGroup
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.pipelines import products

(product,) = products(__file__)


@task
def without_storms(clean):
    import pandas as pd

    days, store = pd.read_parquet(f"{clean['uri']}/days.parquet"), ArtifactStoreHook().store()
    key = f"own/{clean['hash']}"
    with TemporaryDirectory() as folder:
        calm = days[days["wind"] <= float(Path(os.environ["TEST_WIND"]).read_text())]
        calm.to_parquet(f"{folder}/days.parquet", index=False)
        store.upload(Path(folder), key)
    return {**clean, "uri": f"{store.uri}/{key}"}


@task
def check(dataset):
    import pandas as pd

    days = pd.read_parquet(f"{dataset['uri']}/days.parquet")
    assert days["date"].is_unique
    return len(days)


with MLOpsDag(product, "feature_engineering", replace={"validate_raw": check}) as dag:
    dag["compute"].clean = without_storms(dag["clean"].output)

with DAG("mine", schedule=None):
    training = MLOpsTaskGroup(product, "training", without=["retune"])
    training >> MLOpsTaskGroup(product, "deployment", group_id="deployment")
"""


class Rain:
    """An Airflow with these DAGs alone, and what lies in its artifact root."""

    def __init__(self, folder: Path) -> None:
        self.landing, self.wind, self.dags = folder / "landing", folder / "wind", folder / "dags"
        self.store = FolderStore(folder / "artifacts")
        self.dags.mkdir()
        (self.dags / "pipelines.py").write_text(DAGS)
        self.wind.write_text("8")

    def features(self, number: int) -> Manifest:
        """Return the manifest of a year's features."""
        (features,) = [one for one in current(self.store, NAME, "features") if one.interval == year(number)]
        return Records(self.store).manifest_of(features)

    def own(self, number: int) -> tuple[str, str]:
        """Return place and content of the table that the inserted step wrote."""
        (clean,) = [one for one in current(self.store, NAME, "clean") if one.interval == year(number)]
        folder = self.store.root / "own" / clean.hash
        return folder.as_uri(), content_hash(folder)


@pytest.fixture(scope="module")
def rain(tmp_path_factory: pytest.TempPathFactory) -> Rain:
    """The product, its two DAGs, and two years delivered."""
    rain = Rain(tmp_path_factory.mktemp("rain"))
    for number in (2012, 2013):
        deliver(rain.landing, year(number))
    return rain


@pytest.fixture(scope="module")
def airflow(rain: Rain, stack_factory: Callable[..., Stack]) -> Stack:
    """A real Airflow on them."""
    from tests.factories.ports import free_port

    settings = {
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "MLOPS__PRODUCTS_FOLDERS": str(PRODUCTS),
        "MLOPS__ARTIFACT_ROOT": str(rain.store.root),
        "MLOPS__LANDING_ROOT": str(rain.landing),
        "MLOPS__POKE_SECONDS": "1",
        "MLOPS__SERVING_PORT": str(free_port()),
    }
    env = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    return stack_factory(rain.dags, env={**env, "TEST_WIND": str(rain.wind)})


def until(airflow: Stack, what: str, holds: Callable[[], Any], seconds: float = 600) -> Any:
    """Wait until something holds, and return what it gave."""
    ends = time.monotonic() + seconds
    while not (seen := holds()):
        assert time.monotonic() < ends, f"waited in vain until {what}: {airflow.api.get('importErrors')}"
        time.sleep(0.5)
    return seen


def run_of(airflow: Stack, interval: Interval) -> dict[str, Any]:
    """Return the run of feature engineering that works on a year."""
    start = f"{interval.start:%Y-%m-%d}"
    runs = airflow.api.dag_runs(FEATURES)
    return next((run for run in runs if run["data_interval_start"].startswith(start)), {})


def test_the_next_step_works_on_the_changed_table(airflow: Stack, rain: Rain) -> None:
    """What the inserted step wrote is computed from, by its own hash, in its year and where the next looks back."""
    until(airflow, "both years are through", lambda: run_of(airflow, year(2013)).get("state") == "success")
    tasks = airflow.api.task_instances(FEATURES, run_of(airflow, year(2013))["dag_run_id"])
    states = {one["task_id"]: one["state"] for one in tasks}
    assert states.pop("features.remake_stale") == "skipped"  # nothing is
    assert states == dict.fromkeys(
        (
            *("sources.wait_for_delivery", "sources.extract", "validation.validate_raw"),
            *("features.clean", "without_storms", "features.compute", "features.load"),
        ),
        "success",
    )
    assert {one["operator"] for one in tasks if "validate" in one["task_id"]} == {"_PythonDecoratedOperator"}
    made = rain.features(2013)
    tables = [table for table in made.spec.given("clean") if isinstance(table, Dataset)]
    assert [(table.uri, table.hash) for table in tables] == [rain.own(2012), rain.own(2013)]
    assert all(by.endswith("/without_storms") for by in made.external.values()) and len(made.external) == 2
    cleaned = {table.hash for table in current(rain.store, NAME, "clean")}
    assert not cleaned & {table.hash for table in tables}
    assert made.result is not None and made.result.facts["rows"]["recent_weather"] < 365


def test_another_table_is_noticed(airflow: Stack, rain: Rain) -> None:
    """A run that is cleared finds its features again; where the inserted step writes another table, it makes others."""
    before = rain.features(2013)
    for wind, same in (("8", True), ("7", False)):
        rain.wind.write_text(wind)
        run = run_of(airflow, year(2013))
        tried = run["end_date"]
        airflow.api.post(f"dags/{FEATURES}/dagRuns/{run['dag_run_id']}/clear", {"dry_run": False})
        until(
            airflow,
            "it is done again",
            lambda tried=tried: (now := run_of(airflow, year(2013)))["state"] == "success" and now["end_date"] != tried,
        )
        after = rain.features(2013)
        assert (after.address == before.address) is same
        assert after.spec.given("clean")[-1].hash == rain.own(2013)[1]


def test_pipelines_as_groups_of_one_dag(airflow: Stack, rain: Rain) -> None:
    """Training, without retuning, and deployment run one after another by hand in somebody's own DAG."""
    run_id = airflow.api.trigger(MINE)
    until(airflow, "it has ended", lambda: airflow.api.dag_runs(MINE)[0]["state"] in {"success", "failed"})
    states = {one["task_id"]: one["state"] for one in airflow.api.task_instances(MINE, run_id)}
    assert states["deployment.deployment.deploy"] == "success", states
    assert f"{NAME}_training.registry.promote" in states and not [name for name in states if "retune" in name]
    live = Ledger(rain.store, NAME).live()
    assert live is not None and live.version == 1
