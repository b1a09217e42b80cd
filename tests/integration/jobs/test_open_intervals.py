"""What people ran into, with their small inputs: late rows, late truth, old questions again, corrections."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.operators.features import (
    FeastBuildTrainingSetOperator,
    FeastLoadIntervalOperator,
    FeaturesComputeIntervalOperator,
    RulesCleanIntervalOperator,
    SourceExtractIntervalOperator,
)
from airflow_mlops_provider.operators.monitoring import LabelsJudgePredictionsOperator
from airflow_mlops_provider.operators.serving import ModelPredictIntervalOperator
from airflow_mlops_provider.runtime import custom_data
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.intervals import current, unjudged, unpredicted
from airflow_mlops_provider.storage.stale import stale
from tests.factories.tiny import manifests
from tests.factories.weather import DAY, START, Weather, WeatherWorld, interval

HEADS = {"orders": "order,shop,amount,at", "returns": "order,returned,decided_at"}
#: A workaround for truth that comes late: old orders are given again, on the day of their answer.
AGAIN = """
def examples(tables, interval):
    orders, decided = tables["orders"], tables["returns"]["order"]
    mine = orders[(orders["at"] >= interval.start) & (orders["at"] < interval.end) | orders["order"].isin(decided)]
    return mine[["shop", "order", "amount"]].assign(event_time=mine["at"]).reset_index(drop=True)
"""


class Shop(WeatherWorld):
    """A shop whose deliveries are written line by line."""

    def declare(self, old: str, new: str) -> None:
        """Change its declaration."""
        text = (self.package / "product.py").read_text()
        assert old in text
        self.write("product.py", text.replace(old, new))
        sys.modules.pop(f"{self.name}.product", None)

    def comes(self, day: int, *orders: str, returns: tuple[str, ...] = ()) -> None:
        """Write a day's deliveries."""
        for name, lines in {"orders": orders, "returns": returns}.items():
            file = self.landing / name / f"{START + day * DAY:%Y-%m-%d}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join([HEADS[name], *lines, ""]))

    def table(self, name: str, day: int, table: str) -> pd.DataFrame:
        """Return a table of a day's current dataset."""
        (dataset,) = (data for data in current(self.store, self.name, name) if data.interval == interval(day))
        return pd.read_parquet(Path(dataset.uri.removeprefix("file://")) / f"{table}.parquet")


def order(name: str, day: int, amount: float = 10.0, hour: int = 8) -> str:
    """Return an order's line."""
    return f"{name},north,{amount},{START + day * DAY:%Y-%m-%d}T{hour:02}:00:00Z"


def answer(name: str, returned: int, day: int) -> str:
    """Return the line of what was decided."""
    return f"{name},{returned},{START + day * DAY:%Y-%m-%d}T12:00:00Z"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """The shop."""
    made = Shop(tmp_path, Weather(0))
    with made.here():
        yield made
    made.close()


SIX = (order("a", 1), order("b", 0), order("c", 0), "d,north,1,", "e,north,1,", order("f", 2))


def test_rows_of_other_days_go_there_or_are_counted(shop: Shop) -> None:
    """One row of the day, two of yesterday, two without a time, one of tomorrow."""
    shop.declare('path="orders/', 'max_left_out=0.8, path="orders/')
    shop.comes(0, order("z", 0))
    shop.engineer(0)
    shop.comes(1, *SIX)
    shop.engineer(1)
    raw = {data.interval: data.facts for data in current(shop.store, shop.name, "raw")}[interval(1)]
    assert raw["rows"] == {"orders": 1, "returns": 0}
    assert raw["left_out"] == {"orders": {"after the interval": 1, "without a time": 2}}
    assert raw["late"]["orders"]["rows"] == 2
    (yesterday,) = stale(shop.store, shop.name)
    assert (yesterday.interval, yesterday.reasons[0][:19]) == (interval(0), "late rows of orders")
    shop.remake()
    assert [*shop.table("clean", 0, "orders")["order"]] == ["b", "c", "z"]
    assert [*shop.table("features", 0, "examples")["order"]] == ["b", "c", "z"]


def test_too_many_rows_without_a_place_are_refused(shop: Shop) -> None:
    """Late rows are none of those that the limit is about; three of the four others are too many by default."""
    shop.comes(1, *SIX)
    spec = shop.spec("extract", interval=interval(1))
    failure = run(spec).failure
    assert failure
    assert "only 1 of 4 rows" in failure.message
    assert "1 after the interval" in failure.message and "2 without a time" in failure.message


def test_a_late_row_that_comes_later_than_declared_is_left_out(shop: Shop) -> None:
    """Three days are declared; the row of four days ago is counted."""
    shop.declare('path="orders/', 'max_left_out=0.8, path="orders/')
    shop.comes(4, order("new", 4), order("old", 0), order("just", 1))
    made = shop.do(SourceExtractIntervalOperator, interval(4))
    assert made.facts["left_out"] == {"orders": {"before the interval": 1}}
    assert made.facts["late"]["orders"]["rows"] == 1


def orders_of(day: int) -> list[str]:
    """Return the lines of a day's orders, enough of them to be judged by."""
    return [order(f"{day}-{number}", day, amount=float(number % 50), hour=number % 24) for number in range(120)]


def answers_to(day: int, on: int) -> tuple[str, ...]:
    """Return what is decided of a day's orders, all of it on another day."""
    return tuple(answer(f"{day}-{number}", int(number % 50 > 25), on) for number in range(120))


def learned(shop: Shop) -> None:
    """Let a version serve that learned of days 0 and 1, whose truth came on days 3 and 4."""
    for day in range(5):
        shop.comes(day, *orders_of(day), returns=answers_to(day - 3, day) if day >= 3 else ())
        shop.engineer(day)
    shop.go_live(shop.training_set(0, 1))


def test_truth_that_arrives_days_after(shop: Shop) -> None:
    """Training has it three days later; what was predicted is judged when it comes, and again when more does."""
    learned(shop)
    shop.predict()
    first = shop.judge()
    assert {day: report.facts["arrived"] for day, report in first.items()} == {2: 0, 3: 0, 4: 0}
    shop.comes(5, *orders_of(5), returns=answers_to(2, 5))
    shop.engineer(5)
    again = shop.judge()
    assert (again[2].facts["arrived"], again[2].facts["pending"], again[2].facts["metric"]["value"]) == (120, 0, 1.0)
    assert again[3].facts["pending"] == 120
    assert unjudged(shop.store, shop.name, shop.product.label) == []


def test_old_questions_that_come_again_are_not_predicted_again(shop: Shop) -> None:
    """Given again on the day of their answer, they are left out and counted: what was said of them stands."""
    learned(shop)
    rules = (shop.package / "rules.py").read_text()
    shop.predict()
    said = shop.table("predictions", 2, "predictions")
    shop.write("rules.py", rules + AGAIN)
    for module in ("rules", "product"):
        sys.modules.pop(f"{shop.name}.{module}", None)
    shop.declare("lookback=1", "lookback=3")
    shop.comes(5, *orders_of(5), returns=answers_to(2, 5))
    shop.engineer(5)
    assert len(shop.table("features", 5, "examples")) == 240
    shop.predict()
    predictions = {data.interval: data for data in current(shop.store, shop.name, "predictions")}[interval(5)]
    assert (predictions.facts["rows"], predictions.facts["predicted_before"]) == (120, 120)
    report = shop.do(LabelsJudgePredictionsOperator, predictions=predictions)
    assert report.facts["arrived"] == 0
    pd.testing.assert_frame_equal(shop.table("predictions", 2, "predictions"), said)


def test_a_correction_reaches_what_stands_on_it(shop: Shop) -> None:
    """Day 0 again, corrected, after days 1 and 2: day 1 looks back on it, and is named, refused and made anew."""
    for day in range(3):
        shop.comes(day, *two(day, 10.0), returns=(answer(f"{day}a", 1, day), answer(f"{day}b", 0, day)))
        shop.engineer(day)
    shop.comes(0, *two(0, 99.0), returns=(answer("0a", 1, 0), answer("0b", 0, 0)))
    shop.engineer(0)
    (successor,) = stale(shop.store, shop.name)
    assert (successor.interval, successor.reasons) == (
        interval(1),
        (f"its features were computed of an older {interval(0)}",),
    )
    features = tuple(current(shop.store, shop.name, "features"))
    refused = run(specified(shop, features)).failure
    assert refused and refused.error == "IntegrityError"
    assert "stand on different data of 20240101T000000Z" in refused.message
    before = shop.table("features", 1, "takings")
    shop.remake()
    assert shop.remade == {0: 2, 1: 2, 2: 1}
    assert not shop.table("features", 1, "takings").equals(before)
    assert run(specified(shop, tuple(current(shop.store, shop.name, "features")))).state == "success"


def two(day: int, amount: float) -> list[str]:
    """Return a day's two orders, late in the evening."""
    return [order(f"{day}a", day, amount, hour=23), order(f"{day}b", day, hour=22)]


def specified(shop: Shop, features: tuple[Dataset, ...]) -> JobSpec:
    """Return what asks for the training set of some features."""
    task = FeastBuildTrainingSetOperator(task_id="any", product=shop.product, features=[f.to_json() for f in features])
    return shop.spec("training_set", interval=task.interval({}), inputs=task.inputs({}), params=task.params_of({}))


def test_a_correction_reaches_later_predictions_that_knew_of_it(shop: Shop) -> None:
    """An entity without rows is known from days before: when these are corrected, it is predicted again, others not."""
    learned(shop)
    shop.comes(5, *orders_of(5))
    shop.comes(6)
    shop.comes(7, order("quiet", 7))
    shop.comes(8, order("busy", 8, hour=10))
    shop.comes(9, order("stranger", 9).replace("north", "west"))
    for day in range(5, 10):
        shop.engineer(day)
    shop.predict()
    predicted = {data.interval: data for data in current(shop.store, shop.name, "predictions")}
    since = {day: predicted[interval(day)].facts["before"]["since"] for day in (7, 8, 9)}
    assert since == {7: interval(6).start.isoformat(), 8: interval(8).start.isoformat(), 9: None}
    assert unpredicted(shop.store, shop.name) == []
    said = shop.table("predictions", 7, "inputs")
    shop.comes(5, *(line.replace(",north,", ",north,9") for line in orders_of(5)))
    shop.engineer(5)
    shop.remake()
    waiting = [(data.interval.start - START).days for data in unpredicted(shop.store, shop.name) if data.interval]
    assert waiting == [5, 6, 7, 9], "day 7 knew the shop from day 6, and day 9 asks about one that any day may yet know"
    shop.predict()
    assert not shop.table("predictions", 7, "inputs").equals(said)
    assert unpredicted(shop.store, shop.name) == []


def test_a_day_that_arrives_after_the_next_changes_what_that_knew(shop: Shop) -> None:
    """Predicted without the day before it, a day is predicted again once that is there; the same work is done once."""
    learned(shop)
    shop.comes(6, order("early", 6, hour=1))
    shop.engineer(6)
    shop.predict()
    (features,) = (data for data in current(shop.store, shop.name, "features") if data.interval == interval(6))
    known = {"features": features, "version": shop.live}
    first = shop.do(ModelPredictIntervalOperator, **known)
    assert first.hash == shop.do(ModelPredictIntervalOperator, **known).hash
    assert len(manifests(shop, "predict")) == 4, "days 2, 3, 4 and 6, however often it is asked for"
    shop.comes(5, *orders_of(5))
    shop.engineer(5)
    shop.remake()
    assert interval(6) in [data.interval for data in unpredicted(shop.store, shop.name)]
    shop.predict()
    assert unpredicted(shop.store, shop.name) == []
    assert not shop.table("predictions", 6, "inputs")["mean_amount"].isna().any()


def test_features_of_a_task_of_ones_own_are_learned_from_and_predicted(shop: Shop) -> None:
    """What was loaded counts: a training set holds it, and its interval is predicted from it."""
    learned(shop)
    shop.comes(5, *orders_of(5), returns=answers_to(2, 5))
    of = interval(5)
    clean = shop.do(RulesCleanIntervalOperator, of, raw=shop.do(SourceExtractIntervalOperator, of))
    computed = shop.do(FeaturesComputeIntervalOperator, of, clean=clean)
    takings = shop.table("features", 5, "takings")
    spec = shop.spec("clean", interval=of, inputs={"like": computed}).model_copy(update={"job": custom_data.CUSTOM})
    own = custom_data.keep(shop.store, spec, {"takings": takings.assign(mean_amount=7.0)})
    shop.do(FeastLoadIntervalOperator, of, features=own)
    assert stale(shop.store, shop.name) == []
    assert own in unpredicted(shop.store, shop.name)
    shop.predict()
    assert set(shop.table("predictions", 5, "inputs")["mean_amount"].iloc[-20:]) == {7.0}
    assert unpredicted(shop.store, shop.name) == []
    shop.comes(6, *orders_of(6), returns=answers_to(5, 6))
    shop.engineer(6)
    assert stale(shop.store, shop.name) == []
    data = Path(shop.training_set(2, 5).uri.removeprefix("file://"))
    assert 7.0 in set(pd.read_parquet(data / "evaluate.parquet")["mean_amount"])
