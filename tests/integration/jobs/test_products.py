"""A product of each kind of problem, through every job: better than naive, with one answer in batch and over REST."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from airflow_mlops_provider import discovery, problems
from airflow_mlops_provider.backends.model_server import launcher
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion, Report
from airflow_mlops_provider.runtime.code import make_importable
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, leading_to, truth_since
from tests.factories.loop import Loop
from tests.factories.products import PRODUCTS, RANGES, TABLES, deliver, product, ranges, same_answers

DAGS = Path(__file__).parents[3] / "dags"
#: Where this is set, every product is tried; else those whose kinds nothing else takes through every job.
ALL = "MLOPS_TEST_PRODUCTS"
SOME = ("travel_mode", "carbon_dioxide")


@pytest.fixture(params=[*TABLES, "flight_minutes"])
def job(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """Return a function that runs one job of a product here and now; the model server ends with the test."""
    if request.param not in SOME and not os.environ.get(ALL):
        pytest.skip(f"{ALL}=1 has every product tried")
    folders = [PRODUCTS, DAGS]
    if request.param == RANGES:
        ranges(tmp_path / "products")
        folders.append(tmp_path / "products")
    make_importable(folders)
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, folders)))  # for the model server
    yield Loop(tmp_path, request.param)
    launcher.stop(request.param, str(tmp_path / "artifacts"))


def test_through_every_job(job: Loop, free_port: Callable[[], int]) -> None:
    """Learned, judged, served, predicted, watched, and learned again with what came since."""
    declared = product(job.name)
    windows = declared.training.windows
    *spans, now, after = discovery.intervals(declared, windows.train + windows.evaluate + 2)
    learned = [features_of(job, interval) for interval in spans]
    version, evaluation = learn(job, spans, learned)
    figures = evaluation.facts["evaluation"]
    better = declared.metric.better(figures["challenger"]["value"], figures["baseline"]["value"])
    assert better and evaluation.passed, evaluation.broken
    live = job("deploy", None, {"port": free_port()}, version=version)
    features = features_of(job, now)
    predictions = job("predict", now, features=features, version=live)
    assert predictions.facts["rows"] > 30
    same_answers(job.name, Path(job.root), live, live.facts["url"], table(predictions, "predictions"), now)
    drift = job("drift", now, predictions=predictions, version=live)
    assert drift.facts["prediction"] >= 0
    if declared.label.truth:  # most of it arrives in the next interval
        features_of(job, after)
    arrived = truth(job, now) or {"features": features}
    performance = job("performance", now, predictions=predictions, **arrived)
    assert performance.facts["arrived"] + performance.facts["pending"] == predictions.facts["rows"]
    assert performance.facts["arrived"] > 30 and declared.metric.allows(performance.facts["metric"]["value"])
    again, _ = learn(job, [*spans[1:], now], [*learned[1:], features], champion=live)
    assert again.version == version.version + 1


def features_of(job: Loop, interval: Interval) -> Dataset:
    """Take one interval from its delivery to where trainings find it."""
    deliver(job.name, job.landing, interval)
    raw = job("extract", interval)
    report = job("validate", interval, {"what": "raw"}, dataset=raw)
    assert report.passed, report.broken
    job("clean", interval, raw=raw)
    clean = current(open_store(job.root), job.name, "clean")
    within = leading_to(clean, interval, product(job.name).features.lookback + 1)
    features: Dataset = job("compute", interval, clean=within)
    job("load", interval, features=features)
    return features


def truth(job: Loop, since: Interval) -> dict[str, Any]:
    """Return the input in which a product's truth arrives, if it arrives by itself."""
    tables = truth_since(current(open_store(job.root), job.name, "clean"), product(job.name).label, since)
    return {"truth": tables} if tables else {}


def learn(
    job: Loop, spans: list[Interval], features: list[Dataset], champion: ModelVersion | None = None
) -> tuple[ModelVersion, Report]:
    """Train, and return the version and how it was judged."""
    windows = product(job.name).training.windows
    inputs = {"features": tuple(features), **truth(job, spans[0])}
    data = job("training_set", None, {"evaluate": windows.evaluate}, **inputs)
    learned = problems.find(product(job.name).problem).label_times(table(data, "train"))
    assert learned is None or learned.max() < spans[windows.train].start  # not of the time that is judged on
    valid = job("validate", None, {"what": "training"}, dataset=data)
    model = job("train", training_set=data)
    against = {"champion": champion} if champion else {}
    evaluation = job("evaluate", model=model, training_set=data, **against)
    version = job("register", None, {"cause": "first", "reason": "data"}, model=model, evaluation=evaluation)
    return job("promote", version=version, validation=valid, evaluation=evaluation), evaluation


def table(dataset: Dataset, name: str) -> pd.DataFrame:
    """Return a table of a dataset."""
    return pd.read_parquet(Path(dataset.uri.removeprefix("file://")) / f"{name}.parquet")


@pytest.mark.parametrize("folder", sorted(PRODUCTS.glob("*/product.py")), ids=lambda file: file.parent.name)
def test_a_product_is_short(folder: Path) -> None:
    """Declaration, rules and trainer together are under 80 lines."""
    assert sum(len(file.read_text().splitlines()) for file in folder.parent.glob("*.py")) < 80
