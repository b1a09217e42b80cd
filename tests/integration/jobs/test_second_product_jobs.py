"""A second product goes through every job with no line changed outside its folder."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.lifecycle.records.spec import RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import AnyReference
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.serving.process import launcher
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, leading_to
from tests.factories.declared import specify
from tests.factories.rain import NAME, PRODUCTS, deliver, product, year

Job = Callable[..., Any]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    """Return a function that runs one job here and now; the model server ends with the test."""
    product()
    monkeypatch.setenv("PYTHONPATH", str(PRODUCTS))  # for the model server
    root = tmp_path / "artifacts"
    services = Services(landing=str(tmp_path / "landing"), mlflow=f"sqlite:///{root}/mlflow.db")

    def run(
        name: str, interval: Any = None, params: Any = None, **inputs: AnyReference | tuple[AnyReference, ...]
    ) -> Any:
        identity = RunIdentity(dag_id="by_hand", run_id=str(interval), task_id=name)
        given: dict[str, Any] = {"interval": interval, "inputs": inputs, "run": identity}
        spec = specify(name, load_product(NAME), params, root=str(root), services=services, **given)
        manifest = runner.run(spec)
        assert manifest.state == "success", manifest.failure
        return manifest.result

    run.root, run.landing = str(root), tmp_path / "landing"  # type: ignore[attr-defined]
    yield run
    launcher.stop(NAME, str(root))


def engineer(job: Any, interval: Any) -> Any:
    """Take one year from its delivery to the feature store."""
    deliver(job.landing, interval)
    raw = job("extract", interval)
    report = job("validate", interval, {"what": "raw"}, dataset=raw)
    assert (report.about, report.passed) == ("expectations", True), report.broken
    job("clean", interval, raw=raw)
    features = job("compute", interval, clean=leading_to(current(open_store(job.root), NAME, "clean"), interval, 2))
    job("load", interval, features=features)
    return features


def learn(job: Any, features: tuple[Any, ...]) -> Any:
    """Train on some years' features, and return the version once it has met its gates."""
    data = job("training_set", None, {"evaluate": 1}, features=features)
    valid = job("validate", None, {"what": "training"}, dataset=data)
    model = job("train", training_set=data)
    evaluation = job("evaluate", model=model, training_set=data)
    assert (evaluation.about, evaluation.passed, evaluation.broken) == ("evaluation", True, ())
    version = job("register", None, {"cause": "first", "reason": "the first"}, model=model, evaluation=evaluation)
    return job("promote", version=version, validation=valid, evaluation=evaluation)


def test_second_product_through_every_job(job: Any, free_port: Callable[[], int]) -> None:
    """Rain is learned, served, predicted and judged by the jobs that were written with flights in mind."""
    version = learn(job, (engineer(job, year(2012)), engineer(job, year(2013))))
    assert version.facts["status"] == "production-ready", version.facts["reasons"]
    live = job("deploy", None, {"port": free_port()}, version=version)
    assert ask(live.facts["url"], "2014-01-01T00:00:00Z")["version"] == version.version
    features = engineer(job, year(2014))
    predictions = job("predict", year(2014), features=features, version=live)
    assert predictions.facts["rows"] == 365
    drift = job("drift", year(2014), predictions=predictions, version=live)
    assert (drift.about, drift.passed, drift.broken) == ("drift", True, ())
    truth = job("performance", year(2014), predictions=predictions, features=features)
    assert (truth.about, truth.passed) == ("performance", True)
    assert truth.facts["metric"]["value"] > 0.7


def ask(url: str, when: str) -> Any:
    """Ask the model server for one evening."""
    body = json.dumps({"rows": [{"station": "Seattle", "month": 1, "event_time": when}]}).encode()
    request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
