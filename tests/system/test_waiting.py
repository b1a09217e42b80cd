"""In a real Airflow: a deferred sensor goes on once its model moved, and asset watchers start runs, across restarts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.backends.tracking.mlflow.server import MlflowServer
from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.exceptions import BackendError
from tests.factories.stack import restart

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

DAGS = """
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_mlops_provider.sensors.registry import MlflowModelVersionSensor
from airflow_mlops_provider.triggers.deliveries import DeliveryTrigger
from airflow_mlops_provider.triggers.registry import MlflowModelVersionTrigger

delivered = DeliveryTrigger(path="{landing}/*.csv", settle_seconds=1, seconds=0.5)
files = Asset("files", watchers=[AssetWatcher(name="files", trigger=delivered)])
moved = MlflowModelVersionTrigger(name="eta", alias="champion", conn_id="team_mlflow", seconds=0.5)
champion = Asset("champion", watchers=[AssetWatcher(name="champion", trigger=moved)])

for name, asset in (("on_files", files), ("on_champion", champion)):
    with DAG(name, schedule=[asset]):
        task(lambda: None, task_id="done")()

with DAG("wait", schedule=None):
    MlflowModelVersionSensor(
        task_id="champion_moved", name="eta", alias="champion", conn_id="team_mlflow",
        deferrable=True, poke_interval=0.5,
    )
"""


class World:
    """A team's MLflow, in which model ``eta`` has two versions, and a folder into which files are delivered."""

    def __init__(self, folder: Path) -> None:
        self.landing, self.dags = folder / "landing", folder / "dags"
        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.client = MlflowServer(self.uri).client
        self.client.create_registered_model("eta")
        for number in (1, 2, 3):
            self.client.create_model_version("eta", f"s3://somewhere/{number}")
        self.move(1)
        self.landing.mkdir()
        self.dags.mkdir()
        self.deliver("old")
        (self.dags / "waiting.py").write_text(DAGS.format(landing=self.landing))

    def move(self, version: int) -> None:
        """Let the alias point at a version."""
        self.client.set_registered_model_alias("eta", "champion", str(version))

    def deliver(self, name: str) -> None:
        """Rename a file into place."""
        whole = self.landing / f"{name}.part"
        whole.write_text(name)
        whole.rename(self.landing / f"{name}.csv")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The team's services."""
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def airflow(world: World, stack_factory: Callable[..., Stack]) -> Stack:
    """A real Airflow on those DAGs."""
    settings = {"CORE__DAGS_ARE_PAUSED_AT_CREATION": "False", "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5"}
    env = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    connection = '{"conn_type": "mlflow", "host": "%s"}' % world.uri  # noqa: UP031 - it is full of braces
    return stack_factory(world.dags, env={**env, "AIRFLOW_CONN_TEAM_MLFLOW": connection})


def until(what: str, holds: Callable[[], Any], seconds: float = 400) -> Any:
    """Wait until something holds, and return what it gave."""
    ends = time.monotonic() + seconds
    while not (given := holds()):
        assert time.monotonic() < ends, f"waited in vain until {what}"
        time.sleep(0.5)
    return given


def events(airflow: Stack, asset: str) -> list[Any]:
    """Return what the events of an asset carry, oldest first."""
    try:
        return [event["extra"]["payload"] for event in airflow.api.asset_events() if event["name"] == asset]
    except BackendError:  # Airflow 3.3 shows no event as long as a run that came of one is queued
        return []


def newest(airflow: Stack) -> list[str]:
    """Return the newest file of each event on deliveries."""
    return [event["delivered"][-1] for event in events(airflow, "files")]


def test_a_deferred_sensor_goes_on_once_the_alias_moved(airflow: Stack, world: World) -> None:
    """Moved by plain MLflow code; the task hands on the version, and the watcher of the same alias fires as well."""
    run = airflow.api.trigger("wait")
    path = f"dags/wait/dagRuns/{run}/taskInstances/champion_moved"
    until("the task is deferred", lambda: airflow.api.get(path)["state"] == "deferred")
    time.sleep(10)  # long enough for looks that see no change, and for the watchers' first looks
    assert airflow.api.get(path)["state"] == "deferred"
    world.move(2)
    until("it is done", lambda: airflow.api.get(path)["state"] == "success")
    handed_on = airflow.api.get(f"{path}/xcomEntries/return_value")["value"]
    assert (handed_on["name"], handed_on["alias"], handed_on["version"]) == ("eta", "champion", 2)
    until("the watcher saw it", lambda: [event["version"] for event in events(airflow, "champion")] == [2])
    until("its DAG ran", lambda: [r["state"] for r in airflow.api.dag_runs("on_champion")] == ["success"])


def test_a_watcher_starts_a_run_for_each_delivery(airflow: Stack, world: World) -> None:
    """What lay there at first is no event; a delivery while the triggerer is down is one when it is back, once."""
    world.deliver("new")
    until("the delivery is noticed", lambda: newest(airflow) == ["new.csv"])
    until("its DAG ran", lambda: [r["state"] for r in airflow.api.dag_runs("on_files")] == ["success"])
    time.sleep(3)  # the watcher keeps what it has seen at its next look
    process = airflow._started["triggerer"].process()
    assert process is not None
    process.terminate()
    process.wait(30)
    world.deliver("meanwhile")
    restart(airflow, "triggerer")
    until("that is noticed", lambda: newest(airflow) == ["new.csv", "meanwhile.csv"])
    until("both runs are through", lambda: [r["state"] for r in airflow.api.dag_runs("on_files")] == ["success"] * 2)
    time.sleep(5)
    assert len(newest(airflow)) == 2
