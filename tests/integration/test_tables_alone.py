"""Training, judging, registering and predicting of tables as they are, in anybody's DAG: no product is declared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import httpx
import pandas as pd
import pytest

from airflow_mlops_provider.backends.model_server import launcher
from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from tests.factories.page_worlds import airflow_process, run_dag
from tests.factories.ports import free_port
from tests.factories.trips import deliver, trips

DAG = """
from airflow.sdk import DAG
from airflow_mlops_provider.hooks.tables import Files
from airflow_mlops_provider.operators.evaluation import ModelEvaluateOperator
from airflow_mlops_provider.operators.registry import MlflowRegisterModelOperator
from airflow_mlops_provider.operators.serving import ModelPredictOperator
from airflow_mlops_provider.operators.training import ModelTrainOperator

KIND = {"problem": "binary_classification", "label": "late", "leave_out": ["trip", "at"]}

def fit(features, label, settings, seed):
    import lightgbm
    return lightgbm.LGBMClassifier(random_state=seed, verbose=-1, **settings).fit(features, label)

with DAG("arrivals", schedule=None, default_args={"product": "eta"}):
    model = ModelTrainOperator(
        task_id="train", training_set="FOLDER/trips/*.parquet", trainer=fit, settings={"n_estimators": 20}, **KIND
    )
    judged = ModelEvaluateOperator(
        task_id="judge", model=model.output, training_set=Files("FOLDER/later.csv"), metric="roc_auc", slices=["zone"],
        **KIND,
    )
    version = MlflowRegisterModelOperator(task_id="register", model=model.output, evaluation=judged.output)
    ModelPredictOperator(task_id="score", model=model.output, rows="FOLDER/today.csv", to="FOLDER/out/{{ ds }}/")
    version >> ModelPredictOperator(
        task_id="again", model="models:/eta/1", rows="FOLDER/today.csv", to="FOLDER/out/v1.parquet"
    )
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a team's tables."""
    folder = tmp_path_factory.mktemp("lake")
    deliver(folder)
    return folder


@pytest.fixture(scope="module")
def airflow(folder: Path, prepared_home: Callable[[], Path]) -> Iterator[ProcessPoolExecutor]:
    """Return a process with an Airflow in which nothing of ours is set but the artifact root."""
    with airflow_process(prepared_home(), AIRFLOW__MLOPS__ARTIFACT_ROOT=str(folder / "artifacts")) as process:
        yield process


def run(airflow: ProcessPoolExecutor, folder: Path, text: str, dag_id: str) -> dict[str, str]:
    """Run a DAG file's text."""
    file = folder / f"{dag_id}_dag.py"
    file.write_text(text.replace("FOLDER", str(folder)))
    return airflow.submit(run_dag, file, dag_id, "2026-03-01").result()


def test_from_tables_to_predictions(airflow: ProcessPoolExecutor, folder: Path) -> None:
    """A function of the DAG file learns; the model is judged, registered, and found again by MLflow's name for it."""
    states = run(airflow, folder, DAG, "arrivals")
    assert set(states.values()) == {"success"}, states
    today = pd.read_csv(folder / "today.csv", parse_dates=["at"])
    scored = pd.read_parquet(folder / "out/2026-03-01/predictions.parquet")
    scored["at"] = scored["at"].astype(today["at"].dtype)
    pd.testing.assert_frame_equal(scored.drop(columns="prediction"), today, check_dtype=False)
    assert scored["prediction"].between(0, 1).all()
    assert (pd.read_parquet(folder / "out/v1.parquet")["prediction"] == scored["prediction"]).all()
    (report,) = (folder / "artifacts/eta/evaluate").glob("*/manifest.json")
    found = json.loads(report.read_text())["result"]["facts"]["evaluation"]
    assert found["challenger"]["value"] > found["baseline"]["value"] + 0.1
    assert {"zone=Süd", "zone=north"} <= {*found["slices"], *found["left_out"][0]["largest"]} | {
        "zone=north",
        "zone=Süd",
    }
    assert (found["rows"], found["left_out"][0]["rows"]) == (500, 500)  # each zone has too few rows to be judged by
    versions = MlflowBackend(f"sqlite:///{folder}/artifacts/mlflow.db").versions("eta")
    assert [*versions] == [1]


FOREIGN = """
from airflow.sdk import DAG
from airflow_mlops_provider.operators.serving import ModelPredictOperator

with DAG("theirs", schedule=None, default_args={"rows": "FOLDER/today.csv"}):
    ModelPredictOperator(task_id="alias", model="models:/theirs@champion", to="FOLDER/theirs.parquet")
    ModelPredictOperator(task_id="pickled", model="models:/pickled/1")
    ModelPredictOperator(task_id="unknown_alias", model="models:/theirs@champ")
    ModelPredictOperator(task_id="unknown_model", model="models:/their/1")
"""


def test_models_that_plain_mlflow_code_registered(airflow: ProcessPoolExecutor, folder: Path) -> None:
    """LightGBM's own text is applied as it is; what would have to be unpickled is refused, unknown names are named."""
    import lightgbm
    import mlflow

    learned = trips(300, 20)[["stops", "distance km", "late"]].fillna(0)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/artifacts/mlflow.db")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("plain", (folder / "plain").as_uri()))
    booster = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(learned[["stops"]], learned["late"])
    with mlflow.start_run():
        mlflow.lightgbm.log_model(booster.booster_, name="model", registered_model_name="theirs")
        mlflow.lightgbm.log_model(booster, name="pickled", registered_model_name="pickled")
    mlflow.MlflowClient().set_registered_model_alias("theirs", "champion", "1")
    states = run(airflow, folder, FOREIGN, "theirs")
    assert states == {"alias": "success", "pickled": "failed", "unknown_alias": "failed", "unknown_model": "failed"}
    expected = booster.predict_proba(pd.read_csv(folder / "today.csv")[["stops"]])[:, 1]
    assert pd.read_parquet(folder / "theirs.parquet")["prediction"].to_numpy() == pytest.approx(expected)


SERVE = """
from airflow.sdk import DAG
from airflow_mlops_provider.lifecycle.sections import Gates, Serving
from airflow_mlops_provider.operators.deployment import ModelServerDeployVersionOperator
from airflow_mlops_provider.operators.evaluation import ModelEvaluateOperator
from airflow_mlops_provider.operators.registry import MlflowRegisterModelOperator, ModelPromoteVersionOperator
from airflow_mlops_provider.operators.training import ModelTrainOperator

KIND = {"problem": "binary_classification", "label": "late", "leave_out": LEAVE_OUT}

def fit(features, label, settings, seed):
    import lightgbm
    return lightgbm.LGBMClassifier(random_state=seed, verbose=-1).fit(features, label)

with DAG("served", schedule=None, default_args={"product": "served"}):
    model = ModelTrainOperator(task_id="train", training_set="FOLDER/trips/*.parquet", trainer=fit, **KIND)
    judged = ModelEvaluateOperator(
        task_id="judge", model=model.output, training_set="FOLDER/later.csv", metric="roc_auc", **KIND
    )
    version = MlflowRegisterModelOperator(task_id="register", model=model.output, evaluation=judged.output)
    ready = ModelPromoteVersionOperator(
        task_id="promote", version=version.output, evaluation=judged.output, gates=Gates(min_metric=0.6),
        problem="binary_classification", metric="roc_auc",
    )
    ready >> ModelServerDeployVersionOperator(task_id="deploy", serving=Serving(port=PORT))
"""


def test_a_served_model_without_a_product(airflow: ProcessPoolExecutor, folder: Path) -> None:
    """It goes through its gates and answers over REST; one that takes other inputs takes over the same address."""
    port, root = free_port(), str(folder / "artifacts")
    row = {"distance km": 9.5, "zone": "Süd", "rain": 1.0, "stops": None}
    try:
        for version, left_out in enumerate((["trip", "at"], ["trip", "at", "stops"]), start=1):
            text = SERVE.replace("PORT", str(port)).replace("LEAVE_OUT", repr(left_out))
            states = run(airflow, folder, text, "served")
            assert set(states.values()) == {"success"}, states
            given = {name: value for name, value in row.items() if name not in left_out}
            answer = httpx.post(f"http://127.0.0.1:{port}/predict", json={"rows": [given] * 2}, trust_env=False)
            assert answer.status_code == 200, answer.text
            told = answer.json()
            assert told["version"] == version
            first, second = (prediction["probability"] for prediction in told["predictions"])
            assert 0 < first == second < 1
        refused = httpx.post(f"http://127.0.0.1:{port}/predict", json={"rows": [row]}, trust_env=False)
        assert (refused.status_code, "unknown column 'stops'" in refused.text) == (422, True), refused.text
    finally:
        launcher.stop("served", root)
