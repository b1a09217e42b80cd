"""SIGKILL for a job, for a whole task, for the scheduler, with and without its workers: the product's run finishes."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.demo.home import ARTIFACTS, LANDING, environment, prepare_mlflow
from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.demo.watch import Watch
from airflow_mlops_provider.discovery import intervals
from airflow_mlops_provider.jobs.tables import EXAMPLES
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.intervals import current
from airflow_mlops_provider.storage.ledger import Ledger
from flight_delay.product import product
from flight_delay.replay import deliver
from tests.factories.ports import free_port
from tests.factories.stack import pids, restart, running

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("MLOPS_TEST_WEATHER") != "1", reason="takes long: MLOPS_TEST_WEATHER=1 runs it"),
]
DAGS = Path(__file__).parents[2] / "dags"
NAME = product.name
MONTHS = intervals(product, 3)
JOBS = {
    **dict.fromkeys(("extract", "clean", "compute", "load"), 3),
    "validate": 4,
    **dict.fromkeys(("training_set", "train", "evaluate", "register", "promote", "deploy"), 1),
}
# By default Airflow gives a silent task five minutes and a silent scheduler half a minute.
QUICK = {
    "MLOPS__RETRY_SECONDS": "1",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "2",
    "MLOPS__WARM_JOBS": "False",  # a job's parents are those that are killed
}


@dataclass(frozen=True)
class Victim:
    """A running task: its job, the process that runs the task, the worker that looks after it, and the scheduler."""

    job: psutil.Process
    runner: psutil.Process
    worker: psutil.Process
    scheduler: psutil.Process


@dataclass
class Survived:
    """What is left once three months have gone through, with a kill or two in each.

    :param runs, tasks: all of the product's runs and task instances, as the API shows them.
    """

    home: Path
    stack: Stack
    runs: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.home / ARTIFACTS

    @cached_property
    def features(self) -> FeatureStoreBackend:
        return FeatureStoreBackend(product.shape, self.root / NAME / "feast")

    @cached_property
    def manifests(self) -> list[Manifest]:
        files = sorted((self.root / NAME).glob("*/*/manifest.json"))
        return [Manifest.model_validate_json(file.read_bytes()) for file in files]

    def of(self, job: str) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest.spec.job == job]


@pytest.fixture(scope="module")
def survived(stack_factory: Callable[..., Stack], prepared_home: Callable[[], Path]) -> Survived:
    """Deliver three months to a real Airflow, and kill what works on them."""
    home = prepared_home()
    env = environment(home, free_port()) | {f"AIRFLOW__{name}": value for name, value in QUICK.items()}
    prepare_mlflow(home)
    stack = stack_factory(DAGS, home=home, env=env)
    one, watch = Survived(home, stack), Watch(stack, NAME, print)
    plan = [lose_scheduler], [lose_task], [lose_job, lose_scheduler_and_workers]
    for month, faults in zip(MONTHS, plan, strict=True):
        deliver(home / LANDING, month)
        for fault in faults:
            fault(one)
        watch.until_rest(month.start, timeout=300)
    one.runs, one.tasks = watch.runs(), watch.tasks()
    return one


def lose_scheduler(one: Survived) -> None:
    """Kill the scheduler while a task runs: the task may end by itself, or be told to when it is given out again."""
    victim = find(one, "validation.validate_raw")
    kill(victim.scheduler)
    assert victim.job.is_running()
    restart(one.stack, "scheduler", timeout=120)


def lose_task(one: Survived) -> None:
    """Kill a task and its worker in the midst of loading: only its missing heartbeats tell Airflow."""
    victim = find(one, "features.load")
    victim.runner.suspend()  # so that it can't have reported success when the kill comes
    until(lambda: one.features.offline.file("aircraft", MONTHS[1]).exists())
    kill(victim.worker, victim.runner)
    gone_by_itself(victim.job)


def lose_job(one: Survived) -> None:
    """Kill a training's process: the task notices at once."""
    victim = find(one, "training.train")
    time.sleep(1)
    kill(victim.job)


def lose_scheduler_and_workers(one: Survived) -> None:
    """Kill scheduler, workers and task once the version is in the ledger, as a machine that loses power would."""
    victim = find(one, "registry.register")
    victim.runner.suspend()
    until((one.root / NAME / "ledger" / "00000000.json").exists)
    workers = victim.scheduler.children()
    kill(victim.scheduler, *workers, victim.runner)
    gone_by_itself(victim.job)
    restart(one.stack, "scheduler", timeout=120)


def find(one: Survived, task_id: str) -> Victim:
    """Wait for the first try of a task, and return its processes once its job runs."""

    def job() -> psutil.Process | None:
        for process in running(one.stack):
            with suppress(psutil.NoSuchProcess):  # it may end, or be a zombie, between two looks
                if process.environ().get("AIRFLOW_CTX_TASK_ID") == task_id:
                    return process
        return None

    found = until(job, 240)
    victim = Victim(found, *found.parents()[:3])
    assert victim.scheduler.pid == pids(one.stack)["scheduler"]
    return victim


def kill(*victims: psutil.Process) -> None:
    """Send SIGKILL, to all as nearly at once as it can be."""
    for victim in victims:
        victim.send_signal(signal.SIGKILL)


def gone_by_itself(job: psutil.Process) -> None:
    """Make sure that a job does not outlive those who wait for it."""
    until(lambda: not job.is_running() or job.status() == psutil.STATUS_ZOMBIE, 5)


def until(answer: Callable[[], Any], seconds: float = 60) -> Any:
    """Return the first answer that is true."""
    deadline = time.monotonic() + seconds
    while not (value := answer()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
    return value


def test_every_run_finishes(survived: Survived) -> None:
    """Every pipeline's runs end well, and the tasks that were killed had to be tried again for it."""
    ended = Counter((run["dag_id"].removeprefix(f"{NAME}_"), run["state"]) for run in survived.runs)
    assert ended.pop(("feature_engineering", "running")) == 9  # they wait for April to December
    assert {state for _, state in ended} == {"success"}
    assert ended["feature_engineering", "success"] == 3
    assert ended["deployment", "success"] == 1
    again = {task["task_id"] for task in survived.tasks if task["try_number"] > 1}
    assert again >= {"features.load", "training.train", "registry.register"}


def test_each_piece_of_work_has_one_manifest(survived: Survived) -> None:
    """A retry comes to the address of the try that died: one manifest of success, and nothing that it does not list."""
    assert Counter(manifest.spec.job for manifest in survived.manifests) == JOBS
    assert {manifest.state for manifest in survived.manifests} == {"success"}
    for manifest in survived.manifests:
        folder = f"{NAME}/{manifest.spec.job}/{manifest.address[:32]}"
        listed = [key.removeprefix(f"{folder}/") for key in FolderStore(survived.root).list(folder)]
        kept = [key for key in listed if key != "manifest.json" and not key.startswith("reused/")]
        outputs = sorted(key.partition("/")[2] for key in kept)
        assert outputs == sorted(output.name for output in manifest.outputs)


def test_one_version_of_one_training(survived: Survived) -> None:
    """One MLflow run with one model, one registered version, and each of its moves in the ledger once."""
    mlflow = MlflowBackend(f"sqlite:///{survived.root}/mlflow.db")
    experiment = mlflow.client.get_experiment_by_name(NAME).experiment_id
    (run,) = mlflow.client.search_runs([experiment])
    (model,) = mlflow.client.search_logged_models([experiment])
    assert (run.info.status, model.status.value) == ("FINISHED", "READY")
    (only,) = mlflow.client.search_model_versions(f"name = '{NAME}'")
    assert int(only.version) == 1
    assert mlflow.client.get_registered_model(NAME).aliases == {"champion": 1}
    moves = [entry.status.value for entry in Ledger(FolderStore(survived.root), NAME).entries()]
    assert moves == ["registered", "staging", "production-ready", "live"]


@pytest.mark.parametrize("view", product.features.views, ids=lambda view: view.name)
def test_each_row_once_in_both_stores(survived: Survived, view: Any) -> None:
    """Offline every key and moment once, as many as were computed; online one row for each entity."""
    files = sorted((survived.features.folder / "offline" / view.name).glob("*.parquet"))
    offline = pq.read_table(files, columns=[*view.keys, "event_time"]).to_pandas()
    assert not offline.duplicated().any()
    loaded = [manifest.result.facts["rows"][view.name] for manifest in survived.of("load") if manifest.result]
    assert len(offline) == sum(loaded) > 0
    with sqlite3.connect(survived.features.folder / "online.db") as online:
        counts = online.execute(f"SELECT COUNT(*), COUNT(DISTINCT entity_key) FROM {NAME}_{view.name}").fetchone()
    entities = len(offline[list(view.keys)].drop_duplicates())
    assert counts == (entities * len(view.features), entities)


def test_both_stores_agree(survived: Survived) -> None:
    """The last flights' features, asked at the end of March, are the same offline and online."""
    last = current(FolderStore(survived.root), NAME, "features")[-1]
    flights = pq.read_table(Path(last.uri.removeprefix("file://")) / f"{EXAMPLES}.parquet").to_pandas().tail(1000)
    asked = flights[list(product.shape.entity_columns)].reset_index(drop=True)
    asked["event_time"] = MONTHS[-1].end - timedelta(microseconds=1)
    offline = survived.features.historical(asked)[list(product.shape.feature_types)]
    assert offline.equals(survived.features.online(asked)[list(product.shape.feature_types)])
    assert offline.notna().any().all()


def test_no_job_is_left(survived: Survived) -> None:
    """No job outlives its task, killed or not; what waits for April is a sensor and no job."""
    assert running(survived.stack) == []


def test_data_and_model_are_those_of_an_undisturbed_run(survived: Survived) -> None:
    """Made anew in peace, training set and model are the same, byte for byte."""
    for job in ("training_set", "train"):
        (manifest,) = survived.of(job)
        asked = manifest.spec.model_copy(update={"force": True})
        again = LocalProcess().run(asked, {}, logging.getLogger("tests.again"))
        assert again.result
        assert manifest.result
        assert again.result.hash == manifest.result.hash
