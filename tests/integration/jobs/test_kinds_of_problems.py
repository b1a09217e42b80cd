"""Each kind of classification goes through every job, from a delivery to what the server's answers were worth."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.model_server import launcher
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.runtime.runner import run
from tests.factories.tiny import TinyWorld

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = [Interval(start=START + timedelta(days=n), end=START + timedelta(days=n + 1)) for n in range(5)]
PRODUCT = """
from datetime import UTC, datetime

from airflow_mlops_provider import *

product = MLProduct(
    name="PACKAGE",
    goal="What is a ticket about?",
    problem={problem},
    business=Business(
        kpi=Kpi(name="right", target=0.8, unit="share"), value={value}, owners=Owners(data_scientist="me")
    ),
    schedule=Schedule(start=datetime(2024, 1, 1, tzinfo=UTC)),
    data=Data(
        sources=(
            Source(
                name="tickets",
                path="tickets/{{start:%Y-%m-%d}}.parquet",
                time="at",
                settle_seconds=0,
                columns={{"length": "float64", "links": "float64", "truth": "{type}", "at": "timestamp"}},
            ),
        ),
    ),
    label=Label(column="truth"),
    training=Training(trainer=Trainer(code="PACKAGE.trainer:train", flavor="{flavor}"), windows=Windows(train=3)),
)
"""
MULTICLASS = """
def train(features, label, settings, seed, weight):
    import lightgbm

    assert weight.groupby(label).sum().round(6).nunique() == 1
    data = lightgbm.Dataset(features, label=label, weight=weight)
    settings = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbosity": -1, "seed": seed}
    return lightgbm.train(settings, data, num_boost_round=30)
"""
MULTILABEL = """
def train(features, label, settings, seed):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.multiclass import OneVsRestClassifier

    assert [*label.columns] == ["urgent", "billing"]
    return OneVsRestClassifier(RandomForestClassifier(20, max_depth=4, random_state=seed)).fit(features, label)
"""
ANOMALIES = """
def train(features, label, settings, seed):
    from sklearn.ensemble import IsolationForest

    assert len(label) > 1000 and label.isna().mean() > 0.5
    return IsolationForest(n_estimators=50, random_state=seed).fit(features)
"""
KINDS: dict[str, dict[str, str]] = {
    "multiclass": {
        "problem": 'MulticlassClassification(classes=("short", "long", "1"), balance=True)',
        "value": 'Value(matrix={"1": {"1": 10, "long": -1}, "long": {"long": 1}})',
        "type": "string",
        "flavor": "lightgbm",
        "trainer": MULTICLASS,
    },
    "multilabel": {
        "problem": 'MultilabelClassification(labels=("urgent", "billing"))',
        "value": 'Value(matrix={"urgent": {"urgent": 5, "": -5}})',
        "type": "string",
        "flavor": "scikit_learn",
        "trainer": MULTILABEL,
    },
    "anomalies": {
        "problem": "AnomalyDetection(alert_rate=0.05, threshold=0.6)",
        "value": "Value(per_hit=10, per_false_alarm=1)",
        "type": "float64",
        "flavor": "scikit_learn",
        "trainer": ANOMALIES,
    },
}
ALL = pytest.mark.skipif("MLOPS_TEST_PRODUCTS" not in os.environ, reason="MLOPS_TEST_PRODUCTS=1 has every kind")


def tickets(kind: str, day: Interval) -> pd.DataFrame:
    """Return a day's tickets; of anomalies one in three is labelled."""
    random, rows = np.random.default_rng(day.start.day), 600
    length, links = random.gamma(2, 50, rows).round(), random.poisson(1, rows).astype(float)
    odd = random.random(rows) < 0.05
    if kind == "multiclass":
        truth = np.select([links > 2, length > 80], ["1", "long"], "short")
        truth = np.where(random.random(rows) < 0.1, "short", truth)
    elif kind == "multilabel":
        urgent, billing = np.where(length > 100, "urgent", ""), np.where(links > 1, "billing", "")
        truth = np.array(["|".join(filter(None, pair)) for pair in zip(billing, urgent, strict=True)])
    else:
        length, links = np.where(odd, length + 600, length), np.where(odd, links + 6, links)
        truth = np.where(random.random(rows) < 1 / 3, odd.astype(float), np.nan)
    at = [day.start + timedelta(minutes=2 * number) for number in range(rows)]
    return pd.DataFrame({"length": length, "links": links, "truth": truth, "at": at})


class World(TinyWorld):
    """A product of a kind, that declares what it must."""

    def __init__(self, folder: Path, kind: str) -> None:
        super().__init__(folder)
        self.kind = kind
        self.write("product.py", PRODUCT.format(**KINDS[kind]))
        self.write("trainer.py", KINDS[kind]["trainer"])

    def job(self, name: str, interval: Interval | None = None, params: Any = None, **inputs: Any) -> Any:
        """Run one job here and now, and return its result."""
        manifest = run(self.spec(name, interval=interval, params=params or {}, inputs=inputs))
        assert manifest.state == "success", manifest.failure
        return manifest.result

    def engineer(self, day: Interval, given: pd.DataFrame | None = None) -> Dataset:
        """Take one day from its delivery to where trainings find it."""
        file = self.landing / "tickets" / f"{day.start:%Y-%m-%d}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        (tickets(self.kind, day) if given is None else given).to_parquet(file)
        clean = self.job("clean", day, raw=self.job("extract", day))
        features = self.job("compute", day, clean=(clean,))
        self.job("load", day, features=features)
        assert isinstance(features, Dataset)
        return features


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path, request.param)
    monkeypatch.setenv("PYTHONPATH", str(made.products))  # for the model server
    yield made
    launcher.stop(made.name, str(made.root))
    made.close()


def table(dataset: Dataset, name: str) -> pd.DataFrame:
    """Return a table of a dataset."""
    return pd.read_parquet(Path(dataset.uri.removeprefix("file://")) / f"{name}.parquet")


def ask(url: str, rows: pd.DataFrame) -> Any:
    """Return what the model server answers for some rows, without the names of the answers."""
    given = json.loads(rows.to_json(orient="records", date_format="iso"))
    body = json.dumps({"rows": given}).encode()
    request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        said = json.load(answer)["predictions"]
    return [{name: value for name, value in row.items() if name != "id"} for row in said]


@pytest.mark.parametrize(
    "world", [name if name == "multiclass" else pytest.param(name, marks=ALL) for name in KINDS], indirect=True
)
def test_a_kind_through_every_job(world: World, free_port: Callable[[], int]) -> None:
    """It learns, is better than the baseline, is served and judged; the server answers what the batch predicts."""
    *past, day = DAYS
    data = world.job("training_set", None, {"evaluate": 1}, features=tuple(map(world.engineer, past)))
    valid = world.job("validate", None, {"what": "training"}, dataset=data)
    model = world.job("train", training_set=data)
    evaluation = world.job("evaluate", model=model, training_set=data)
    assert (evaluation.passed, evaluation.broken) == (True, ())
    version = world.job("register", None, {"cause": "first", "reason": "first"}, model=model, evaluation=evaluation)
    version = world.job("promote", version=version, validation=valid, evaluation=evaluation)
    assert version.facts["status"] == "production-ready", version.facts["reasons"]
    live = world.job("deploy", None, {"port": free_port()}, version=version)
    newest = world.engineer(day)
    predictions = world.job("predict", day, features=newest, version=live)
    said, problem = table(predictions, "predictions"), problems.find(world.product.problem)
    some = said[-3:]
    assert ask(live.facts["url"], some[[*world.product.shape.row_columns]]) == problem.answers(problem.scores(some))
    drift = world.job("drift", day, predictions=predictions, version=live)
    assert drift.facts["prediction"] < 0.3
    performance = world.job("performance", day, predictions=predictions, features=newest)
    labelled = int(tickets(world.kind, day)["truth"].notna().sum())
    assert (performance.facts["arrived"], performance.facts["pending"]) == (labelled, 600 - labelled)
    metric, naive = world.product.metric, evaluation.facts["evaluation"]["baseline"]["value"]
    assert metric.better(performance.facts["metric"]["value"], naive)
    assert performance.facts["value"]["amount"] > 0
    worth = evaluation.facts["evaluation"]["worth"]
    assert worth["amounts"]["challenger"] > worth["amounts"]["baseline"], worth
    for report in (evaluation, performance):
        shown = json.loads((Path(report.uri.removeprefix("file://")) / "figures.json").read_text())["figures"]
        page = (Path(report.uri.removeprefix("file://")) / report.page).read_text()
        assert shown and all(f"<h2>{figure['title']}</h2>" in page for figure in shown)


@pytest.mark.parametrize("world", ["anomalies"], indirect=True)
def test_anomalies_without_labels_are_learned_from_and_not_judged(world: World) -> None:
    """Rows without labels are all in the training part; where none to judge on has one, it is said what to do."""
    *past, last = [world.engineer(day) for day in DAYS[:3]]
    data = world.job("training_set", None, {"evaluate": 1}, features=(*past, last))
    train, evaluate = table(data, "train"), table(data, "evaluate")
    assert len(train) == 1200 and train["truth"].isna().mean() == pytest.approx(2 / 3, abs=0.05)
    assert evaluate["truth"].notna().all() and len(evaluate) < 300
    unlabelled = world.engineer(DAYS[3], tickets("anomalies", DAYS[3]).assign(truth=np.nan))
    inputs = {"features": (*past, unlabelled)}
    failure = run(world.spec("training_set", interval=None, params={"evaluate": 1}, inputs=inputs)).failure
    assert failure is not None
    assert (failure.error, failure.retryable) == ("SourceDataError", False)
    for words in ("has its label 'truth' yet", "let people label a sample of these rows", "label.truth"):
        assert words in failure.message, failure.message
    none_odd = tickets("anomalies", DAYS[3]).assign(truth=0.0)
    inputs = {"features": (*past, world.engineer(DAYS[3], none_odd))}
    failure = run(world.spec("training_set", interval=None, params={"evaluate": 1}, inputs=inputs)).failure
    assert failure is not None and "have labels of one class only" in failure.message
