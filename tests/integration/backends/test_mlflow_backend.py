"""MLflow: one run and one model for one piece of work, whatever was killed; one version for one model."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.models.lightgbm import FLAVOR
from airflow_mlops_provider.backends.tracking.mlflow.client import ADDRESS, MlflowBackend
from airflow_mlops_provider.exceptions import BackendError, OtherRegistryError, UnknownNameError
from airflow_mlops_provider.lifecycle.references import Dataset, Model

DATASET = Dataset(
    uri="file:///root/flights/training_set/ab12", hash="d" * 64, facts={"rows": {"train": 300, "evaluate": 90}}
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model's files."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"hour": random.integers(0, 24, 300), "wind": random.normal(size=300)})
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    folder = tmp_path_factory.mktemp("model")
    FLAVOR.save(lgb.train(settings, lgb.Dataset(frame, (frame["wind"] > 0).astype(int)), 5), folder)
    return folder


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables, made once."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowBackend(f"sqlite:///{path}").prepare()
    return path


@pytest.fixture
def backend(database: Path) -> MlflowBackend:
    """A backend on the shared database."""
    return MlflowBackend(f"sqlite:///{database}")


def train(backend: MlflowBackend, folder: Path, address: str, **given: Any) -> str:
    """Log one training."""
    values: dict[str, Any] = {
        "product": "flights",
        "params": {"seed": 13, "settings": {"num_leaves": 31}},
        "metrics": {"roc_auc": 0.71, "slice/origin=JFK": 0.68},
        "dataset": DATASET,
        "tags": {"mlops.commit": "abc"},
        "model_folder": folder,
        "flavor": "lightgbm",
    }
    return backend.log_training(address=address, **{**values, **given})


def runs(backend: MlflowBackend, address: str) -> list[Any]:
    """Return the live runs of an address."""
    experiment = backend.client.get_experiment_by_name("flights").experiment_id
    return list(backend.client.search_runs([experiment], f"tags.`{ADDRESS}` = '{address}'"))


def models(backend: MlflowBackend, run_id: str) -> list[Any]:
    """Return the models that a run has logged."""
    experiment = backend.client.get_experiment_by_name("flights").experiment_id
    return list(backend.client.search_logged_models([experiment], f"source_run_id = '{run_id}'"))


def test_training_is_recorded_whole(backend: MlflowBackend, folder: Path) -> None:
    """Parameters, metrics, tags, dataset and model are in MLflow afterwards, and the run is finished, within 3 s."""
    backend.client.search_experiments()
    begun = time.monotonic()
    run_id = train(backend, folder, "whole")
    assert time.monotonic() - begun < 3
    run = backend.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "13", "settings": '{"num_leaves": 31}'}
    assert run.data.metrics == {"roc_auc": 0.71, "slice/origin_JFK": 0.68}
    assert run.data.tags["mlops.commit"] == "abc"
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("training_set/train", DATASET.hash[:36])
    assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "training", "sha256": DATASET.hash}
    assert json.loads(given.dataset.profile)["num_rows"] == 300
    assert [one.model_id for one in run.outputs.model_outputs] == [models(backend, run_id)[0].model_id]


def test_an_evaluation_is_tied_to_its_data_and_model(backend: MlflowBackend, folder: Path) -> None:
    """The later part of the training set is an input too, and the numbers are the model's on it; twice is once."""
    import mlflow

    run_id = train(backend, folder, "judged")
    for _ in range(2):
        backend.log_evaluation(run_id, {"evaluation_roc_auc": 0.77}, DATASET)
    run = backend.client.get_run(run_id)
    inputs = {one.dataset.name: one for one in run.inputs.dataset_inputs}
    assert sorted(inputs) == ["training_set/evaluate", "training_set/train"]
    judged = inputs["training_set/evaluate"]
    assert {tag.key: tag.value for tag in judged.tags}["mlflow.data.context"] == "evaluation"
    assert json.loads(judged.dataset.profile)["num_rows"] == 90
    assert mlflow.data.get_source(judged.dataset).uri == DATASET.uri
    assert len(backend.client.get_metric_history(run_id, "evaluation_roc_auc")) == 1
    (model,) = models(backend, run_id)
    (number,) = [one for one in model.metrics if one.key == "evaluation_roc_auc"]
    assert (number.value, number.dataset_name, number.dataset_digest) == (
        0.77,
        "training_set/evaluate",
        DATASET.hash[:36],
    )


def test_mlflow_loads_what_was_logged(backend: MlflowBackend, folder: Path) -> None:
    """MLflow's own pyfunc loader takes the model and predicts as ours does."""
    import mlflow

    run_id = train(backend, folder, "loads")
    mlflow.set_tracking_uri(backend.uri)
    frame = pd.DataFrame({"hour": [3.0, 20.0], "wind": [0.4, -0.4]})
    (logged,) = models(backend, run_id)
    loaded = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    np.testing.assert_array_equal(loaded.predict(frame), FLAVOR.predict(FLAVOR.load(folder), frame))


def test_second_call_changes_nothing(backend: MlflowBackend, folder: Path) -> None:
    """Logging the same work again returns the finished run and writes nothing."""
    first = train(backend, folder, "again")
    before = backend.client.get_run(first)
    assert train(backend, folder, "again") == first
    assert backend.client.get_run(first).to_dictionary() == before.to_dictionary()


STEPS = ["create_run", "log_batch", "log_inputs", "create_logged_model", "log_outputs", "log_model_artifacts"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [*STEPS, "finalize_logged_model", "set_terminated"])
def test_killed_anywhere_finishes_the_same_run(
    backend: MlflowBackend, folder: Path, step: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill before or after any call, the retry leaves one finished run with one ready model."""
    address, real = f"killed-{step}-{when}", getattr(backend.client, step)

    def killed(*arguments: Any, **named: Any) -> None:
        if when == "after":
            real(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backend.client, step, killed)
        with pytest.raises(KeyboardInterrupt):
            train(backend, folder, address, metrics={"seconds": 1.5})
    run_id = train(MlflowBackend(backend.uri), folder, address, metrics={"seconds": 2.5})
    (run,), (model,) = runs(backend, address), models(backend, run_id)
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    assert model.status.value == "READY"
    assert [one.model_id for one in run.outputs.model_outputs] == [model.model_id]
    assert len(run.inputs.dataset_inputs) == 1
    assert len(backend.client.get_metric_history(run_id, "seconds")) == 1


def test_unknown_run_is_named(backend: MlflowBackend) -> None:
    """A run that MLflow does not know is an error that names it, and that no retry helps."""
    with pytest.raises(OtherRegistryError, match="f" * 32):
        backend.log_evaluation("f" * 32, {"roc_auc": 0.5}, DATASET)


def test_same_model_is_the_same_version(backend: MlflowBackend, folder: Path) -> None:
    """Registering a model again gives its version; another model of another run gives the next."""
    one, two = train(backend, folder, "register-1"), train(backend, folder, "register-2")
    model = Model(uri="file:///root/m1", hash="1" * 64)
    other = Model(uri="file:///root/m2", hash="2" * 64)
    first = backend.register(name="flights", model=model, run_id=one, tags={"mlops.stage": "registered"})
    assert backend.register(name="flights", model=model, run_id=one, tags={}) == first == 1
    assert backend.register(name="flights", model=other, run_id=two, tags={}) == 2
    versions = backend.client.search_model_versions("name = 'flights'")
    assert sorted(int(one.version) for one in versions) == [1, 2]
    found = backend.client.get_model_version("flights", "1")
    assert found.run_id == one
    assert found.tags == {
        "mlops.stage": "registered",
        "mlops.model_hash": model.hash,
        "mlops.model_uri": model.uri,
    }
    assert found.source.startswith("models:/")


def test_registered_model_is_fetched_by_version(backend: MlflowBackend, folder: Path, tmp_path: Path) -> None:
    """The registry gives back the very bytes that were trained."""
    import mlflow

    run_id = train(backend, folder, "fetch")
    version = backend.register(name="fetched", model=Model(uri="u", hash="3" * 64), run_id=run_id, tags={})
    mlflow.set_tracking_uri(backend.uri)
    got = Path(mlflow.artifacts.download_artifacts(f"models:/fetched/{version}", dst_path=str(tmp_path)))
    assert (got / "model.lgb").read_bytes() == (folder / "model.lgb").read_bytes()


def test_alias_moves_and_goes(backend: MlflowBackend, folder: Path) -> None:
    """An alias points at one version at a time, and at none when taken away, also twice."""
    for number in (1, 2):
        run_id = train(backend, folder, f"alias-{number}")
        backend.register(name="aliased", model=Model(uri="u", hash=str(number) * 64), run_id=run_id, tags={})
    backend.set_alias("aliased", "live", 1)
    backend.set_alias("aliased", "live", 2)
    assert backend.client.get_registered_model("aliased").aliases == {"live": 2}
    backend.set_alias("aliased", "live", None)
    backend.set_alias("aliased", "live", None)
    assert backend.client.get_registered_model("aliased").aliases == {}


def test_unknown_flavor_is_refused(backend: MlflowBackend, folder: Path) -> None:
    """A model format that this backend cannot keep is refused by name."""
    with pytest.raises(UnknownNameError, match=r"'nonsense'; known: .*lightgbm"):
        train(backend, folder, "flavor", flavor="nonsense")


def test_locked_database_loses_nothing(backend: MlflowBackend, database: Path, folder: Path) -> None:
    """While somebody else holds SQLite's write lock, the call waits and then writes everything."""
    backend.client.search_experiments()
    other = sqlite3.connect(database, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(2, other.rollback).start()
    begun = time.monotonic()
    run_id = train(backend, folder, "locked")
    assert time.monotonic() - begun > 1.5
    assert backend.client.get_run(run_id).info.status == "FINISHED"
    other.close()


def test_unreachable_server_says_so_soon() -> None:
    """A server that is not there is an error within 10 s that names it, without its password, and what to do."""
    begun = time.monotonic()
    with pytest.raises(BackendError, match=r"http://127\.0\.0\.1:9 .*mlops_mlflow") as raised:
        MlflowBackend("http://user:sesame@127.0.0.1:9").set_alias("flights", "live", 1)
    assert time.monotonic() - begun < 10
    assert "sesame" not in str(raised.value)


def test_server_keeps_files_where_it_wants() -> None:
    """A folder of this machine is never given to a server as the place of its files."""
    assert MlflowBackend("http://mlflow:5000", "file:///root/mlflow")._artifact_folder("flights") is None
    assert (
        MlflowBackend("sqlite:////m.db", "file:///root/mlflow")._artifact_folder("flights")
        == "file:///root/mlflow/flights"
    )


def test_constructor_is_free(tmp_path: Path) -> None:
    """Making a backend touches nothing; only its use makes the database."""
    MlflowBackend(f"sqlite:///{tmp_path}/new/mlflow.db")
    assert not list(tmp_path.iterdir())


def start(uri: str) -> list[int]:
    """Open a database in a process of its own."""
    return list(MlflowBackend(uri).client.search_model_versions("name = 'flights'"))


def test_two_processes_start_at_once(tmp_path: Path) -> None:
    """Two processes that open a database that is not there yet both succeed, beside what a killed one left."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    sqlite3.connect(tmp_path / "mlflow.db.new").executescript("CREATE TABLE experiments (half INTEGER);")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(start, [uri, uri], chunksize=1) == [[], []]
    assert not (tmp_path / "mlflow.db.new").exists()
