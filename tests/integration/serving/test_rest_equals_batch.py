"""One model definition, two servings: REST from the online store and batch from the offline store agree to the bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.model_server import client, launcher, releases
from airflow_mlops_provider.jobs.tables import EXAMPLES, INPUTS, PREDICTIONS
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.spec import Services
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.storage.artifacts import content_hash, open_store
from airflow_mlops_provider.storage.intervals import current, leading_to
from airflow_mlops_provider.storage.ledger import Ledger
from flight_delay import replay
from flight_delay.examples import STORED, examples
from flight_delay.product import product
from tests.factories.declared import specify
from tests.factories.ports import free_port

ROWS = 1000
JANUARY, FEBRUARY, MARCH = map(replay.month, ("2013-01", "2013-02", "2013-03"))
REPOSITORY = Path(__file__).parents[3]
TORCH = "flight_delay.torch_trainer:train"


class Loop:
    """The reference product's jobs, run here and now below one folder."""

    def __init__(self, folder: Path) -> None:
        self.landing, self.root = folder / "landing", folder / "artifacts"
        self.store = open_store(str(self.root))
        self._services = Services(landing=str(self.landing), mlflow=f"sqlite:///{self.root}/mlflow.db")

    def job(self, name: str, interval: Interval | None = None, params: Any = None, **inputs: Any) -> Any:
        """Run one job and return the reference to its result."""
        spec = specify(
            name, product, params, interval=interval, inputs=inputs, root=str(self.root),
            services=self._services,
        )  # fmt: skip
        manifest = runner.run(spec)
        assert manifest.state == "success", manifest.failure
        return manifest.result

    def clean(self, interval: Interval) -> Dataset:
        """Take one month from its delivery to clean tables."""
        replay.deliver(self.landing, interval)
        cleaned: Dataset = self.job("clean", interval, raw=self.job("extract", interval))
        return cleaned

    def engineer(self, interval: Interval) -> Dataset:
        """Take one month from its delivery to the feature store."""
        self.clean(interval)
        known = leading_to(current(self.store, product.name, "clean"), interval, product.features.lookback + 1)
        features: Dataset = self.job("compute", interval, clean=known)
        self.job("load", interval, features=features)
        return features

    def train(self, number: int, params: dict[str, Any], *features: Dataset) -> ModelVersion:
        """Train a small model on all but the last month."""
        truth = tuple(current(self.store, product.name, "clean"))
        training_set = self.job("training_set", None, {"evaluate": 1}, features=features, truth=truth)
        model: Model = self.job("train", None, params, training_set=training_set)
        return ModelVersion(uri=model.uri, hash=model.hash, name=product.name, version=number, facts=model.facts)

    def serve(self, version: ModelVersion, port: int) -> str:
        """Roll the model server to the version; the first time, start it in a process of its own."""
        ledger = Ledger(self.store, product.name)
        for to in (Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY):
            ledger.move(version, to, reason="a test wants it", by="tests")
        wanted = releases.Release.of(version)
        releases.request(self.store, product.name, wanted)
        url = launcher.ensure_running(product.name, str(self.root), "127.0.0.1", port, self.root / "server.log")
        client.wait_for_version(url, version.version, requested_at=wanted.requested_at)
        return url

    def asking(self, features: Dataset, rows: pd.DataFrame) -> Dataset:
        """Return a month's features with other rows to predict."""
        given = Path(features.uri.removeprefix("file://"))
        folder = self.root / "given" / "features"
        shutil.copytree(given, folder)
        rows.to_parquet(folder / f"{EXAMPLES}.parquet", index=False)
        return Dataset(uri=folder.as_uri(), hash=content_hash(folder), interval=features.interval, facts=features.facts)


def march(loop: Loop, since: datetime) -> pd.DataFrame:
    """Return a thousand of March's flights, asked for once the online store stood where it does."""
    folder = Path(loop.clean(MARCH).uri.removeprefix("file://"))
    tables = {file.stem: pd.read_parquet(file) for file in folder.glob("*.parquet")}
    flights = examples(tables, MARCH)
    return flights[flights["event_time"] >= since].sample(ROWS, random_state=7).reset_index(drop=True)


@dataclass(frozen=True)
class Months:
    """Two real months in the feature store, and a thousand flights of the third to ask for."""

    loop: Loop
    features: list[Dataset]
    asked: Dataset
    rows: pd.DataFrame
    port: int


def ask(url: str, rows: pd.DataFrame) -> np.ndarray:
    """Ask the model server for some rows."""
    body = '{"rows": ' + rows.to_json(orient="records", date_format="iso") + "}"
    answer = httpx.post(f"{url}/predict", content=body, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return np.array([one["probability"] for one in answer.json()["predictions"]], dtype=np.float64)


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Months]:
    """Two real months through the jobs; the model server that a test starts is stopped with the last one."""
    loop = Loop(tmp_path_factory.mktemp("loop"))
    features = [loop.engineer(JANUARY), loop.engineer(FEBRUARY)]
    rows = march(loop, FEBRUARY.end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{REPOSITORY}:{REPOSITORY / 'dags'}")
        try:
            yield Months(loop, features, loop.asking(features[-1], rows), rows, free_port())
        finally:
            launcher.stop(product.name, str(loop.root))


@pytest.mark.parametrize(
    ("number", "flavor", "params"),
    [
        (1, "lightgbm", {"settings": {"rounds": 30, "num_threads": 1}}),
        (2, "torch", {"trainer": {"code": TORCH, "flavor": "torch", "settings": {"epochs": 2}}}),
    ],
)
def test_rest_and_batch_give_the_same_thousand_predictions(
    months: Months, number: int, flavor: str, params: dict[str, Any]
) -> None:
    """Of either flavor, a thousand flights get bit for bit the same probability over REST and in batch, alone or among
    others.
    """
    if flavor == "torch":
        for library in ("torch", "onnxruntime"):
            pytest.importorskip(library, reason="pip install 'airflow-mlops-provider[torch]'")
    version = months.loop.train(number, params, *months.features)
    url = months.loop.serve(version, months.port)  # by which it is registered, too
    predicted = months.loop.job("predict", FEBRUARY, features=months.asked, version=version)
    folder = Path(predicted.uri.removeprefix("file://"))
    batch = pd.read_parquet(folder / f"{PREDICTIONS}.parquet")["prediction"].to_numpy()
    rows = months.rows[[*product.features.request, "event_time"]]
    rest = ask(url, rows)
    assert rest.shape == batch.shape == (ROWS,)
    np.testing.assert_array_equal(rest, batch)
    alone = [ask(url, rows.iloc[[index]])[0] for index in range(10)]
    np.testing.assert_array_equal(alone, batch[:10])
    # What would make equality cheap: constants, or a store that knows nothing.
    assert len(np.unique(batch)) > ROWS / 2
    assert pd.read_parquet(folder / f"{INPUTS}.parquet")[list(STORED)].notna().to_numpy().mean() > 0.9
