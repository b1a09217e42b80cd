"""Products that declare what they must and no more go through every job: counts, ranges, forecasts; none has a view."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from croniter import croniter

from airflow_mlops_provider import problems
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.serving.process import launcher
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, leading_to, truth_since
from tests.factories.loop import Loop
from tests.factories.products import PRODUCTS
from tests.factories.public_sets import deliver

RANGES = "visit_ranges"
#: What a copy of the first says otherwise, to be told between which numbers that will be.
AS_RANGES = (
    ("doctor_visits", RANGES),
    ('Regression(loss="poisson")', "Regression(quantiles=(0.1, 0.5, 0.9))"),
    ("        trainer=Trainer(", "        trainer=Trainer(flavor='xgboost', "),
    ('{"num_leaves": 16, "learning_rate": 0.05, "rounds": 100}', '{"max_depth": 2, "learning_rate": 0.1}'),
    ("lightgbm.Booster", "object"),
    ("    import lightgbm\n\n    tried", "    import xgboost\n\n    tried"),
    ('"objective": "poisson"', '"quantile_alpha": [0.1, 0.5, 0.9], "objective": "reg:quantileerror"'),
    (', "deterministic": True, "num_threads": 1, "verbosity": -1,', ', "nthread": 1,'),
    ('    rounds = settings.pop("rounds")\n', ""),
    ("lightgbm.train({**settings, **tried}, lightgbm.Dataset(features, label=label), num_boost_round=rounds)",
     "xgboost.train({**settings, **tried}, xgboost.DMatrix(features, label=label), num_boost_round=60)"),
)  # fmt: skip


def ranges(folder: Path) -> Path:
    """Write the copy, and return where Python finds it."""
    text = (PRODUCTS / "doctor_visits" / "product.py").read_text()
    for old, new in AS_RANGES:
        assert old in text, old
        text = text.replace(old, new)
    (folder / "products" / RANGES).mkdir(parents=True)
    (folder / "products" / RANGES / "product.py").write_text(text)
    return folder / "products"


@pytest.fixture(params=["doctor_visits", "carbon_dioxide", RANGES])
def job(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """Return a function that runs one job of a product here and now; the model server ends with the test."""
    folder = ranges(tmp_path) if request.param == RANGES else PRODUCTS
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    monkeypatch.setenv("PYTHONPATH", str(folder))  # for the model server
    yield Loop(tmp_path, request.param)
    launcher.stop(request.param, str(tmp_path / "artifacts"))


def intervals(product: MLProduct, count: int) -> list[Interval]:
    """Return the first data intervals."""
    assert product.schedule.start
    moments = croniter(product.schedule.cron, product.schedule.start)
    starts = [product.schedule.start, *(moments.get_next(type(product.schedule.start)) for _ in range(count))]
    return [Interval(start=start, end=end) for start, end in pairwise(starts)]


def engineer(job: Loop, product: MLProduct, interval: Interval) -> Dataset:
    """Take one interval from its delivery to where trainings find it."""
    deliver(job.landing, product, interval)
    raw = job("extract", interval)
    assert job("validate", interval, {"what": "raw"}, dataset=raw).passed
    job("clean", interval, raw=raw)
    clean = current(open_store(job.root), job.name, "clean")
    features = job("compute", interval, clean=leading_to(clean, interval, product.features.lookback + 1))
    assert isinstance(features, Dataset)
    job("load", interval, features=features)
    return features


def truth(job: Loop, product: MLProduct, since: Interval) -> dict[str, Any]:
    """Return the input in which a product's truth arrives, if it arrives by itself."""
    tables = truth_since(current(open_store(job.root), job.name, "clean"), product.label, since)
    return {"truth": tables} if tables else {}


def table(job: Loop, dataset: Dataset, name: str) -> pd.DataFrame:
    """Return a table of a dataset."""
    return pd.read_parquet(Path(dataset.uri.removeprefix("file://")) / f"{name}.parquet")


def test_a_short_product_through_every_job(job: Loop, free_port: Callable[[], int]) -> None:
    """It learns, is better than the baseline, is served and judged; the server answers what the batch predicts."""
    product = load_product(job.name)
    problem = problems.find(product.problem)
    windows = product.training.windows
    *spans, live_span, after = intervals(product, windows.train + windows.evaluate + 2)
    features = tuple(engineer(job, product, span) for span in spans)
    known = truth(job, product, spans[0])
    data = job("training_set", None, {"evaluate": windows.evaluate}, features=features, **known)
    learned = problem.label_times(table(job, data, "train"))
    assert learned is None or learned.max() < spans[windows.train].start  # not of the time that is judged on
    valid = job("validate", None, {"what": "training"}, dataset=data)
    model = job("train", training_set=data)
    evaluation = job("evaluate", model=model, training_set=data)
    assert (evaluation.passed, evaluation.broken) == (True, ())
    judged = evaluation.facts["evaluation"]
    assert judged["challenger"]["high"] < judged["baseline"]["value"]
    version = job("register", None, {"cause": "first", "reason": "the first"}, model=model, evaluation=evaluation)
    version = job("promote", version=version, validation=valid, evaluation=evaluation)
    assert version.facts["status"] == "production-ready", version.facts["reasons"]
    live = job("deploy", None, {"port": free_port()}, version=version)
    newest = engineer(job, product, live_span)
    predictions = job("predict", live_span, features=newest, version=live)
    assert predictions.facts["rows"] > 100
    said = table(job, predictions, "predictions")
    assert ask(live.facts["url"], product, said[-3:]) == problem.answers(problem.scores(said[-3:]))
    drift = job("drift", live_span, predictions=predictions, version=live)
    assert drift.facts["prediction"] >= 0
    if product.label.truth:  # most of it arrives in the next interval
        engineer(job, product, after)
    arrived = truth(job, product, live_span) or {"features": newest}
    performance = job("performance", live_span, predictions=predictions, **arrived)
    assert (performance.facts["arrived"], performance.facts["pending"]) == (len(said), 0)
    assert performance.facts["metric"]["value"] < judged["baseline"]["value"]


def ask(url: str, product: MLProduct, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what the model server answers for some rows, without their ids."""
    given = rows[[*product.shape.row_columns]]
    body = json.dumps({"rows": json.loads(given.to_json(orient="records", date_format="iso"))}).encode()
    request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        said = json.load(answer)["predictions"]
    return [{name: value for name, value in row.items() if name != "id"} for row in said]
