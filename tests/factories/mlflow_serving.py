"""What MLflow's own commands make of a flavor's model, in an environment made of its registered version alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
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
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.references import Dataset, Model
from airflow_mlops_provider.testing.models import plain
from tests.factories.equality import check_protocols
from tests.factories.ports import free_port

#: The one that is served in every run of the tests; the variable has all of them served.
ALWAYS = "TestScikitLearnClasses"
ALL, PROTOCOLS = "MLOPS_TEST_ENVIRONMENTS", "MLOPS_TEST_PROTOCOLS"
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
    """What every flavor keeps, and what only a registry and an environment of the model's own can show.

    :cvar most: rows that are asked for in each protocol; fewer where a model takes long for each.
    """

    most = 10_000

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Name how many rows are asked for."""
        if "asked" in metafunc.fixturenames:
            asked = self.most if os.environ.get(PROTOCOLS) else min(self.most, 200)
            metafunc.parametrize("asked", [asked], ids=[f"{asked}_rows"])

    @pytest.mark.timeout(600)
    def test_mlflow_serves_it_in_its_own_environment(
        self,
        saved: Path,
        features: pd.DataFrame,
        mlflow_registry: str,
        environment_of: Callable[[str], Path],
        tmp_path: Path,
    ) -> None:
        """Installed from the version's requirements alone, all of MLflow's commands take it and give our numbers."""
        name = type(self).__name__
        if name != ALWAYS and not os.environ.get(ALL):
            pytest.skip(f"{ALL}=1 has every flavor served")
        loaded, rows, file = models.load(saved), plain(features, saved), tmp_path / "rows.json"
        uri, expected = registered(saved, self.flavor, mlflow_registry, name), loaded.predict(rows)
        version = Version(uri, mlflow_registry, environment_of(requirements(uri)))
        file.write_text(body(rows))
        assert version.run("python", "-c", LOAD, uri, str(file)) == expected.tobytes().hex()
        version.run(*f"mlflow models predict -m {uri} -i {file} -o {file}.out {LOCAL}".split())
        np.testing.assert_array_equal(predictions(Path(f"{file}.out").read_text()), expected)
        with version.serving(tmp_path / "serve.log") as url:
            np.testing.assert_array_equal(predictions(post(url, rows).text), expected)
            check_gaps(url, rows, loaded)
            check_refusals(url, rows)
        check_image(version, tmp_path / "image")

    @pytest.mark.timeout(600)
    def test_every_protocol_gives_the_same_bits(
        self, saved: Path, features: pd.DataFrame, asked: int, tmp_path: Path
    ) -> None:
        """Of all rows in one call, of some, and of one, sixteen callers at a time: what batch scoring gives."""
        if type(self).__name__ != "TestLightGBM" and not os.environ.get(PROTOCOLS):
            pytest.skip(f"{PROTOCOLS}=1 has every flavor asked in every protocol")
        check_protocols(saved, plain(features, saved), tmp_path, asked)


def check_gaps(url: str, rows: pd.DataFrame, loaded: models.LoadedModel) -> None:
    """Categories that training never saw, and missing numbers, are answered as our own server answers them."""
    odd = {name: "never seen" if kind.kind == "O" else np.nan for name, kind in rows.dtypes.items()}
    for columns in ([*odd], *([name] for name in odd)):
        given = rows.head(1).assign(**{name: odd[name] for name in columns})
        answer, (expected, refusal) = post(url, given), ours(loaded, given)
        if refusal:
            assert (answer.status_code, refusal in answer.json()["message"]) == (400, True), answer.text
        else:
            np.testing.assert_array_equal(predictions(answer.text), expected)


def ours(loaded: models.LoadedModel, rows: pd.DataFrame) -> tuple[np.ndarray | None, str]:
    """Return what our own server predicts for some rows, or why it refuses them."""
    try:
        return loaded.predict(rows), ""
    except SourceDataError as error:
        return None, str(error)


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


def registered(folder: Path, flavor: str, registry: str, name: str) -> str:
    """Register a model as our jobs do, and return the version's URI."""
    given: dict[str, Any] = {"params": {}, "metrics": {}, "tags": {}, "dataset": DATASET, "address": "ab12"}
    backend = MlflowBackend(registry)
    mlflow.set_tracking_uri(registry)
    run_id = backend.log_training(product=name, model_folder=folder, flavor=flavor, **given)
    version = backend.register(name=name, model=Model(uri="u", hash="1" * 64), run_id=run_id, tags={})
    return f"models:/{name}/{version}"


def requirements(uri: str) -> str:
    """Return what a version asks to be installed, as MLflow tells it."""
    return Path(mlflow.pyfunc.get_model_dependencies(uri)).read_text()


@dataclass(frozen=True)
class Version:
    """A registered version, and the environment that holds what it asks for and nothing else."""

    uri: str
    registry: str
    environment: Path

    @property
    def variables(self) -> dict[str, str]:
        """Those of this process, without the way to what is installed for it."""
        kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        path = f"{self.environment}/bin{os.pathsep}{os.defpath}"
        return {**kept, "PATH": path, "MLFLOW_TRACKING_URI": self.registry, "MLFLOW_DISABLE_TELEMETRY": "true"}

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of the environment, and return what it prints."""
        done = subprocess.run(
            [f"{self.environment}/bin/{program}", *arguments],
            env=self.variables, cwd=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    @contextmanager
    def serving(self, log: Path) -> Iterator[str]:
        """Serve the version as the page says, and give the server's URL; it ends with the block."""
        port = free_port()
        command = [f"{self.environment}/bin/mlflow", *f"models serve -m {self.uri} --port {port} {LOCAL}".split()]
        with log.open("w") as file:
            server = subprocess.Popen(
                command, env=self.variables, cwd=self.environment, stdout=file, stderr=file, start_new_session=True
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


def check_image(version: Version, folder: Path) -> None:
    """What ``mlflow models build-docker`` builds from holds the model, its code, and the same requirements."""
    version.run(*f"mlflow models generate-dockerfile -m {version.uri} -d {folder} {LOCAL}".split())
    dockerfile = (folder / "Dockerfile").read_text()
    copied = re.search(r"^COPY (\S+) /opt/ml/model$", dockerfile, re.MULTILINE)
    assert copied, dockerfile
    model = folder / copied[1]
    assert (model / "requirements.txt").read_text() == requirements(version.uri)
    assert [*(model / "code").glob("mlops_model_*/airflow_mlops_provider/backends/tracking/mlflow/loader.py")]
    carried = [file.read_text() for file in model.rglob("*.py")]
    assert not [text for text in carried if re.search("^ *(from|import) airflow", text, re.MULTILINE)]
    asked = [file.read_text() for kind in ("*.yaml", "*.txt") for file in model.rglob(kind)]
    assert not [text for text in (dockerfile, *asked) if "airflow" in text]
