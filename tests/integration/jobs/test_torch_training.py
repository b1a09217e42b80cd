"""A training in PyTorch as a job: killed for good, it goes on from its last checkpoint; its model goes all the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import Dataset, Model
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.testing.models import plain
from flight_delay.examples import CARRIERS, ORIGINS, STORED
from flight_delay.product import product
from tests.factories.declared import specify
from tests.factories.record import leave

for _library in ("torch", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(_library, reason="pip install 'airflow-mlops-provider[torch]'")

ROOT = Path(__file__).parents[3]
EPOCHS = 20
TRAINER = {
    "code": "flight_delay.torch_trainer:train",
    "flavor": "torch",
    "settings": {"epochs": EPOCHS, "patience": EPOCHS, "batch": 32, "hidden": [16]},
    "requires": ["torch", "numpy", "pandas"],
}


def flights(count: int, seed: int) -> pd.DataFrame:
    """Return made-up rows of a training set, in order of time; late is who has a late airport or carrier."""
    random = np.random.default_rng(seed)
    leaves = pd.Timestamp("2013-01-05", tz="UTC") + pd.to_timedelta(np.sort(random.integers(0, 40_000, count)), "min")
    frame = pd.DataFrame(
        random.normal(10, 5, (count, len(product.shape.feature_types))), columns=[*product.shape.feature_types]
    )
    frame[STORED[0]] = random.normal(0, 1, count)
    frame = frame.mask(random.random(frame.shape) < 0.05).assign(
        origin=random.choice(ORIGINS, count),
        carrier=random.choice(CARRIERS, count),
        dest="BOS",
        tailnum="N1",
        flight=1,
        distance=random.normal(800, 200, count),
        hour=random.integers(5, 23, count),
        sched_dep=leaves,
        sched_arr=leaves + pd.Timedelta(hours=2),
        event_time=leaves - pd.Timedelta(hours=2),
    )
    score = frame[STORED[0]].fillna(0) * 2 + (frame["carrier"] < "DL") + random.normal(size=count)
    return frame.assign(late=(score > 1).astype("int64"))


@dataclass(frozen=True)
class World:
    """An artifact root with a training set in it."""

    root: Path
    training_set: Dataset

    def spec(self, job: str, params: Any = None, **inputs: Any) -> JobSpec:
        """Return what asks for a job."""
        return specify(
            job,
            product,
            params,
            inputs=inputs,
            root=str(self.root),
            services=Services(landing=str(self.root / "landing"), mlflow=f"sqlite:///{self.root}/mlflow.db"),
            run=RunIdentity(dag_id="tests", run_id="one", task_id=job, try_number=1),
        )

    def training(self) -> JobSpec:
        """Return what asks for the training."""
        return self.spec("train", {"trainer": TRAINER}, training_set=self.training_set)

    def job(self, name: str, params: Any = None, **inputs: Any) -> Any:
        """Run a job here and now, and return its result."""
        manifest = runner.run(self.spec(name, params, **inputs))
        assert manifest.state == "success", manifest.failure
        return manifest.result

    def checkpoints(self) -> list[str]:
        """Return the names of the checkpoints that are there."""
        return sorted(path.name for path in self.root.glob("flight_delay/train/*/checkpoints/*") if path.is_dir())


def make_world(folder: Path) -> World:
    """Leave a training set in an artifact root of its own, as the job that builds one does."""
    parts = {"train": flights(2400, 1), "evaluate": flights(1200, 2)}
    files = {f"{name}.parquet": part.to_parquet(index=False) for name, part in parts.items()}
    facts = {"rows": {"train": 2400, "evaluate": 1200}, "train": ["January"], "evaluate": ["February"]}
    asked = World(folder, Dataset(uri="", hash="")).spec("training_set")
    return World(folder, leave(asked, Dataset, files, facts=facts))


class Process:
    """A job in a process of its own, as every place starts it."""

    def __init__(self, spec: JobSpec, log: Path) -> None:
        self.log = log
        self.child = subprocess.Popen(
            [sys.executable, "-m", "airflow_mlops_provider.runtime"],
            stdin=subprocess.PIPE,
            stderr=log.open("w"),
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'dags'}"},
            text=True,
            start_new_session=True,
        )
        assert self.child.stdin is not None
        self.child.stdin.write(spec.model_dump_json() + "\n")
        self.child.stdin.flush()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, str]:
    """A training that got SIGKILL between two epochs, and the last checkpoint that it left."""
    world = make_world(tmp_path_factory.mktemp("killed"))
    process = Process(world.training(), world.root / "first.log")
    end = time.monotonic() + 120
    while not [name for name in world.checkpoints() if int(name[:6]) >= 3]:
        assert process.child.poll() is None and time.monotonic() < end, process.log.read_text()
        time.sleep(0.005)
    process.child.send_signal(signal.SIGKILL)
    assert process.child.wait(20) == -signal.SIGKILL
    assert not list(world.root.glob("flight_delay/train/*/manifest.json"))
    return world, world.checkpoints()[-1]


@pytest.fixture(scope="module")
def resumed(killed: tuple[World, str]) -> tuple[World, Manifest, str]:
    """The same training tried again in a new process: its manifest and its log."""
    world, _ = killed
    process = Process(world.training(), world.root / "second.log")
    status = process.child.wait(180)
    log = process.log.read_text()
    assert status == 0, log
    (manifest,) = world.root.glob("flight_delay/train/*/manifest.json")
    return world, Manifest.model_validate_json(manifest.read_text()), log


def test_a_killed_training_goes_on_from_its_checkpoint(
    killed: tuple[World, str], resumed: tuple[World, Manifest, str], tmp_path: Path
) -> None:
    """The second try does only the epochs that were missing, says so, and ends with the bytes of one go."""
    (_, left), (world, manifest, log) = killed, resumed
    after = manifest.result.facts["training"]["resumed_after_epoch"] if manifest.result else None
    assert after in {int(left[:6]), int(left[:6]) - 1}  # the last one may be half-written
    assert after >= 2
    assert f"going on after epoch {after}, from its checkpoint" in log
    assert log.count(f" of {EPOCHS} on ") == EPOCHS - after
    assert manifest.metrics["epochs"] == EPOCHS
    assert world.checkpoints() == []
    other = make_world(tmp_path)
    whole = other.job("train", {"trainer": TRAINER}, training_set=other.training_set)
    assert isinstance(whole, Model)
    assert whole.facts["training"]["resumed_after_epoch"] == 0
    assert manifest.result is not None
    assert whole.hash == manifest.result.hash


def test_the_record_says_how_it_was_trained(resumed: tuple[World, Manifest, str]) -> None:
    """The manifest and MLflow tell the device, the settings that make it repeatable, and the libraries."""
    world, manifest, _ = resumed
    assert manifest.result is not None
    facts = manifest.result.facts["training"]
    assert {"device", "device_name", "precision", "deterministic_algorithms", "threads"} <= facts.keys()
    assert manifest.seed == 13
    assert {"torch", "onnx", "onnxruntime"} <= manifest.packages.keys()
    assert "flight_delay.torch_network" in manifest.code_hashes
    run = MlflowBackend(f"sqlite:///{world.root}/mlflow.db").client.get_run(manifest.result.facts["run_id"])
    assert run.data.tags["device_name"] == facts["device_name"]
    assert run.data.params["batch"] == "32"
    assert run.data.metrics["epochs"] == EPOCHS


def test_its_model_goes_all_the_way(resumed: tuple[World, Manifest, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The model passes its evaluation and is registered; MLflow's own loader gives what ours gives."""
    import mlflow

    world, manifest, _ = resumed
    model = manifest.result
    assert isinstance(model, Model)
    report = world.job("evaluate", model=model, training_set=world.training_set)
    assert report.passed, report.facts
    version = world.job("register", model=model, evaluation=report)
    assert [entry.status.value for entry in Ledger(open_store(str(world.root)), product.name).entries()] == [
        "registered"
    ]
    backend = MlflowBackend(f"sqlite:///{world.root}/mlflow.db")
    predictor = Predictor.load(product.scoring, Path(model.uri.removeprefix("file://")), version)
    predictor.smoke()
    rows = flights(50, 3)
    inputs = predictor.inputs(rows, rows[[*product.shape.feature_types]])
    assert np.unique(predictor.score(inputs)).size > 40
    mlflow.set_tracking_uri(backend.uri)
    theirs = mlflow.pyfunc.load_model(f"models:/{product.name}/{version.version}")
    posted = plain(inputs, Path(model.uri.removeprefix("file://")))
    np.testing.assert_array_equal(theirs.predict(posted), predictor.score(inputs))
