"""What MLflow's own commands make of a flavor's model, in an environment made of its registered version alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import testing
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.lifecycle.references import Dataset, Model
from airflow_mlops_provider.testing.models import plain
from tests.factories.mlflow import mlflow_server
from tests.factories.ports import free_port

#: The contracts whose models are served in every run of the tests; the variable has all of them served.
ALWAYS = {"TestLightGBM", "TestScikitLearn"}
ALL = "MLOPS_TEST_ENVIRONMENTS"
NAME = "served"
MODEL = f"models:/{NAME}/1"
DATASET = Dataset(uri="file:///root/served/training_set/ab12", hash="d" * 64)
LOCAL = "--env-manager local"
#: Loads the model, gives it rows of the types that its signature names, and tells what of ours was loaded for it.
LOAD = """
import importlib.util, json, sys
import mlflow, pandas as pd
assert importlib.util.find_spec("airflow_mlops_provider") is None
model = mlflow.pyfunc.load_model(sys.argv[1])
types = {column.name: column.type.to_pandas() for column in model.metadata.get_input_schema()}
rows = pd.DataFrame(**json.load(open(sys.argv[2]))["dataframe_split"]).astype(types)
assert model.predict(model.input_example).shape[0] == len(model.input_example)
print(model.predict(rows).tobytes().hex())
"""


class FlavorContract(testing.FlavorContract):
    """What every flavor keeps, and what only a registry and an environment of the model's own can show."""

    @pytest.mark.timeout(600)
    def test_mlflow_serves_it_in_its_own_environment(self, saved: Path, features: pd.DataFrame, tmp_path: Path) -> None:
        """Installed from the version's requirements alone, all of MLflow's commands take it and give our numbers."""
        if type(self).__name__ not in ALWAYS and not os.environ.get(ALL):
            pytest.skip(f"{ALL}=1 has every flavor served")
        rows = with_gaps(plain(features, saved))
        expected = models.load(saved).predict(rows)
        with registered(saved, self.flavor, tmp_path) as registry:
            environment = Environment(tmp_path / "environment", registry)
            try:
                file = tmp_path / "rows.json"
                file.write_text(body(rows))
                assert environment.run("python", "-c", LOAD, MODEL, str(file)) == expected.tobytes().hex()
                environment.run(*f"mlflow models predict -m {MODEL} -i {file} -o {file}.out {LOCAL}".split())
                np.testing.assert_array_equal(predictions(Path(f"{file}.out").read_text()), expected)
                with environment.serving() as url:
                    np.testing.assert_array_equal(predictions(post(url, rows).text), expected)
                    check_refusals(url, rows)
                check_image(environment, tmp_path / "image")
            finally:
                shutil.rmtree(environment.folder)  # some hundred megabytes


def with_gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Return some rows and another one: of categories that training never saw, and of no number at all."""
    odd = {name: "never seen" if kind.kind == "O" else np.nan for name, kind in rows.dtypes.items()}
    return pd.concat([rows, rows.head(1).assign(**odd)], ignore_index=True)


def body(rows: pd.DataFrame) -> str:
    """Return rows as MLflow's servers take them, null for what is missing."""
    values = rows.astype(object).where(rows.notna(), None).to_numpy().tolist()
    return json.dumps({"dataframe_split": {"columns": [*rows.columns], "data": values}})


def predictions(text: str) -> np.ndarray:
    """Return what MLflow answered. Its JSON keeps every bit of a number."""
    return np.array(json.loads(text)["predictions"], dtype="float64")


def post(url: str, rows: pd.DataFrame) -> httpx.Response:
    """Ask a server for predictions."""
    return httpx.post(f"{url}/invocations", content=body(rows), headers={"Content-Type": "application/json"})


@contextmanager
def registered(folder: Path, flavor: str, scratch: Path) -> Iterator[str]:
    """Give the URI of an MLflow server in whose registry a model is the first version, as our jobs register it."""
    (scratch / "registry").mkdir()
    with mlflow_server(scratch / "registry") as uri:
        backend = MlflowBackend(uri)
        given: dict[str, Any] = {"params": {}, "metrics": {}, "tags": {}, "dataset": DATASET, "address": "ab12"}
        run_id = backend.log_training(product=NAME, model_folder=folder, flavor=flavor, **given)
        assert backend.register(name=NAME, model=Model(uri="u", hash="1" * 64), run_id=run_id, tags={}) == 1
        yield uri


@dataclass(frozen=True)
class Environment:
    """An environment that holds what the registered version asks for, and nothing else."""

    folder: Path
    registry: str

    def __post_init__(self) -> None:
        mlflow.set_tracking_uri(self.registry)
        requirements = mlflow.pyfunc.get_model_dependencies(MODEL)
        subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)
        self.run("python", "-m", "pip", "install", "--quiet", "-r", requirements)

    @property
    def variables(self) -> dict[str, str]:
        """Those of this process, without the way to what is installed for it."""
        kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        path = f"{self.folder}/bin{os.pathsep}{os.defpath}"
        return {**kept, "PATH": path, "MLFLOW_TRACKING_URI": self.registry, "MLFLOW_DISABLE_TELEMETRY": "true"}

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of the environment, and return what it prints."""
        command = [f"{self.folder}/bin/{program}", *arguments]
        done = subprocess.run(command, env=self.variables, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve the version as the page says, and give the server's URL; it ends with the block."""
        port, log = free_port(), self.folder / "serve.log"
        command = [f"{self.folder}/bin/mlflow", *f"models serve -m {MODEL} --port {port} {LOCAL}".split()]
        with log.open("w") as file:
            server = subprocess.Popen(
                command, env=self.variables, cwd=self.folder, stdout=file, stderr=file, start_new_session=True
            )
        try:
            end = time.monotonic() + 120
            while not answers(f"http://127.0.0.1:{port}/ping"):
                assert server.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def answers(url: str) -> bool:
    """Say whether a server is there."""
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def check_refusals(url: str, rows: pd.DataFrame) -> None:
    """Rows that are wrong are answered with 400 and the column's name."""
    wrong = [(name, rows.drop(columns=name)) for name in rows.columns]
    wrong += [(name, rows.assign(**{name: "much"})) for name, kind in rows.dtypes.items() if kind.kind == "f"]
    wrong += [(name, rows.assign(**{name: 5})) for name, kind in rows.dtypes.items() if kind.kind == "O"]
    for name, given in wrong:
        answer = post(url, given)
        assert answer.status_code == 400, (name, answer.text)
        assert re.search(f"missing inputs .*'{name}'|column '?{name}'?", answer.json()["message"]), answer.text


def check_image(environment: Environment, folder: Path) -> None:
    """What ``mlflow models build-docker`` builds from holds the model, its code, and the same requirements."""
    environment.run(*f"mlflow models generate-dockerfile -m {MODEL} -d {folder} {LOCAL}".split())
    dockerfile = (folder / "Dockerfile").read_text()
    copied = re.search(r"^COPY (\S+) /opt/ml/model$", dockerfile, re.MULTILINE)
    assert copied, dockerfile
    model = folder / copied[1]
    assert (model / "requirements.txt").read_text() == Path(mlflow.pyfunc.get_model_dependencies(MODEL)).read_text()
    assert [*(model / "code").glob("mlops_model_*/airflow_mlops_provider/backends/tracking/mlflow/loader.py")]
    carried = [file.read_text() for file in model.rglob("*.py")]
    assert not [text for text in carried if re.search("^ *(from|import) airflow", text, re.MULTILINE)]
    asked = [file.read_text() for kind in ("*.yaml", "*.txt") for file in model.rglob(kind)]
    assert not [text for text in (dockerfile, *asked) if "airflow" in text]
