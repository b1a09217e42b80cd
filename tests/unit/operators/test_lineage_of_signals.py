"""A drift signal says what it rests on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_mlops_provider import assets
from airflow_mlops_provider.operators.base import ProductOperator
from airflow_mlops_provider.operators.feedback import FeedbackSendSignalOperator
from flight_delay.product import product
from tests.factories.ui import World, months, replayed

TASK = SimpleNamespace(
    dag_id="flight_delay_monitoring", run_id="one", task_id="feedback.send", map_index=-1, try_number=2
)


class Sent(dict[Any, Any]):
    """Collects what a task adds to its aliases."""

    def __missing__(self, alias: Any) -> Any:
        return SimpleNamespace(add=lambda asset, extra: self.__setitem__(asset.name, extra))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return the record of a replay as the artifact root of these tests."""
    world = replayed(tmp_path, product)
    monkeypatch.setattr(ProductOperator, "artifacts", lambda _: world.store)
    return world


def signal(world: World, month: int) -> dict[str, Any]:
    """Send the signal of a month that crossed its limits, and return what its event carries."""
    world.monitored(month, 2, 0.71, 0.44, 0.683)
    given: dict[str, Any] = {}
    for job, role in (("predict", "predictions"), ("drift", "drift"), ("performance", "performance")):
        key = world.folder(job, month).removeprefix(f"{world.store.uri}/")
        given[role] = json.loads(world.store.read(f"{key}/manifest.json"))["result"]
    interval = months(month)
    assert interval is not None
    given["predictions"]["interval"] = interval.to_json()
    with DAG("any", schedule=None, start_date=datetime(2020, 1, 1, tzinfo=UTC)):
        operator = FeedbackSendSignalOperator(task_id="send", product=product, **given)
    sent = Sent()
    operator.execute({"outlet_events": sent, "ti": TASK})  # type: ignore[arg-type,typeddict-item]
    extra: dict[str, Any] = sent[assets.drift(product).name]
    extra["given"] = given
    return extra


def test_a_signal_names_its_evidence_and_who_sent_it(world: World) -> None:
    """Predictions and both reports by hash, the task with its run and try, and with what the drift report was made."""
    extra = signal(world, 9)
    told = extra["lineage"]
    assert told["inputs"] == [extra["given"][role]["hash"] for role in ("predictions", "performance", "drift")]
    assert told["run"] == {**vars(TASK)}
    assert told["job"] == "drift"
    assert len(extra["crossed"]) == 3
    assert {"commit", "dirty", "environment", "image", "seed", "address"} <= told.keys()


def test_a_signal_whose_record_is_gone_is_sent_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing manifest leaves out what it would tell, and stops no signal."""
    monkeypatch.setattr(world.store.__class__, "list", lambda self, prefix: [])
    told = signal(world, 9)["lineage"]
    assert "commit" not in told
    assert len(told["inputs"]) == 3
