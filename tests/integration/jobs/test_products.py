"""A product of each kind of problem, through every job: better than naive, with one answer in batch and over REST."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from airflow_mlops_provider import discovery
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.runtime.code import make_importable
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.serving.process import launcher
from tests.factories.loop import Loop
from tests.factories.products import PRODUCTS, TABLES, deliver, product

DAGS = Path(__file__).parents[3] / "dags"


#: Where this is set, the largest product is tried, too.
ALL = "MLOPS_TEST_PRODUCTS"


@pytest.fixture(params=[*TABLES, "flight_minutes"])
def job(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """Return a function that runs one job of a product here and now; the model server ends with the test."""
    if request.param == "flight_minutes" and not os.environ.get(ALL):
        pytest.skip(f"{ALL}=1 has three months of flights learned from, too")
    make_importable([PRODUCTS, DAGS])
    monkeypatch.setenv("PYTHONPATH", f"{PRODUCTS}:{DAGS}")  # for the model server
    yield Loop(tmp_path, request.param)
    launcher.stop(request.param, str(tmp_path / "artifacts"))


def test_through_every_job(job: Loop, free_port: Callable[[], int]) -> None:
    """Learned, judged, served, predicted, watched, and learned again with what came since."""
    declared = product(job.name)
    first, second, third = discovery.intervals(declared, 4)[:3]
    learned = [features_of(job, interval) for interval in (first, second)]
    version, evaluation = learn(job, tuple(learned))
    figures = evaluation.facts["evaluation"]
    better = declared.metric.better(figures["challenger"]["value"], figures["baseline"]["value"])
    assert better and evaluation.passed, evaluation.broken
    live = job("deploy", None, {"port": free_port()}, version=version)
    features = features_of(job, third)
    predictions = job("predict", third, features=features, version=live)
    assert predictions.facts["rows"] > 30
    batch = pd.read_parquet(Path(predictions.uri.removeprefix("file://")) / "predictions.parquet")
    assert_same_answers(job, live, batch.head(50).assign(event_time=pd.Timestamp(third.end)))
    drift = job("drift", third, predictions=predictions, version=live)
    assert drift.facts["prediction"] is not None and len(drift.facts["drifted"]) >= 0
    truth = job("performance", third, predictions=predictions, features=features)
    assert truth.facts["arrived"] + truth.facts["pending"] == predictions.facts["rows"]
    again, _ = learn(job, (learned[1], features), champion=live)
    assert again.version == version.version + 1


def features_of(job: Loop, interval: Any) -> Any:
    """Take one interval from its delivery to the feature store."""
    deliver(job.name, job.landing, interval)
    raw = job("extract", interval)
    report = job("validate", interval, {"what": "raw"}, dataset=raw)
    assert report.passed, report.broken
    features = job("compute", interval, clean=job("clean", interval, raw=raw))
    job("load", interval, features=features)
    return features


def learn(job: Loop, features: tuple[Any, ...], champion: ModelVersion | None = None) -> tuple[ModelVersion, Report]:
    """Train, and return the version and how it was judged."""
    data = job("training_set", None, {"evaluate": 1}, features=features)
    valid = job("validate", None, {"what": "training"}, dataset=data)
    model = job("train", training_set=data)
    against = {"champion": champion} if champion else {}
    evaluation = job("evaluate", model=model, training_set=data, **against)
    version = job("register", None, {"cause": "first", "reason": "data"}, model=model, evaluation=evaluation)
    return job("promote", version=version, validation=valid, evaluation=evaluation), evaluation


def assert_same_answers(job: Loop, live: ModelVersion, batch: pd.DataFrame) -> None:
    """Ask the model server for rows, together and one alone, and predict them with features of the offline store."""
    scoring = product(job.name).scoring
    given = batch[[*scoring.row_columns]].reset_index(drop=True)
    rows = json.loads(given.to_json(orient="records", date_format="iso", date_unit="us"))
    features = FeatureStoreBackend(scoring, Path(job.root) / job.name / "feast").historical(given)
    predictor = Predictor.load(scoring, Path(live.uri.removeprefix("file://")), live)
    scores = predictor.predict(given, features[[*scoring.feature_types]])
    if not scoring.views:
        assert (scores == predictor.problem.scores(batch)).all()
    expected = predictor.problem.answers(scores)
    assert [*map(without_id, ask(live.facts["url"], rows))] == expected
    assert [*map(without_id, ask(live.facts["url"], rows[:1]))] == expected[:1]


def without_id(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what was answered of a row."""
    return {name: value for name, value in answer.items() if name != "id"}


def ask(url: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the model server's answers to some rows."""
    request = urllib.request.Request(f"{url}/predict", json.dumps({"rows": rows}).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        answers: list[dict[str, Any]] = json.load(answer)["predictions"]
    return answers


@pytest.mark.parametrize("name", [*TABLES, "flight_minutes"])
def test_a_product_is_short(name: str) -> None:
    """Declaration, rules and trainer together are under 80 lines."""
    assert sum(len(file.read_text().splitlines()) for file in (PRODUCTS / name).glob("*.py")) < 80
