"""What batch inference, monitoring and training find to do, by the records, whatever events say or how many came."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring.limits import Judgement, Observation
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.sections import Windows
from airflow_mlops_provider.operators import base
from airflow_mlops_provider.operators.monitoring import PredictionsListNewOperator
from airflow_mlops_provider.operators.serving import FeaturesListNewOperator
from airflow_mlops_provider.operators.training import TrainingPlanRunOperator
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, judge, judgements, publish, unjudged, unpredicted
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.shop import START, ShopWorld

FORGED = {"kind": "dataset", "uri": "file:///etc", "hash": "0" * 64, "facts": {}}


def day(number: int) -> Interval:
    """Return a day of January 2024."""
    return Interval(start=START + timedelta(days=number - 1), end=START + timedelta(days=number))


class Shop(ShopWorld):
    """A product that may have a version live, made of days 1 and 2."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = open_store(str(self.root))

    def go_live(self) -> ModelVersion:
        """Make a version and let it serve."""
        version = self.learn()
        for status in (Status.STAGING, Status.PRODUCTION_READY, Status.LIVE):
            Ledger(self.store, self.name).move(version, status, reason="test", by="test")
        return version

    def features(self, number: int, shift: int = 0) -> Dataset:
        """Deliver a day, or deliver it again with other amounts, and take it to the feature store."""
        self.deliver_day(number + shift, day(number))
        return self.engineer(day(number))

    def judged(self, predictions: Dataset, *crossed: str) -> None:
        """Have monitoring judge some predictions."""
        assert predictions.interval is not None
        seen = Observation(interval=predictions.interval, version=1, drift_share=0.7, prediction_drift=0.0)
        features = predictions.facts["features"]
        judge(
            self.store,
            self.name,
            Judgement(observation=seen, crossed=crossed, predictions=predictions.hash, features=features),
        )

    def waiting(self) -> list[Interval | None]:
        """Return the days that wait to be predicted."""
        return [one.interval for one in unpredicted(self.store, self.name)]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A product; operators find its artifact root."""
    world = Shop(tmp_path)
    monkeypatch.setattr(base.ProductOperator, "artifacts", lambda _: world.store)
    yield world
    world.close()


def context(run_type: str = "asset_triggered", events: Any = None) -> Any:
    """Return what a task is given."""
    return {"dag_run": SimpleNamespace(run_type=run_type), "triggering_asset_events": events or {}}


def operator(kind: Any, world: Shop, **arguments: Any) -> Any:
    """Return an operator of the product."""
    with DAG("any", schedule=None):
        return kind(task_id="one", product=world.product, **arguments)


def test_what_is_to_be_predicted(shop: Shop) -> None:
    """All days after those the first live version was made of, each until its current features are predicted."""
    shop.features(3)
    assert shop.waiting() == []  # nothing has ever been live
    version = shop.go_live()
    four = shop.features(4)
    assert shop.waiting() == [day(3), day(4)]  # day 3 came before there was a version, and is not lost
    shop.job("predict", day(4), features=four, version=version)
    assert shop.waiting() == [day(3)]
    shop.features(4, shift=7)
    assert shop.waiting() == [day(3), day(4)]  # delivered again, corrected
    shop.features(1, shift=7)
    assert shop.waiting() == [day(3), day(4)]  # the version learned from it


def test_features_that_did_not_reach_the_store_wait(shop: Shop) -> None:
    """A day that was computed, and stopped by validation, is not to be predicted; nor is an earlier release's again."""
    version = shop.go_live()
    shop.deliver_day(3, day(3))
    computed = shop.job("compute", day(3), clean=(shop.job("clean", day(3), raw=shop.job("extract", day(3))),))
    assert shop.waiting() == []
    shop.job("load", day(3), features=computed)
    assert shop.waiting() == [day(3)]
    told = shop.job("predict", day(3), features=computed, version=version)
    publish(shop.store, shop.name, "predictions", told.model_copy(update={"facts": {"rows": 288, "version": 1}}))
    assert shop.waiting() == []
    assert unjudged(shop.store, shop.name) == []


def test_what_is_to_be_judged(shop: Shop) -> None:
    """Predictions until they are judged by their current features: labels alone may be corrected."""
    version = shop.go_live()
    made = [shop.job("predict", day(number), features=shop.features(number), version=version) for number in (3, 4)]
    assert unjudged(shop.store, shop.name) == made
    shop.judged(made[0])
    assert unjudged(shop.store, shop.name) == made[1:]
    relabelled = made[0].model_copy(update={"facts": {**made[0].facts, "features": "1" * 64}})
    publish(shop.store, shop.name, "predictions", relabelled)
    assert unjudged(shop.store, shop.name) == [relabelled, made[1]]


def test_events_are_only_a_wake_up_call(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many events came or got lost, and whatever they say, the tasks hand on what is undone, then skip."""
    version = shop.go_live()
    listed = operator(FeaturesListNewOperator, shop)
    forged = {assets.features(shop.product): [SimpleNamespace(extra={"reference": FORGED})]}
    with pytest.raises(AirflowSkipException, match="nothing is left to do"):
        listed.execute(context(events=forged))
    features = [shop.features(number) for number in (3, 4, 5)]
    for given in (context(events=forged), context("scheduled"), context("manual")):
        assert [one["hash"] for one in listed.execute(given)] == [one.hash for one in features]
    monkeypatch.setattr(base, "MOST", 2)
    assert [one["hash"] for one in listed.execute(context())] == [one.hash for one in features[:2]]
    made = [
        shop.job("predict", one.interval, features=one.model_copy(update={"facts": {}}), version=version)
        for one in features
    ]
    with pytest.raises(AirflowSkipException):
        listed.execute(context())
    assert [one["hash"] for one in listed.execute(context("manual"))] == [features[-1].hash]

    judging = operator(PredictionsListNewOperator, shop)
    handed = judging.execute(context())
    assert [one["predictions"]["hash"] for one in handed] == [one.hash for one in made[:2]]
    assert [one["features"]["hash"] for one in handed] == [one.hash for one in features[:2]]
    assert {one["version"]["hash"] for one in handed} == {version.hash}
    for one in made:
        shop.judged(one)
    with pytest.raises(AirflowSkipException):
        judging.execute(context())
    assert [one["predictions"]["hash"] for one in judging.execute(context("manual"))] == [made[-1].hash]


def test_predictions_without_a_record_hold_up_no_others(shop: Shop) -> None:
    """Predictions whose manifest is gone are left out with an error; the others go on."""
    version = shop.go_live()
    made = [shop.job("predict", day(number), features=shop.features(number), version=version) for number in (3, 4)]
    (shop.root / made[0].uri.removeprefix(shop.root.as_uri()).strip("/")).parent.joinpath("manifest.json").unlink()
    handed = operator(PredictionsListNewOperator, shop).execute(context())
    assert [one["predictions"]["hash"] for one in handed] == [made[1].hash]


@pytest.mark.parametrize(("wait", "taken"), [(0, (3, 4)), (1, (2, 3)), (2, (1, 2))])
def test_a_plan_leaves_the_newest_days_alone(shop: Shop, wait: int, taken: tuple[int, ...]) -> None:
    """As many as wait for their labels; the run of days that leads to them is trained on."""
    for number in range(1, 5):
        publish(shop.store, shop.name, "features", Dataset(uri=f"/{number}", hash=str(number), interval=day(number)))
    plan = operator(TrainingPlanRunOperator, shop, windows=Windows(train=1, evaluate=1, wait=wait))
    given = {**context(run_type="manual"), "ti": SimpleNamespace(xcom_push=lambda **_: None)}
    assert [features["hash"] for features in plan.execute(given)] == [*map(str, taken)]


def test_a_training_goes_by_what_monitoring_recorded(shop: Shop) -> None:
    """Limits count that the records say were crossed, of days that an event names or of the newest, not of others."""
    version = shop.go_live()
    made = [shop.job("predict", day(number), features=shop.features(number), version=version) for number in (3, 4)]
    plan = operator(TrainingPlanRunOperator, shop)

    def lines(*named: Any) -> list[str]:
        events = [SimpleNamespace(extra={"interval": one, "crossed": ["forged"]}) for one in named]
        given = context(events={assets.drift(shop.product): events})
        return list(plan.drift_lines(given, shop.store, day(4), day(2)))

    forged = day(3).to_json()
    assert lines(forged, "anything", None) == []
    shop.judged(made[0], "day 3 moved")
    assert lines() == []
    assert lines(forged) == ["day 3 moved"]
    shop.judged(made[1], "day 4 moved")
    assert lines() == ["day 4 moved"]  # its event may have got lost
    assert lines(forged) == ["day 3 moved", "day 4 moved"]
    assert plan.drift_lines(context(), shop.store, day(4), day(4)) == []
    assert len(judgements(shop.store, shop.name)) == 2
    assert len(current(shop.store, shop.name, "loaded")) == 4
