"""Other products go through every job with no line changed outside their folder, be their problem ours or not."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.backends.model_server import launcher
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, leading_to
from tests.factories.loop import Loop
from tests.factories.rain import NAME, PRODUCTS, deliver, product, year

#: Another kind of problem: how much it will rain. It is one file beside the product.
PROBLEM = '''
"""Regression: a label is any number, and so is a prediction."""

from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.problems.base import Problem


class Regression(Problem):
    metrics = (Metric("mean_absolute_error", higher_is_better=False, high=None),)
    label_type = "float64"
    answer = "amount"

    def labels(self, label):
        return label.astype("float64")

    def learnable(self, label, rows):
        return self.labels(label)

    def weighted(self, metric, truth, score):
        return lambda weights: (weights @ abs(truth.label - score)) / weights.sum(axis=1)


PROBLEM = Regression()
'''
#: What a copy of the product says otherwise, to ask that. In millimetres; the mean of all days errs by about 4.
ANOTHER = (
    ("rain_tomorrow", "rainfall"),
    ('problem="binary_classification"', 'problem="rainfall.problem:PROBLEM"'),
    ("evaluation=EvaluationSettings(", 'evaluation=EvaluationSettings(metric="mean_absolute_error",'),
    ("min_metric=0.7, min_gain=-0.03", "min_metric=6.0, min_gain=-1.0"),
    ("min_metric=0.65", "min_metric=6.0"),
    ('"objective": "binary"', '"objective": "regression_l1"'),
    ('(tables["days"].set_index("date")["precipitation"] > 0).astype("int64")',
     'tables["days"].set_index("date")["precipitation"]'),
    ('column="wet_tomorrow", min_value=0.2, max_value=0.7', 'column="wet_tomorrow", min_value=0.0, max_value=9.0'),
)  # fmt: skip


def another(folder: Path) -> Path:
    """Write a product of another kind of problem, and return where Python finds it."""
    for file in (PRODUCTS / NAME).glob("*.py"):
        text = file.read_text()
        for old, new in ANOTHER:
            text = text.replace(old, new)
        target = folder / "products" / "rainfall" / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (folder / "products" / "rainfall" / "problem.py").write_text(PROBLEM)
    return folder / "products"


@pytest.fixture(params=[NAME, "rainfall"])
def job(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """Return a function that runs one job here and now; the model server ends with the test."""
    product()
    folder = another(tmp_path) if request.param == "rainfall" else PRODUCTS
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    monkeypatch.setenv("PYTHONPATH", str(folder))  # for the model server
    yield Loop(tmp_path, request.param)
    launcher.stop(request.param, str(tmp_path / "artifacts"))


def engineer(job: Loop, interval: Any) -> Any:
    """Take one year from its delivery to the feature store."""
    deliver(job.landing, interval)
    raw = job("extract", interval)
    report = job("validate", interval, {"what": "raw"}, dataset=raw)
    assert (report.about, report.passed) == ("expectations", True), report.broken
    job("clean", interval, raw=raw)
    features = job("compute", interval, clean=leading_to(current(open_store(job.root), job.name, "clean"), interval, 2))
    job("load", interval, features=features)
    return features


def learn(job: Loop, features: tuple[Any, ...]) -> Any:
    """Train on some years' features, and return the version once it has met its gates."""
    data = job("training_set", None, {"evaluate": 1}, features=features)
    valid = job("validate", None, {"what": "training"}, dataset=data)
    model = job("train", training_set=data)
    evaluation = job("evaluate", model=model, training_set=data)
    assert (evaluation.about, evaluation.passed, evaluation.broken) == ("evaluation", True, ())
    version = job("register", None, {"cause": "first", "reason": "the first"}, model=model, evaluation=evaluation)
    return job("promote", version=version, validation=valid, evaluation=evaluation)


def test_second_product_through_every_job(job: Loop, free_port: Callable[[], int]) -> None:
    """Rain is learned, served, predicted and judged by the jobs that were written with flights in mind."""
    version = learn(job, (engineer(job, year(2012)), engineer(job, year(2013))))
    assert version.facts["status"] == "production-ready", version.facts["reasons"]
    live = job("deploy", None, {"port": free_port()}, version=version)
    answer = ask(live.facts["url"], "2014-01-01T00:00:00Z")
    assert answer["version"] == version.version
    features = engineer(job, year(2014))
    predictions = job("predict", year(2014), features=features, version=live)
    assert predictions.facts["rows"] == 365
    drift = job("drift", year(2014), predictions=predictions, version=live)
    assert (drift.about, drift.passed, drift.broken) == ("drift", True, ())
    truth = job("performance", year(2014), predictions=predictions, features=features)
    assert (truth.about, truth.passed) == ("performance", True)
    (page,) = (file.read_text() for file in Path(job.root).rglob("performance.html"))
    if job.name == NAME:
        assert truth.facts["metric"]["value"] > 0.7
        assert 0 < answer["predictions"][0]["probability"] < 1
        assert "realised value" in page
    else:
        assert 0 < truth.facts["metric"]["value"] < 6
        assert answer["predictions"][0]["amount"] > 0
        assert "No declared value says what such predictions are worth" in page


def ask(url: str, when: str) -> Any:
    """Ask the model server for one evening."""
    body = json.dumps({"rows": [{"station": "Seattle", "month": 1, "event_time": when}]}).encode()
    request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
