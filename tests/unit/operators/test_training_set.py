"""A training set: filed under the newest interval in it, made of all features that its join can see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.operators.features import FeastBuildTrainingSetOperator
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.intervals import publish
from flight_delay.product import product
from tests.factories.tiny import TinyWorld

MONTHS = [Interval(start=datetime(2013, n, 1, tzinfo=UTC), end=datetime(2013, n + 1, 1, tzinfo=UTC)) for n in (1, 2, 3)]
FEATURES = [Dataset(uri=f"/{n}", hash=str(n), interval=month, facts={"n": n}) for n, month in enumerate(MONTHS)]


def operator(*features: Dataset) -> FeastBuildTrainingSetOperator:
    """Return the task that makes a training set of some features."""
    return FeastBuildTrainingSetOperator(task_id="any", product=product, features=[one.to_json() for one in features])


def test_a_training_set_bears_its_newest_interval() -> None:
    """Without it every plan would take its training for the first."""
    assert operator(*FEATURES).interval({}) == MONTHS[-1]


def test_what_the_join_can_see_is_an_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Earlier features, to which the join goes back where nothing newer is known, move the training set's address."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(tmp_path))
    for features in FEATURES:
        publish(FolderStore(tmp_path), product.name, "features", features)
    given = operator(FEATURES[1]).inputs({})
    assert given["features"] == (FEATURES[1],)
    assert [dataset.hash for dataset in given["history"]] == ["0"]
    assert "history" not in operator(FEATURES[0]).inputs({})


def test_something_is_left_to_learn_from(make: Callable[..., TinyWorld]) -> None:
    """Where all intervals are kept for evaluation, that is said before anything is joined."""
    world = make()
    failure = run(world.spec("training_set", params={"evaluate": 1}, inputs={"features": (world.extracted(),)})).failure
    assert failure and (failure.error, failure.retryable) == ("ConfigurationError", False)
    assert failure.message == "evaluate=1 of 1 interval(s) leaves none to learn from"
