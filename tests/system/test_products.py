"""A new folder, no operator touched: the reference pipelines train, serve, watch and retrain products of every kind."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from airflow_mlops_provider import discovery
from airflow_mlops_provider.backends.model_server import launcher
from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.demo.watch import Watch
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories import products, rain
from tests.factories.products import PRODUCTS, RANGES, TABLES, ask, product, same_answers

ALL = "MLOPS_TEST_PRODUCTS"
DAGS = Path(__file__).parents[2] / "dags"
PIPELINES = ("feature_engineering", "training", "deployment", "batch_inference", "monitoring")
#: Each has to succeed in some run, for a product to have gone through the whole loop.
STEPS = ("extract", "compute", "load", "train", "evaluate", "register", "promote", "deploy", "predict", "drift")

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not os.environ.get(ALL), reason=f"{ALL}=1 has more products go through a real Airflow"),
]


class Installed(NamedTuple):
    """A product in an Airflow, its results and its deliveries."""

    stack: Stack
    artifacts: Path
    landing: Path
    url: str

    def pipelines(self, name: str) -> set[str]:
        """Return the ids of a product's pipelines."""
        return {f"{name}_{pipeline}" for pipeline in PIPELINES}


@pytest.fixture
def install(
    stack_factory: Callable[..., Stack], free_port: Callable[[], int], tmp_path: Path
) -> Iterator[Callable[[str, Path], Installed]]:
    """Return a function that starts an Airflow on the reference DAGs, and a product whose pipelines alone are on."""
    installed: list[tuple[str, Installed]] = []

    def started(name: str, folder: Path) -> Installed:
        port, artifacts, landing = free_port(), tmp_path / "artifacts", tmp_path / "landing"
        settings = {
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "MLOPS__PRODUCTS_FOLDERS": str(folder),
            "MLOPS__ARTIFACT_ROOT": str(artifacts),
            "MLOPS__LANDING_ROOT": str(landing),
            "MLOPS__POKE_SECONDS": "1",
            "MLOPS__SERVING_PORT": str(port),
        }
        stack = stack_factory(DAGS, env={f"AIRFLOW__{key}": value for key, value in settings.items()})
        here = Installed(stack, artifacts, landing, f"http://127.0.0.1:{port}")
        installed.append((name, here))
        deadline = time.monotonic() + 90
        while not {dag["dag_id"] for dag in stack.api.get("dags")["dags"]} >= here.pipelines(name):
            assert time.monotonic() < deadline, stack.api.get("importErrors")
            time.sleep(0.5)
        for dag_id in here.pipelines(name):
            stack.api.call("PATCH", f"dags/{dag_id}", body={"is_paused": False})
        return here

    yield started
    for name, here in installed:
        here.stack.stop()
        launcher.stop(name, str(here.artifacts))


def test_the_same_pipelines_train_and_serve_it(install: Callable[[str, Path], Installed]) -> None:
    """Two years bring a model that answers over REST; the third is predicted and judged with it, and needs no other."""
    here = install(rain.NAME, rain.PRODUCTS)
    watch, store = Watch(here.stack, rain.NAME, print), open_store(str(here.artifacts))
    for number in (2012, 2013):
        rain.deliver(here.landing, rain.year(number))
    watch.until_rest(rain.year(2013).start, timeout=600)
    live = Ledger(store, rain.NAME).live()
    assert live is not None
    evening = {"station": "Seattle", "month": 1, "event_time": "2014-01-01T00:00:00Z"}
    assert ask(here.url, [evening])["version"] == live.version

    rain.deliver(here.landing, rain.year(2014))
    watch.until_rest(rain.year(2014).start, timeout=600)
    predicted = current(store, rain.NAME, "predictions")
    # A new model is due after two years.
    assert {entry.version.version for entry in Ledger(store, rain.NAME).entries()} == {1}
    assert [(one.interval, one.facts["rows"]) for one in predicted] == [(rain.year(2014), 365)]

    runs = [run for run in watch.runs() if run["state"] != "running"]  # one still waits for 2015
    assert {run["dag_id"] for run in runs} == here.pipelines(rain.NAME)
    assert {run["state"] for run in runs} == {"success"}


@pytest.mark.parametrize("name", [*(name for name in TABLES if name != RANGES), "flight_minutes"])
def test_the_whole_loop(name: str, install: Callable[[str, Path], Installed], tmp_path: Path) -> None:
    """A first model, better than naive, predicts what comes next as over REST; that is watched, and learned from."""
    declared = product(name)
    shutil.copytree(PRODUCTS / name, tmp_path / "products" / name)
    here = install(name, tmp_path / "products")
    watch, store = Watch(here.stack, name, print), open_store(str(here.artifacts))
    windows = declared.training.windows
    first = windows.train + windows.evaluate
    spans = discovery.intervals(declared, first + declared.training.retraining.after_intervals)
    for span in spans[:first]:
        products.deliver(name, here.landing, span)
    watch.until_rest(spans[first - 1].start, timeout=600)
    live = Ledger(store, name).live()
    assert live is not None and live.version == 1, "the first model did not come to be served"
    for span in spans[first:]:
        products.deliver(name, here.landing, span)
        watch.until_rest(span.start, timeout=600)

    done = Counter(task["task_id"].rpartition(".")[2] for task in watch.tasks() if task["state"] == "success")
    assert not [step for step in STEPS if not done[step]], done
    assert done["register"] == 2, done  # learned again when it was due
    assert {run["state"] for run in watch.runs()} <= {"success", "running"}  # some wait for what is to come
    latest = current(store, name, "predictions")[-1]
    assert latest.interval == spans[-1] and latest.facts["rows"] > 30
    live = Ledger(store, name).live()
    assert live is not None
    rows = pd.read_parquet(Path(latest.uri.removeprefix("file://")) / "predictions.parquet")
    same_answers(name, here.artifacts, live, here.url, rows, spans[-1])
